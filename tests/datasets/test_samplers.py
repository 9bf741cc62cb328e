import numpy as np
import pytest

from bcl_mm.datasets.samplers import ClassBalancedSampler
from bcl_mm.registry import DATA_SAMPLERS
from tests.test_classes import Labelled

LABELS = np.random.RandomState(0).permutation(
    np.repeat([0, 1, 2], [900, 90, 10])
)


@pytest.mark.parametrize('power', [0.0, 0.5, 1.0])
def test_classes_come_with_the_papers_probabilities(power):
    sampler = DATA_SAMPLERS.build(
        dict(
            type='bcl_mm.ClassBalancedSampler',
            dataset=Labelled(LABELS.tolist()),
            power=power,
            seed=0,
        )
    )
    drawn = []
    for epoch in range(20):
        sampler.set_epoch(epoch)
        drawn.extend(sampler)
    assert len(drawn) == 20 * len(sampler) == 20_000
    shares = np.bincount(LABELS[drawn]) / len(drawn)
    expected = np.array([900, 90, 10.0]) ** power
    expected /= expected.sum()
    deviation = np.sqrt(expected * (1 - expected) / len(drawn))
    assert (np.abs(shares - expected) < 4 * deviation).all()
    # All images of a class are equally likely: about 667 draws each.
    members = np.flatnonzero(LABELS == 2)
    each = np.bincount(drawn, minlength=1000)[members]
    mean = 20_000 * expected[2] / 10
    assert (np.abs(each - mean) < 5 * np.sqrt(mean)).all()


def test_ranks_share_the_draws(monkeypatch):
    dataset = Labelled([0, 0, 0, 1, 1])
    alone = ClassBalancedSampler(dataset, seed=3)
    parts = []
    for rank in range(2):
        monkeypatch.setattr(
            'bcl_mm.datasets.samplers.get_dist_info',
            lambda: (rank, 2),  # noqa: B023
        )
        parts.append(ClassBalancedSampler(dataset, seed=3))
    assert [len(part) for part in parts] == [3, 3]
    first, second = map(list, parts)
    merged = [i for pair in zip(first, second) for i in pair]
    assert merged[:5] == list(alone)


def test_epochs_and_seeds_differ():
    sampler = ClassBalancedSampler(Labelled(LABELS.tolist()), seed=0)
    first = list(sampler)
    assert list(sampler) == first
    sampler.set_epoch(1)
    assert list(sampler) != first
    other = ClassBalancedSampler(Labelled(LABELS.tolist()), seed=1)
    assert list(other) != first


def test_errors():
    with pytest.raises(ValueError, match=r'power must be in \[0, 1\], got 2'):
        ClassBalancedSampler(Labelled([0, 1]), power=2)
