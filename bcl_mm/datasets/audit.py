"""Checks of a data set before training on it."""

from __future__ import annotations

import os.path as osp
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Optional, Sequence

import numpy as np
from mmpretrain.datasets import KFoldDataset
from torch.utils.data import Subset

from bcl_mm.classes import (
    class_names_of,
    count_classes,
    leaves,
    name_classes,
    printable,
    readers_of,
)
from bcl_mm.datasets.exclusions import list_exclusions
from bcl_mm.datasets.findings import Exclusion
from bcl_mm.datasets.fingerprints import FINGERPRINT, fingerprint
from bcl_mm.datasets.lists import ImageList
from bcl_mm.datasets.long_tail import LongTailDataset
from bcl_mm.utils.errors import InputTypeError, InputValueError

# Published figures, and what a message calls them.
FIGURES = dict(
    classes='classes',
    images='images',
    largest='images in the largest class',
    smallest='images in the smallest class',
)
PUBLISHED_LISTS = {
    'ImageNet_LT_train.txt': (1000, 115_846, 1280, 5),
    'ImageNet_LT_val.txt': (1000, 20_000),
    'ImageNet_LT_test.txt': (1000, 50_000),
    'Places_LT_train.txt': (365, 62_500, 4980, 5),
    'Places_LT_val.txt': (365, 7_300),
    'Places_LT_test.txt': (365, 36_500),
    'train2018.json': (8142, 437_513),
    'val2018.json': (8142, 24_426),
    'iNaturalist18_train.txt': (8142, 437_513),
    'iNaturalist18_val.txt': (8142, 24_426),
}
# LDAM-DRW's subsets, by imbalance factor (profile 'exp', seed 0).
PUBLISHED_SUBSETS: Dict[str, Dict[float, int]] = {
    'CIFAR10': {100: 12_406, 50: 13_996, 10: 20_431},
    'CIFAR100': {100: 10_847, 50: 12_608, 10: 19_573},
}
PUBLISHED_TESTS = dict(CIFAR10=10_000, CIFAR100=10_000, FashionMNIST=10_000)


@dataclass
class Split:
    """Annotations of a loader's dataset, each image once.

    Attributes:
        name: ``'train'``, ``'val'`` or ``'test'``.
        labels: (N,) labels.
        paths: N absolute paths; empty for an image in memory.
        fingerprints: (N,) ``FINGERPRINT``; those of files are set when these
            are read.
        class_counts: (C,) images per class.
        classes: C names, or None.
        published: The published figures of this data set, if it has any.
        has_told_empty_classes: Whether its reader names the classes without
            an image as a problem.
    """

    name: str
    labels: np.ndarray
    paths: List[str]
    fingerprints: np.ndarray
    class_counts: np.ndarray
    classes: Optional[Sequence[str]]
    published: Dict[str, int]
    has_told_empty_classes: bool = False

    @classmethod
    def from_dataset(
        cls, name: str, dataset: Any, fast: bool = False
    ) -> Split:
        """Read a dataset's annotations.

        Args:
            name: ``'train'``, ``'val'`` or ``'test'``.
            dataset: The dataset, with its wrappers.
            fast: Whether images in memory get only digests. Defaults to
                False.

        Raises:
            InputValueError: A label is missing or out of range.
            InputTypeError: The dataset has no ``get_data_info()``.
        """
        labels, paths, prints = [], [], []
        unknown = np.zeros((), FINGERPRINT)
        for info in unique_infos(dataset):
            if 'gt_label' not in info:
                raise InputValueError(
                    f'every image needs a label (gt_label), got {info}'
                )
            labels.append(info['gt_label'])
            pixels, path = info.get('img'), info.get('img_path')
            if pixels is not None:
                prints.append(fingerprint(np.asarray(pixels), fast))
                paths.append('')
            else:
                prints.append(unknown)
                paths.append(osp.abspath(path) if path else '')
        counts, classes = count_classes(dataset), class_names_of(dataset)
        published = published_figures(name, dataset)
        return cls(
            name,
            np.asarray(labels),
            paths,
            np.array(prints, FINGERPRINT),
            counts,
            classes,
            published,
            _has_reader_with('tells_empty_classes', dataset),
        )

    def name_of_class(self, label: int) -> str:
        """Name of a class; its number if it has no other."""
        names = self.classes or ()
        return str(names[label] if 0 <= label < len(names) else label)

    def class_name(self, index: int) -> str:
        """Name of the class of an image."""
        return self.name_of_class(int(self.labels[index]))

    def image_name(self, index: int) -> str:
        """Name of an image in a message."""
        return printable(self.paths[index]) or f'image {index}'


def unique_infos(dataset: Any) -> Iterator[dict]:
    """Annotations of a dataset's images, each image once.

    They are those that :func:`~bcl_mm.classes.count_classes` counts.

    Raises:
        InputTypeError: The dataset has no ``get_data_info()``.
    """
    for leaf, indices, _ in leaves(dataset):
        if not hasattr(leaf, 'get_data_info'):
            raise InputTypeError(
                f'{type(leaf).__name__} does not describe its samples: it '
                "needs get_data_info(), as MMEngine's datasets have"
            )
        if hasattr(leaf, 'full_init'):
            leaf.full_init()
        every = range(len(leaf)) if indices is None else indices.tolist()
        yield from map(leaf.get_data_info, every)


def published_figures(name: str, dataset: Any) -> Dict[str, int]:
    """Figures that a known data set must have; empty for any other.

    Args:
        name: ``'train'``, ``'val'`` or ``'test'``.
        dataset: The dataset, with its wrappers.

    Returns:
        Those of ``FIGURES`` that are published.
    """
    found = list(leaves(dataset, to_source=True))
    if len(found) != 1:  # a concatenation
        return {}
    source, _, wrappers = found[0]
    kind = type(source).__name__
    if any(isinstance(w, (KFoldDataset, Subset)) for w in wrappers):
        return {}  # of a part
    subsets = [w for w in wrappers if isinstance(w, LongTailDataset)]
    if any((w.profile, w.seed) != ('exp', 0) for w in subsets):
        return {}
    if subsets:
        by_factor = PUBLISHED_SUBSETS.get(kind, {})
        images = by_factor.get(subsets[-1].imbalance_factor)
    elif isinstance(source, ImageList):
        figures = PUBLISHED_LISTS.get(osp.basename(source.ann_file), ())
        return dict(zip(FIGURES, figures))
    else:
        images = PUBLISHED_TESTS.get(kind) if name != 'train' else None
    return dict(images=images) if images else {}


def unpublished_list(dataset: Any) -> str:
    """Name of the list of a known data set's reader that is not published.

    Empty for the published lists, and for other data sets.
    """
    name = osp.basename(getattr(dataset, 'ann_file', ''))
    if not isinstance(dataset, ImageList) or type(dataset) is ImageList:
        return ''
    return '' if name in PUBLISHED_LISTS else name


def notes_of(dataset: Any) -> List[str]:
    """Notes of the readers in a dataset on how they read it."""
    readers = readers_of(dataset)
    return [n for reader in readers for n in getattr(reader, 'notes', [])]


def excluded_from(dataset: Any) -> List[Exclusion]:
    """What the lists exclude that the readers in a dataset follow."""
    lists = [getattr(r, 'exclude', None) for r in readers_of(dataset)]
    return [row for path in lists if path for row in list_exclusions(path)]


def problems_of(dataset: Any) -> List[str]:
    """What the readers in a dataset stepped over."""
    readers = readers_of(dataset)
    return [p for reader in readers for p in getattr(reader, 'problems', [])]


def _has_reader_with(attribute: str, dataset: Any) -> bool:
    return any(getattr(r, attribute, False) for r in readers_of(dataset))


def has_unused_test_part(dataset: Any) -> bool:
    """Whether the data of a dataset have a test part beside it."""
    return _has_reader_with('has_test_part', dataset)


def figure_problems(split: Split) -> List[str]:
    """Figures that differ from the published ones."""
    counts = split.class_counts
    figures = len(counts), len(split.labels), counts.max(), counts.min()
    found = dict(zip(FIGURES, figures))
    return [
        f'{split.name}: there are {found[key]:,} {FIGURES[key]}, but '
        f'{wanted:,} are published'
        for key, wanted in split.published.items()
        if found[key] != wanted
    ]


def class_problems(train: Split, other: Split) -> List[str]:
    """Classes that differ between training and testing."""
    problems = []
    num_classes = len(train.class_counts)
    if other.labels.max() >= num_classes:
        problems.append(
            f'{other.name}: labels reach {other.labels.max()}, but train has '
            f'{num_classes} classes'
        )
    ours, theirs = train.classes or (), other.classes or ()
    shared = set(ours) & set(theirs)
    # A class named only by its label may be any class.
    differ = [
        (i, a, b)
        for i, (a, b) in enumerate(zip(ours, theirs))
        if a != b and (shared & {a, b} or str(i) not in (a, b))
    ]
    if differ:
        i, a, b = differ[0]
        problems.append(
            f'{other.name}: class {i} is {b!r}, but in train it is {a!r} '
            f'({len(differ)} classes differ; a folder that only one of them '
            'has shifts the labels of all after it)'
        )
    return problems


def empty_classes(split: Split) -> str:
    """Names of the classes without an image; empty if there is none."""
    return name_classes(np.flatnonzero(split.class_counts == 0), split.classes)
