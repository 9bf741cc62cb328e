"""What can be wrong with a data set, found without training on it."""

from __future__ import annotations

import os.path as osp
import warnings
from dataclasses import dataclass
from hashlib import blake2b
from io import BytesIO
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from bcl_mm.classes import class_names_of, count_classes, name_classes
from bcl_mm.datasets.lists import ImageList
from bcl_mm.datasets.long_tail import LongTailDataset
from bcl_mm.datasets.transforms.loading import (
    CorruptImageError,
    LoadImageFromFile,
    is_cut_short,
)
from bcl_mm.utils.errors import InputTypeError, InputValueError

_IMAGENET = dict(classes=1000)
_PLACES = dict(classes=365)
_INATURALIST = dict(classes=8142)
PUBLISHED_LISTS = {
    'ImageNet_LT_train.txt': dict(
        _IMAGENET, images=115_846, largest=1280, smallest=5
    ),
    'ImageNet_LT_val.txt': dict(_IMAGENET, images=20_000),
    'ImageNet_LT_test.txt': dict(_IMAGENET, images=50_000),
    'Places_LT_train.txt': dict(
        _PLACES, images=62_500, largest=4980, smallest=5
    ),
    'Places_LT_val.txt': dict(_PLACES, images=7_300),
    'Places_LT_test.txt': dict(_PLACES, images=36_500),
    'train2018.json': dict(_INATURALIST, images=437_513),
    'val2018.json': dict(_INATURALIST, images=24_426),
    'iNaturalist18_train.txt': dict(_INATURALIST, images=437_513),
    'iNaturalist18_val.txt': dict(_INATURALIST, images=24_426),
}
# LDAM-DRW's subsets, by imbalance factor (profile 'exp', seed 0).
PUBLISHED_SUBSETS = {
    'CIFAR10': {100: 12_406, 50: 13_996, 10: 20_431},
    'CIFAR100': {100: 10_847, 50: 12_608, 10: 19_573},
}
PUBLISHED_TESTS = dict(CIFAR10=10_000, CIFAR100=10_000, FashionMNIST=10_000)
_LOADER = LoadImageFromFile()


@dataclass
class Split:
    """What a loader's dataset holds, each image once.

    Attributes:
        name: ``'train'``, ``'val'`` or ``'test'``.
        labels: (N,) labels.
        paths: N absolute paths; empty for an image in memory.
        digests: N hashes of the content; empty where it is not known.
        class_counts: (C,) images per class.
        classes: C names, or None.
        published: The published figures of this data set, if it has any.
    """

    name: str
    labels: np.ndarray
    paths: List[str]
    digests: List[bytes]
    class_counts: np.ndarray
    classes: Optional[Sequence[str]]
    published: Dict[str, int]

    @classmethod
    def of(cls, name: str, dataset: Any) -> Split:
        """Read a dataset's annotations.

        Raises:
            ValueError: A label is missing or out of range.
            TypeError: The dataset does not tell what its samples are.
        """
        labels, paths, digests = [], [], []
        for info in own_images(dataset):
            if 'gt_label' not in info:
                raise InputValueError(
                    f'every image needs a label (gt_label), got {info}'
                )
            labels.append(info['gt_label'])
            in_memory = info.get('img') is not None
            digests.append(
                digest(np.asarray(info['img']).tobytes()) if in_memory else b''
            )
            path = '' if in_memory else info.get('img_path', '')
            paths.append(osp.abspath(path) if path else '')
        return cls(
            name=name,
            labels=np.asarray(labels),
            paths=paths,
            digests=digests,
            class_counts=count_classes(dataset),
            classes=class_names_of(dataset),
            published=published_figures(name, dataset),
        )

    def place(self, index: int) -> str:
        """How to call an image in a message."""
        return self.paths[index] or f'image {index}'


def own_images(dataset: Any) -> Iterator[dict]:
    """Annotations of a dataset's images, found through its wrappers.

    As for :func:`~bcl_mm.classes.count_classes`, repetition does not
    count, and of a subset only its own images do.

    Raises:
        TypeError: The dataset has no ``get_data_info()``.
    """
    is_wrapper = hasattr(dataset, 'dataset') and not (
        hasattr(dataset, 'class_counts') or hasattr(dataset, 'get_gt_labels')
    )
    if hasattr(dataset, 'datasets'):
        for part in dataset.datasets:
            yield from own_images(part)
    elif is_wrapper and hasattr(dataset, 'indices'):
        for i in np.unique(dataset.indices):
            yield dataset.dataset.get_data_info(int(i))
    elif is_wrapper:
        yield from own_images(dataset.dataset)
    elif hasattr(dataset, 'get_data_info'):
        if hasattr(dataset, 'full_init'):
            dataset.full_init()
        yield from map(dataset.get_data_info, range(len(dataset)))
    else:
        raise InputTypeError(
            f'{type(dataset).__name__} does not tell what its samples are: '
            'it needs get_data_info(), as datasets of MMEngine have'
        )


def published_figures(name: str, dataset: Any) -> Dict[str, int]:
    """Figures that a known data set must have; empty for another one.

    Args:
        name: ``'train'``, ``'val'`` or ``'test'``.
        dataset: The dataset, in its wrappers.

    Returns:
        ``images``, ``classes``, ``largest`` and ``smallest`` class, as far
        as they are published.
    """
    imbalance_factor = None
    while hasattr(dataset, 'dataset'):
        if isinstance(dataset, LongTailDataset):
            if (dataset.profile, dataset.seed) != ('exp', 0):
                return {}
            imbalance_factor = dataset.imbalance_factor
        dataset = dataset.dataset
    kind = type(dataset).__name__
    if isinstance(dataset, ImageList) and imbalance_factor is None:
        return PUBLISHED_LISTS.get(osp.basename(dataset.ann_file), {})
    if imbalance_factor is not None:
        images = PUBLISHED_SUBSETS.get(kind, {}).get(imbalance_factor)
    else:
        images = PUBLISHED_TESTS.get(kind) if name != 'train' else None
    return dict(images=images) if images else {}


def unpublished_list(dataset: Any) -> str:
    """Name of a list that a known data set's reader has, but not its own.

    Empty for the published lists, and for other data sets.
    """
    name = osp.basename(getattr(dataset, 'ann_file', ''))
    is_known = (
        isinstance(dataset, ImageList) and type(dataset) is not ImageList
    )
    return name if is_known and name not in PUBLISHED_LISTS else ''


def notes_of(dataset: Any) -> List[str]:
    """What a dataset, in its wrappers, tells of how it was read."""
    while hasattr(dataset, 'dataset'):
        dataset = dataset.dataset
    return getattr(dataset, 'notes', [])


def digest(content: bytes) -> bytes:
    """Hash of an image's bytes."""
    return blake2b(content, digest_size=16).digest()


def _why_not_decoded(content: bytes) -> str:
    """What is wrong with an image that training cannot decode."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # of metadata
            with Image.open(BytesIO(content)) as image:
                image.load()
    except UnidentifiedImageError:
        return 'is no image'
    except Exception as error:  # each decoder has its own
        return f'cannot be decoded: {error}'
    return (
        f'is {image.format} of mode {image.mode}, which training cannot '
        'decode: convert it'
    )


def check_image(path: str, fast: bool = False) -> Tuple[str, bytes]:
    """Read and decode an image as training does, with the configs' loader.

    Args:
        path: Its path.
        fast: Only see whether the file exists and is not empty.

    Returns:
        What is wrong with it (``'is missing'``), or an empty text; and the
        hash of its bytes, empty if they were not read or are no image.
    """
    if not osp.isfile(path):
        return 'is a folder' if osp.isdir(path) else 'is missing', b''
    if fast:
        return '' if osp.getsize(path) else 'is empty', b''
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        return f'cannot be read: {error.strerror}', b''
    if not content:
        return 'is empty', b''
    if is_cut_short(content):
        return 'is cut short', b''
    try:
        _LOADER.transform(dict(img_path=path))
    except CorruptImageError:
        return _why_not_decoded(content), b''
    return '', digest(content)


def figure_problems(split: Split) -> List[str]:
    """Figures that differ from those that are published."""
    counts = split.class_counts
    found = dict(
        images=len(split.labels),
        classes=len(counts),
        largest=int(counts.max()),
        smallest=int(counts.min()),
    )
    text = dict(
        images='{:,} images',
        classes='{:,} classes',
        largest='{:,} images in the largest class',
        smallest='{:,} images in the smallest class',
    )
    return [
        f'{split.name}: there are {text[key].format(found[key])}, but '
        f'{wanted:,} are published'
        for key, wanted in split.published.items()
        if found[key] != wanted
    ]


def class_problems(train: Split, other: Split) -> List[str]:
    """Classes that are not the same for training and testing."""
    problems = []
    num_classes = len(train.class_counts)
    if other.labels.max() >= num_classes:
        problems.append(
            f'{other.name}: labels reach {other.labels.max()}, but train has '
            f'{num_classes} classes'
        )
    ours, theirs = train.classes or (), other.classes or ()
    all_ours, all_theirs = set(ours), set(theirs)
    # A class that is only called by its label differs from none.
    differ = [
        i
        for i, (a, b) in enumerate(zip(ours, theirs))
        if a != b
        and (a in all_theirs or b in all_ours or str(i) not in (a, b))
    ]
    if differ:
        first = differ[0]
        problems.append(
            f'{other.name}: class {first} is {theirs[first]!r}, but in train '
            f'it is {ours[first]!r} ({len(differ)} classes differ; a folder '
            'that only one of them has shifts the labels of all after it)'
        )
    return problems


def empty_classes(split: Split) -> str:
    """Names of the classes without an image; empty if there is none."""
    return name_classes(np.flatnonzero(split.class_counts == 0), split.classes)


def duplicate_problems(split: Split) -> List[str]:
    """Files that a data set has more than once."""
    problems = []
    first: Dict[str, int] = {}
    for i, path in enumerate(split.paths):
        if not path or first.setdefault(path, i) == i:
            continue
        labels = [split.labels[first[path]], split.labels[i]]
        also = (
            f', with the labels {labels[0]} and {labels[1]}'
            if labels[0] != labels[1]
            else ''
        )
        problems.append(f'{split.name}: {path} is there twice{also}')
    return problems


def leak_problems(train: Split, other: Split) -> List[str]:
    """Files that are there for training and testing."""
    trained = set(filter(None, train.paths))
    return [
        f'{other.name}: {path} is a training image, too'
        for path in dict.fromkeys(other.paths)
        if path in trained
    ]


def same_content(train: Split, other: Split) -> List[Tuple[int, int]]:
    """Images that are bit for bit the same for training and testing.

    Returns:
        (index in ``train``, index in ``other``) for each image of ``other``,
        but for files that are the same, which are :func:`leak_problems`.
    """
    index = {content: i for i, content in enumerate(train.digests) if content}
    trained = set(filter(None, train.paths))
    return [
        (index[content], i)
        for i, content in enumerate(other.digests)
        if content in index and other.paths[i] not in trained
    ]
