import numpy as np
import pytest
from scipy.stats import chisquare

from bcl_mm.datasets import samplers
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


@pytest.mark.parametrize('power', [0.0, 0.5, 1.0])
def test_each_image_has_the_share_of_its_class(power):
    labels = np.array([7, 2, 2, 7, 7, 4, 7, 7, 2, 7])  # not all classes occur
    sampler = ClassBalancedSampler(Labelled(labels), power=power, seed=5)
    drawn = []
    for epoch in range(5000):
        sampler.set_epoch(epoch)
        drawn.extend(sampler)
    counts = np.bincount(labels)
    shares = counts[labels] ** (power - 1)
    expected = shares / shares.sum() * len(drawn)
    assert chisquare(np.bincount(drawn), expected).pvalue > 0.001


def test_a_draw_falls_on_an_image_in_the_order_of_classes():
    labels = np.random.RandomState(1).choice([0, 2, 3, 9], 40)
    sampler = ClassBalancedSampler(Labelled(labels), power=0.5)
    weights = np.bincount(labels)[labels] ** -0.5
    order = np.argsort(labels, kind='stable')
    bounds = np.cumsum([0, *weights[order]])
    middles = (bounds[1:] + bounds[:-1]) / 2
    assert (sampler._images_of(middles) == order).all()
    # Bounds belong to the image above; but the total, to which a product may
    # be rounded, to the last one.
    sampler = ClassBalancedSampler(Labelled(labels), power=1)
    drawn = sampler._images_of(np.arange(len(labels) + 1.0))
    assert (drawn == [*order, order[-1]]).all()


@pytest.mark.parametrize('world_size', [1, 2, 3])
def test_blocks_and_ranks_share_one_stream(world_size, monkeypatch):
    alone = list(ClassBalancedSampler(Labelled(LABELS), seed=3))
    monkeypatch.setattr(samplers, '_BLOCK', 7)
    parts = []
    for rank in range(world_size):
        monkeypatch.setattr(
            samplers,
            'get_dist_info',
            lambda: (rank, world_size),  # noqa: B023
        )
        parts.append(ClassBalancedSampler(Labelled(LABELS), seed=3))
    lengths = [len(part) for part in parts]
    parts = list(map(list, parts))
    assert lengths == [len(part) for part in parts]
    assert len(set(lengths)) == 1
    merged = [i for dealt in zip(*parts) for i in dealt]
    assert merged[: len(alone)] == alone
    assert len(alone) <= len(merged) < len(alone) + world_size
    assert all(type(i) is int for i in merged)


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
