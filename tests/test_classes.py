from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.dataset import ClassBalancedDataset, ConcatDataset, RepeatDataset
from mmpretrain.datasets import BaseDataset
from torch.utils.data import ConcatDataset as Concatenation
from torch.utils.data import Subset

from bcl_mm.classes import (
    ClassInfo,
    check_class_counts,
    count_classes,
    labels_of,
    leaves,
    shorten,
    shot_groups,
    source_of,
)
from bcl_mm.datasets import LongTailDataset
from bcl_mm.datasets.long_tail import long_tail_counts


class Labelled(BaseDataset):
    """A dataset of labels, without images."""

    def __init__(self, labels, classes=('ant', 'bee', 'cat')):
        self.labels = labels
        super().__init__('', metainfo=dict(classes=classes))

    def load_data_list(self):
        return [dict(gt_label=label) for label in self.labels]


@pytest.mark.parametrize(
    ('num_classes', 'largest', 'imbalance_factor', 'total'),
    [
        (100, 500, 100, 10_847),
        (100, 500, 50, 12_608),
        (100, 500, 10, 19_573),
        (10, 5000, 100, 12_406),
        (10, 5000, 50, 13_996),
        (10, 5000, 10, 20_431),
    ],
)
def test_totals_of_the_literature(
    num_classes, largest, imbalance_factor, total
):
    counts = long_tail_counts(num_classes, largest, imbalance_factor)
    assert counts.sum() == total
    assert counts[0] == largest
    assert counts[-1] == largest // imbalance_factor


def test_profiles_by_hand():
    # 100 * (1 / 16) ** (c / 2) for c = 0, 1, 2.
    assert long_tail_counts(3, 100, 16).tolist() == [100, 25, 6]
    step = long_tail_counts(5, 100, 16, 'step')
    assert step.tolist() == [100, 100, 6, 6, 6]
    assert long_tail_counts(4, 7, 1).tolist() == [7, 7, 7, 7]


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ((1, 10, 2), 'num_classes must be >= 2, got 1'),
        ((3, 0, 2), 'max_per_class must be >= 1, got 0'),
        ((3, 10, 0.01), 'imbalance_factor .* must be >= 1, got 0.01'),
        ((3, 10, float('nan')), 'imbalance_factor .*, got nan'),
        ((3, 10, 2, 'linear'), "profile must be 'exp' or 'step', got 'linear"),
    ],
)
def test_wrong_profiles(arguments, message):
    with pytest.raises(ValueError, match=message):
        long_tail_counts(*arguments)


def test_counts_through_wrappers_ignore_repetition():
    inner = Labelled([0, 0, 0, 1, 1, 2])
    for wrapper in (
        inner,
        RepeatDataset(inner, times=5),
        ClassBalancedDataset(inner, oversample_thr=0.9),
        SimpleNamespace(dataset=ClassBalancedDataset(inner, 0.9)),
    ):
        assert count_classes(wrapper).tolist() == [3, 2, 1]
    two = ConcatDataset([inner, inner])
    assert count_classes(two).tolist() == [6, 4, 2]
    assert count_classes(Subset(inner, [0, 3, 3, 5])).tolist() == [1, 1, 1]
    tailed = LongTailDataset(inner, imbalance_factor=3)
    assert count_classes(RepeatDataset(inner, 2)).tolist() == [3, 2, 1]
    assert tailed.class_counts.tolist() == [3, 1, 1]


def test_the_walk_through_wrappers():
    inner = Labelled([0, 0, 0, 1, 1, 2])
    tailed = LongTailDataset(inner, imbalance_factor=3)
    subset = Subset(RepeatDataset(inner, 2), [5, 1, 1])
    two = SimpleNamespace(datasets=[SimpleNamespace(dataset=tailed), inner])
    repeated = SimpleNamespace(dataset=two)

    (leaf, indices, wrappers), *others = leaves(SimpleNamespace(dataset=inner))
    assert (leaf, indices, len(wrappers), others) == (inner, None, 1, [])
    ((leaf, indices, wrappers),) = leaves(subset)
    assert leaf is subset.dataset
    assert indices.tolist() == [1, 5]
    assert wrappers == (subset,)
    assert list(leaves(repeated)) == [
        (tailed, None, (repeated, two, two.datasets[0])),
        (inner, None, (repeated, two)),
    ]
    sources = list(leaves(repeated, to_source=True))
    assert [leaf for leaf, _, _ in sources] == [inner, inner]
    assert sources[0][2][-1] is tailed
    assert [leaf for leaf, _, _ in leaves(subset, True)] == [inner]

    assert count_classes(repeated).tolist() == [6, 3, 2]
    assert count_classes(Subset(tailed, [0, 3])).tolist() == [1, 1, 0]
    twice = Concatenation([RepeatDataset(inner, 2), tailed])
    assert labels_of(twice).tolist() == [0, 0, 0, 1, 1, 2] * 2 + [
        0,
        0,
        0,
        1,
        2,
    ]
    assert labels_of(subset).tolist() == [2, 0, 0]


def test_the_source_of_a_dataset():
    assert source_of(Labelled([0])) == ''
    parts = [
        SimpleNamespace(ann_file='a.txt', data_prefix='b'),
        SimpleNamespace(ann_file='', data_prefix=dict(img_path='c')),
        SimpleNamespace(data_prefix='c'),
    ]
    wrapper = SimpleNamespace(datasets=parts)
    assert source_of(SimpleNamespace(dataset=parts[0])) == 'a.txt'
    assert source_of(wrapper) == 'a.txt, c'


def test_counts_have_the_named_classes():
    dataset = Labelled([0, 1, 1], classes=('ant', 'bee', 'cat', 'dog'))
    assert count_classes(dataset).tolist() == [1, 2, 0, 0]


def test_labels_of_other_datasets():
    class Targets:
        targets = [2, 0, 1]

    class Nothing:
        pass

    assert labels_of(Targets()).tolist() == [2, 0, 1]
    with pytest.raises(TypeError, match='Nothing has no labels'):
        labels_of(Nothing())


def test_wrong_labels():
    with pytest.raises(ValueError, match=r'\[0, 3\), got 3 at sample 1'):
        count_classes(Labelled([0, 3, 1]))
    with pytest.raises(ValueError, match=r'got -1 at sample 2'):
        count_classes(Labelled([0, 1, -1]))
    with pytest.raises(ValueError, match='one integer label per image'):
        count_classes(Labelled([0.5, 1.0, 2.0]))
    with pytest.raises(ValueError, match='must have one integer label'):
        count_classes(Labelled([[0, 1], [2]]))


def test_class_without_image_is_named():
    with pytest.raises(ValueError, match=r'none of class 1 \(bee\), 2 \(cat'):
        check_class_counts([3, 0, 0], class_names=('ant', 'bee', 'cat'))
    with pytest.raises(ValueError, match='and 92 more'):
        check_class_counts(np.zeros(100))


def test_number_of_classes_is_checked():
    with pytest.raises(ValueError, match='num_classes is 10, but .* has 3'):
        check_class_counts([1, 1, 1], num_classes=10)
    with pytest.raises(ValueError, match='one number per class'):
        check_class_counts([[1, 2]])
    for wrong in ([1.5, 2], [float('nan'), 1], ['a', 'b'], [-3, 4]):
        with pytest.raises(ValueError, match='whole numbers'):
            check_class_counts(wrong)


def test_contradiction_names_the_classes():
    found = ClassInfo([5, 4, 3], 'abc')
    found.require_same(None, 'BCLHead')
    found.require_same(ClassInfo([5, 4, 3]), 'BCLHead')
    message = (
        r'BCLHead contradicts .* class 1 \(b\): class 1 has 4 images, not 9'
    )
    with pytest.raises(ValueError, match=message):
        found.require_same(ClassInfo([5, 9, 3]), 'BCLHead')
    with pytest.raises(ValueError, match='has 2 classes, but the training'):
        found.require_same(ClassInfo([5, 4]), 'BCLHead')
    message = "^the checkpoint: class 'b' is 0, but in training it is 1"
    with pytest.raises(ValueError, match=message):
        found.require_same(ClassInfo([5, 4, 3], 'bac'), 'the checkpoint')


def test_shot_groups_at_their_borders():
    groups = shot_groups([101, 100, 20, 19])
    assert groups['many'].tolist() == [True, False, False, False]
    assert groups['medium'].tolist() == [False, True, True, False]
    assert groups['few'].tolist() == [False, False, False, True]
    with pytest.raises(ValueError, match='few must be <= many'):
        shot_groups([1], many=5, few=10)


def test_short_names_keep_both_ends():
    assert shorten('Temminck stint 10', 17) == 'Temminck stint 10'
    assert shorten('Temminck stint 10', 10) == 'Temmi…t 10'


def test_class_info_in_a_checkpoint():
    info = ClassInfo([5, 4], ('ant', 'bee'))
    meta = dict(dataset_meta=dict(classes=('ant', 'bee')))
    info.write(meta)
    found = ClassInfo.from_meta(meta)
    assert found.counts.tolist() == [5, 4]
    assert found.names == ('ant', 'bee')
    assert ClassInfo.from_meta({}) is None
    assert ClassInfo.from_meta(dict(class_counts=[5, 4])).names is None
    with pytest.raises(ValueError, match='one name per class, got 1 names'):
        ClassInfo([5, 4], ['ant'])
