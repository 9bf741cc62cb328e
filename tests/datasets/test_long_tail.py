from types import SimpleNamespace

import numpy as np
import pytest
from mmpretrain.datasets import KFoldDataset
from torch.utils.data import Subset

from bcl_mm.classes import count_classes, labels_of
from bcl_mm.datasets import Digits, LongTailDataset
from bcl_mm.datasets.audit import published_figures
from bcl_mm.utils.errors import InputError
from tests import oracles
from tests.test_classes import Labelled


def balanced(num_classes, per_class):
    """A balanced dataset with shuffled labels."""
    labels = np.repeat(np.arange(num_classes), per_class)
    labels = np.random.RandomState(7).permutation(labels).tolist()
    return labels, Labelled(labels, [str(i) for i in range(num_classes)])


@pytest.mark.parametrize('profile', ['exp', 'step'])
@pytest.mark.parametrize(
    ('num_classes', 'per_class', 'imbalance_factor'),
    [(10, 500, 100), (10, 500, 10), (100, 50, 50)],
)
def test_subset_is_the_literatures(
    num_classes, per_class, imbalance_factor, profile
):
    labels, dataset = balanced(num_classes, per_class)
    ours = LongTailDataset(dataset, imbalance_factor, profile)
    expected = oracles.long_tail_indices(labels, imbalance_factor, profile)
    assert ours.indices.tolist() == expected
    assert np.array_equal(np.bincount(ours.get_gt_labels()), ours.class_counts)


def test_another_seed_is_another_subset():
    labels, dataset = balanced(10, 100)
    ours = LongTailDataset(dataset, 10, seed=3)
    assert ours.indices.tolist() == oracles.long_tail_indices(
        labels, 10, seed=3
    )
    assert (
        ours.indices.tolist() != LongTailDataset(dataset, 10).indices.tolist()
    )


def test_first_keeps_the_first_images_of_each_class():
    labels, dataset = balanced(10, 100)
    ours = LongTailDataset(dataset, 10, subset='first')
    expected = []
    for label, count in enumerate(ours.class_counts):
        own = [i for i, other in enumerate(labels) if other == label]
        expected += own[:count]
    assert ours.indices.tolist() == expected


def test_an_unequal_class_keeps_what_it_has():
    dataset = Labelled([0] * 100 + [1] * 3 + [2] * 50)
    ours = LongTailDataset(dataset, imbalance_factor=4)
    assert ours.class_counts.tolist() == [100, 3, 25]
    smaller = LongTailDataset(dataset, imbalance_factor=4, max_per_class=40)
    assert smaller.class_counts.tolist() == [40, 3, 10]
    larger = LongTailDataset(dataset, imbalance_factor=4, max_per_class=400)
    assert larger.class_counts.tolist() == [100, 3, 25]


@pytest.mark.parametrize('subset', ['ldam', 'first'])
def test_held_out_images_are_never_trained_on(subset):
    labels, dataset = balanced(10, 50)
    common = dict(imbalance_factor=10, subset=subset, held_out=6)
    held_out = LongTailDataset(dataset, part='val', **common)
    assert held_out.class_counts.tolist() == [6] * 10
    for options in ({}, dict(max_per_class=30), dict(profile='step')):
        train = LongTailDataset(dataset, **common, **options)
        assert not set(train.indices) & set(held_out.indices)
        # They are the same for any subset of the same order.
        again = LongTailDataset(dataset, part='val', **common, **options)
        assert again.indices.tolist() == held_out.indices.tolist()
    # The subset is that of the literature, as far as images are left.
    whole = LongTailDataset(dataset, 10, max_per_class=30, subset=subset)
    part = LongTailDataset(dataset, max_per_class=30, **common)
    assert part.indices.tolist() == whole.indices.tolist()
    most = LongTailDataset(dataset, max_per_class=50, **common)
    assert most.class_counts.max() == 44


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(held_out=50), "class '0' has 50, got 50"),
        (dict(held_out=-1), 'held_out must be >= 0'),
        (dict(part='val'), "part='val' needs held_out > 0"),
        (dict(part='test', held_out=1), "part must be 'train' or 'val'"),
    ],
)
def test_images_that_cannot_be_held_out(options, message):
    _, dataset = balanced(2, 50)
    with pytest.raises(InputError, match=message):
        LongTailDataset(dataset, imbalance_factor=10, **options)


def test_samples_are_those_of_the_indices():
    digits = Digits(split='train')
    ours = LongTailDataset(digits, imbalance_factor=50, max_per_class=120)
    assert len(ours) == len(ours.indices) == 331
    assert ours.class_counts.tolist() == [120, 77, 50, 32, 21, 13, 8, 5, 3, 2]
    assert ours.metainfo['classes'] == tuple('0123456789')
    for i in (0, 150, 330):
        inner = int(ours.indices[i])
        assert np.array_equal(ours[i]['img'], digits[inner]['img'])
        assert ours.get_data_info(i)['gt_label'] == ours.get_gt_labels()[i]
        assert ours.get_cat_ids(i) == [ours.get_gt_labels()[i]]


@pytest.mark.parametrize('test_mode', [False, True])
def test_folds_divide_the_subset(test_mode):
    tail = dict(
        type='bcl_mm.LongTailDataset',
        imbalance_factor=50,
        dataset=dict(type='bcl_mm.Digits', split='train'),
    )
    folds = [
        KFoldDataset(tail, fold, 3, test_mode, seed=0) for fold in range(3)
    ]
    whole = LongTailDataset(Digits(split='train'), 50)
    times = 1 if test_mode else 2  # each image is in as many folds
    assert sum(map(len, folds)) == times * len(whole)
    assert (sum(map(count_classes, folds)) == times * whole.class_counts).all()
    for fold in folds:
        assert (
            np.bincount(labels_of(fold), None, 10) == count_classes(fold)
        ).all()
        inner = fold._ori_indices[7]
        assert np.array_equal(fold[7]['img'], whole[inner]['img'])


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(fold=5, num_splits=2), r'fold must be in \[0, 2\), got 5'),
        (
            dict(num_splits=1, test_mode=True),
            'num_splits must be >= 2, got 1',
        ),
        (dict(test_mode='no', seed=0), "test_mode must be .*, got 'no'"),
        (dict(), 'seed must be a number where the images come class by class'),
        (dict(test_mode=True, num_splits=2), 'seed must be a number where'),
    ],
)
def test_folds_that_are_not_what_was_meant(options, message):
    tail = dict(
        type='bcl_mm.LongTailDataset',
        imbalance_factor=2,
        dataset=dict(type='bcl_mm.Digits', split='train'),
    )
    folds = KFoldDataset(tail, **options)
    for count in (count_classes, labels_of):
        with pytest.raises(InputError, match=message):
            count(folds)


def test_folds_of_shuffled_images_need_no_seed():
    # The digits come in the order in which they were written.
    folds = KFoldDataset(dict(type='bcl_mm.Digits', split='train'))
    assert (count_classes(folds) > 0).all()


def test_a_part_has_no_published_figures():
    class CIFAR10(Labelled):
        pass

    labels, _ = balanced(10, 5000)
    dataset = LongTailDataset(CIFAR10(labels, list('0123456789')), 100)
    assert published_figures('train', dataset) == dict(images=12_406)
    assert published_figures('train', Subset(dataset, range(9))) == {}
    for number, kept in ((7, slice(7)), (-7, slice(-7, None))):
        part = dataset.get_subset(number)
        assert part.indices.tolist() == dataset.indices[kept].tolist()
        assert part.class_counts.sum() == len(part) == 7


def test_errors():
    dataset = Labelled([0] * 10 + [2] * 10)
    with pytest.raises(ValueError, match=r'none of class 1 \(bee\)'):
        LongTailDataset(dataset, imbalance_factor=2)
    full = Labelled([0] * 10 + [1] * 10 + [2] * 10)
    with pytest.raises(ValueError, match=r'none of class 2 \(cat\)'):
        LongTailDataset(full, imbalance_factor=20)
    with pytest.raises(ValueError, match='imbalance_factor .* got 0.01'):
        LongTailDataset(full, imbalance_factor=0.01)
    dataset = SimpleNamespace(targets=[])
    with pytest.raises(ValueError, match='SimpleNamespace has no images'):
        LongTailDataset(dataset, imbalance_factor=2)
