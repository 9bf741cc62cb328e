"""Differences over seeds, against tables and scipy's own tests."""

import math

import numpy as np
import pytest
from scipy import stats

from bcl_mm.evaluation import difference, holm, prediction_interval


def test_paired_by_hand():
    # d = 1, 3, 2: mean 2, variance 1, error 1 / sqrt(3); t(2) = 4.3027.
    found = difference({0: 71, 1: 74, 2: 74}, {2: 72, 0: 70, 1: 71})
    assert found.mean == pytest.approx(2)
    assert found.error == pytest.approx(1 / math.sqrt(3))
    assert found.low == pytest.approx(2 - 4.302653 / math.sqrt(3))
    assert found.high == pytest.approx(2 + 4.302653 / math.sqrt(3))
    assert (found.pairs, found.is_paired, found.is_clear) == (3, True, False)


def test_welch_by_hand():
    # Means 5 and 2; variances 4 of 3 values and 0.5 of 2.
    ours, theirs = {0: 3, 1: 5, 2: 7}, {7: 1.5, 8: 2.5}
    parts = 4 / 3, 0.5 / 2
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / 2 + parts[1] ** 2 / 1)
    found = difference(ours, theirs, confidence=0.9)
    assert found.mean == pytest.approx(3)
    assert found.error == pytest.approx(math.sqrt(sum(parts)))
    reach = stats.t.ppf(0.95, freedom) * found.error
    assert found.high - found.mean == pytest.approx(reach)
    assert (found.pairs, found.is_paired) == (2, False)


@pytest.mark.parametrize('seed', range(5))
def test_as_scipy(seed):
    random = np.random.RandomState(seed)
    ours, theirs = random.normal(80, 2, 5), random.normal(78, 2, 5)
    paired = difference(dict(enumerate(ours)), dict(enumerate(theirs)))
    expected = stats.ttest_rel(ours, theirs).confidence_interval()
    assert (paired.low, paired.high) == pytest.approx(tuple(expected))
    apart = dict(enumerate(theirs[:3], 10))
    welch = difference(dict(enumerate(ours)), apart)
    expected = stats.ttest_ind(
        ours, theirs[:3], equal_var=False
    ).confidence_interval()
    assert (welch.low, welch.high) == pytest.approx(tuple(expected))
    # Turned round, it is the same with the other sign.
    back = difference(apart, dict(enumerate(ours)))
    assert (back.low, back.high) == pytest.approx((-welch.high, -welch.low))


def test_unshared_seeds_are_left_out_of_pairs():
    found = difference({0: 1, 1: 4, 2: 99}, {0: 0, 1: 1, 5: -99})
    assert (found.mean, found.pairs, found.is_paired) == (2, 2, True)


@pytest.mark.parametrize(
    ('values', 'reference', 'pairs', 'is_paired'),
    [
        ({0: 3.0}, {0: 1.0}, 1, True),
        ({0: 3.0}, {4: 1.0}, 1, False),
        ({0: 3.0}, {0: 1.0, 1: 7.0}, 1, True),
        ({0: 3.0, 1: 3.0}, {2: 1.0}, 1, False),
        # Each differs by 2: by chance, perhaps.
        ({0: 3.1, 1: 4.2}, {0: 1.1, 1: 2.2}, 2, True),
        ({0: 3.0, 1: 3.0}, {2: 1.0, 3: 1.0}, 2, False),
    ],
)
def test_no_interval(values, reference, pairs, is_paired):
    found = difference(values, reference)
    assert found.mean == pytest.approx(2)
    assert (found.error, found.low, found.high) == (None, None, None)
    assert (found.pairs, found.is_paired) == (pairs, is_paired)
    assert not found.is_known and not found.is_clear


def test_one_shared_seed_of_several_is_no_pair():
    found = difference({0: 1, 1: 2}, {0: 5, 2: 7})
    assert (found.is_paired, found.pairs, found.is_known) == (False, 2, True)


def test_wrong_arguments():
    for arguments, message in (
        (({}, {0: 1}), 'values must have at least one seed'),
        (({0: 1}, {}), 'reference must have at least one seed'),
        (({0: 1}, {3: math.nan}), r'reference\[3\] must be finite'),
        (({0: '1'}, {3: 1}), r"values\[0\] must be a number, got '1'"),
        (({0: 1}, {0: 1}, 1), r'confidence must be in \(0, 1\), got 1'),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            difference(*arguments)


def test_folds_by_hand():
    # d = 1, 2, 3, 4, 5: mean 3, variance 2.5; (1/5 + 1/4) 2.5 = 1.125.
    ours = {fold: 10 + fold for fold in range(1, 6)}
    found = difference(ours, dict.fromkeys(ours, 10), test_per_train=1 / 4)
    assert found.mean == pytest.approx(3)
    assert found.error == pytest.approx(math.sqrt(1.125))
    reach = 2.776445 * math.sqrt(1.125)  # t(4)
    expected = 3 - reach, 3 + reach
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-5)
    statistic = 3 / math.sqrt(1.125)
    expected = 2 * stats.t.sf(statistic, 4)
    assert found.p_value == pytest.approx(expected)


def test_folds_must_be_shared():
    with pytest.raises(ValueError, match='folds that both have'):
        difference({0: 1.0, 1: 2.0}, {2: 1.0, 3: 2.0}, test_per_train=0.25)


@pytest.mark.parametrize('seed', range(3))
def test_p_values_as_scipy(seed):
    random = np.random.RandomState(seed)
    ours, theirs = random.normal(80, 2, 5), random.normal(78, 2, 5)
    paired = difference(dict(enumerate(ours)), dict(enumerate(theirs)))
    assert paired.p_value == pytest.approx(stats.ttest_rel(ours, theirs)[1])
    apart = difference(dict(enumerate(ours)), dict(enumerate(theirs, 10)))
    expected = stats.ttest_ind(ours, theirs, equal_var=False)[1]
    assert apart.p_value == pytest.approx(expected)
    # The interval excludes 0 where the test rejects.
    assert paired.is_clear == (paired.p_value < 0.05)


@pytest.mark.parametrize('number', [0, 1, 2, 7])
def test_holm_as_statsmodels(number):
    from statsmodels.stats.multitest import multipletests

    values = np.random.RandomState(number).uniform(0, 0.2, number)
    values = [*values, *values[:2]]  # ties
    expected = multipletests(values, method='holm')[1] if values else []
    assert holm(values) == pytest.approx(list(expected))
    with pytest.raises(ValueError, match=r'p_values\[0\] must be'):
        holm([1.1])


def test_prediction_interval_covers_another_run():
    values = [80.0, 81.0, 82.0]
    reach = 4.302653 * math.sqrt(1 + 1 / 3)
    found = prediction_interval(values)
    assert found == pytest.approx((81 - reach, 81 + reach), rel=1e-6)
    random = np.random.RandomState(0)
    runs = random.normal(70, 1.5, (2000, 4))
    bounds = [prediction_interval(list(run[:3])) for run in runs]
    inside = [low <= run[3] <= high for (low, high), run in zip(bounds, runs)]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.015)
    with pytest.raises(ValueError, match='two or more, got 1'):
        prediction_interval([1.0])


def test_equal_methods_are_rarely_called_different():
    """In 5 % of the comparisons at most: five rows, each of five seeds."""
    random = np.random.RandomState(1)
    false = 0
    for _ in range(400):
        figures = random.normal(70, 1, (6, 5)) + random.normal(0, 2, (1, 5))
        first, *others = (dict(enumerate(row)) for row in figures)
        gaps = [difference(other, first) for other in others]
        false += min(holm([gap.p_value for gap in gaps])) < 0.05
    assert false / 400 <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 400)


@pytest.mark.long
def test_folds_that_share_training_images_are_rarely_called_different():
    """Without the correction, more than 5 % of equal methods would be."""
    random = np.random.RandomState(2)
    false = dict(corrected=0, plain=0)
    overlap = 1 / 4
    for _ in range(2000):
        # Fold differences with the correlation that the correction assumes.
        shared = overlap / (1 + overlap)
        gaps = math.sqrt(shared) * random.normal()
        gaps = gaps + math.sqrt(1 - shared) * random.normal(size=5)
        ours, theirs = dict(enumerate(gaps)), dict.fromkeys(range(5), 0.0)
        plain = difference(ours, theirs)
        corrected = difference(ours, theirs, test_per_train=overlap)
        false['plain'] += plain.is_clear
        false['corrected'] += corrected.is_clear
    assert false['corrected'] / 2000 == pytest.approx(0.05, abs=0.015)
    assert false['plain'] / 2000 > 0.1
