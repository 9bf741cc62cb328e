"""Differences over seeds, against tables and scipy's own tests."""

import math

import numpy as np
import pytest
from scipy import stats

from bcl_mm.evaluation import difference


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
