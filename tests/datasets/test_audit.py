from types import SimpleNamespace

import numpy as np
import pytest
from torch.utils.data import ConcatDataset, Subset

from bcl_mm.datasets import ImageList, ImageNetLT, LongTailDataset
from bcl_mm.datasets.audit import (
    Split,
    figure_problems,
    notes_of,
    published_figures,
    unique_infos,
    unpublished_list,
)
from bcl_mm.datasets.same_images import find_same_images
from tests.test_classes import Labelled
from tests.trees import write_lists


class CIFAR100:
    """Labels of CIFAR-100, without images."""

    metainfo = dict(classes=[f'class {i}' for i in range(100)])

    def __init__(self, per_class):
        self.labels = np.repeat(np.arange(100), per_class)

    def get_gt_labels(self):
        return self.labels

    def get_data_info(self, index):
        return dict(gt_label=int(self.labels[index]))

    def __len__(self):
        return len(self.labels)


def test_published_subsets():
    full = CIFAR100(500)
    for factor, number in {100: 10_847, 50: 12_608, 10: 19_573}.items():
        split = Split.from_dataset('train', LongTailDataset(full, factor))
        assert split.published == dict(images=number)
        assert not figure_problems(split)
        smaller = LongTailDataset(full, factor, max_per_class=400)
        (problem,) = figure_problems(Split.from_dataset('train', smaller))
        assert problem.endswith(f'{number:,} are published')
    for other in (dict(seed=1), dict(profile='step')):
        subset = LongTailDataset(full, 100, **other)
        assert not published_figures('train', subset)
    assert not published_figures('train', full)
    assert published_figures('test', CIFAR100(100)) == dict(images=10_000)


def test_images_in_memory_are_compared():
    class Images(Labelled):
        def load_data_list(self):
            return [
                dict(gt_label=label, img=np.full((2, 2), number, np.uint8))
                for number, label in self.labels
            ]

    for fast in (False, True):
        train, test = (
            Split.from_dataset(name, images, fast)
            for name, images in (
                ('train', Images([(1, 0), (2, 1), (3, 2)])),
                ('test', Images([(4, 0), (3, 1)])),
            )
        )
        ((first, second),) = find_same_images([train, test])
        assert (first.split.name, first.index) == ('train', 2)
        assert (second.split.name, second.index) == ('test', 1)
    assert test.image_name(1) == 'image 1'


def test_the_images_that_are_audited_are_those_that_are_counted():
    inner = Labelled([0, 0, 0, 1, 1, 2])
    tailed = LongTailDataset(inner, imbalance_factor=3)
    for dataset, labels in (
        (SimpleNamespace(dataset=tailed), [0, 0, 0, 1, 2]),
        (ConcatDataset([tailed, inner]), [0, 0, 0, 1, 2, 0, 0, 0, 1, 1, 2]),
        (Subset(inner, [5, 0, 5]), [0, 2]),
    ):
        split = Split.from_dataset('train', dataset)
        assert split.labels.tolist() == labels
        assert split.class_counts.tolist() == np.bincount(labels).tolist()
    with pytest.raises(TypeError, match='object does not describe its samp'):
        list(unique_infos(object()))


def test_notes_come_through_wrappers():
    first, second = SimpleNamespace(notes=['a', 'b']), SimpleNamespace()
    third = SimpleNamespace(dataset=SimpleNamespace(notes=['c']))
    wrapper = SimpleNamespace(datasets=[first, second, third])
    assert notes_of(SimpleNamespace(dataset=first)) == ['a', 'b']
    assert notes_of(wrapper) == ['a', 'b', 'c']


def test_lists_of_another_name_have_no_figures(tmp_path):
    write_lists(tmp_path)
    dataset = ImageNetLT('ImageNet_LT_val.txt', data_root=str(tmp_path))
    assert published_figures('val', dataset)
    assert not unpublished_list(dataset)
    (tmp_path / 'ImageNet_LT_val.txt').rename(tmp_path / 'mine.txt')
    dataset = ImageNetLT('mine.txt', data_root=str(tmp_path))
    assert not published_figures('val', dataset)
    assert unpublished_list(dataset) == 'mine.txt'
    own = ImageList('mine.txt', data_root=str(tmp_path))
    assert not unpublished_list(own)
