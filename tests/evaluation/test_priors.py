"""Accuracy under other priors against test sets that are drawn."""

import numpy as np
import pytest
from torch import tensor

from bcl_mm.evaluation import PriorAccuracy, ShotAccuracy, shifted_prior
from bcl_mm.registry import METRICS

COUNTS = [20, 500, 5, 100]  # ranks 2, 0, 3, 1


def test_the_priors_are_sades():
    prior = shifted_prior(COUNTS, 8)
    assert prior == pytest.approx(np.array([2, 8, 1, 4]) / 15)
    prior = shifted_prior(COUNTS, 8, backward=True)
    assert prior == pytest.approx(np.array([4, 1, 8, 2]) / 15)
    assert shifted_prior(COUNTS, 1) == pytest.approx(np.full(4, 0.25))


def predictions():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), (50, 30, 20, 100))
    wrong = rng.random(200) < np.array([0.1, 0.3, 0.8, 0.5])[labels]
    return np.where(wrong, (labels + 1) % 4, labels), labels


def test_it_is_the_mean_over_test_sets_that_are_drawn():
    found, labels = predictions()
    ours = PriorAccuracy.calculate(found, labels, COUNTS, ratios=[10])
    rng = np.random.default_rng(1)
    for backward, name in ((False, 'forward_10'), (True, 'backward_10')):
        prior = shifted_prior(COUNTS, 10, backward)
        weights = prior[labels] / np.bincount(labels)[labels]
        drawn = rng.choice(200, 400_000, p=weights / weights.sum())
        accuracy = 100 * (found == labels)[drawn].mean()
        assert ours[name] == pytest.approx(accuracy, abs=0.3)
    assert ours['forward_10'] > ours['backward_10']


def test_a_uniform_prior_is_the_balanced_accuracy():
    found, labels = predictions()
    ours = PriorAccuracy.calculate(found, labels, COUNTS)
    shots = ShotAccuracy.calculate(found, labels, COUNTS)
    assert ours['uniform'] == pytest.approx(shots['balanced'])
    names = {f'{way}_{r}' for way in ('forward', 'backward') for r in (2, 50)}
    assert names < set(ours) and len(ours) == 12


def test_a_prior_of_ones_own():
    found, labels = predictions()
    own = dict(mine=[1, 0, 0, 3], test=np.bincount(labels))
    ours = PriorAccuracy.calculate(found, labels, COUNTS, (), own)
    recalls = [(found == labels)[labels == c].mean() for c in range(4)]
    mean = 100 * (recalls[0] + 3 * recalls[3]) / 4
    assert ours['mine'] == pytest.approx(mean)
    # The prior of the test set itself: its accuracy.
    assert ours['test'] == pytest.approx(100 * (found == labels).mean())


def test_classes_without_test_images_are_left_out():
    ours = PriorAccuracy.calculate([0, 1], [0, 0], COUNTS, [8])
    assert set(ours.values()) == {50.0}


def test_through_the_registry():
    metric = METRICS.build(
        dict(type='bcl_mm.PriorAccuracy', ratios=[2], class_counts=COUNTS)
    )
    scores = tensor([0.7, 0.1, 0.1, 0.1])
    sample = dict(pred_score=scores, pred_label=tensor([0]))
    metric.process(None, [dict(sample, gt_label=tensor([0]))])
    metric.process(None, [dict(sample, gt_label=tensor([1]))])
    found = metric.evaluate(2)
    assert found['prior/uniform'] == 50
    assert found['prior/train'] == pytest.approx(100 * 20 / 520)


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(ratios=[0.5]), 'ratios must be >= 1, got 0.5'),
        (dict(ratios=2), 'ratios must be a list, got 2'),
        (dict(priors=[1, 2, 3, 4]), 'priors must be a dict, NAME -> one'),
        (dict(priors=dict(a=[1, 2])), "priors\\['a'\\] must be one finite"),
        (dict(priors=dict(a=[1, -2, 0, 0])), 'must be one finite number >= 0'),
        (dict(priors=dict(train=[1] * 4)), 'the name is taken'),
        (dict(priors=dict(a=[0, 0, 1, 0])), 'no share of a class that has'),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        metric = PriorAccuracy(class_counts=COUNTS, **options)
        settings = COUNTS, metric.ratios, metric.priors
        PriorAccuracy.calculate([0, 1], [0, 1], *settings)
