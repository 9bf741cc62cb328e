"""Class counts: how many training images each class has (numpy only)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import (
    Any,
    Dict,
    Iterator,
    List,
    Optional,
    Sequence,
    Tuple,
    Union,
)

import numpy as np

from bcl_mm.utils.errors import (
    InputTypeError,
    InputValueError,
    check_number,
    visible,
)
from bcl_mm.utils.folds import check_folds

# (C,) training images per class.
Counts = Union[Sequence[int], np.ndarray]


def printable(name: str) -> str:
    """A name from the data, without codes that a terminal would obey."""
    return name if name.isprintable() else repr(name)


def name_classes(
    indices: Union[Sequence[int], np.ndarray],
    class_names: Optional[Sequence[str]] = None,
) -> str:
    """Name classes in a message, e.g. ``3 (cat), 5 (dog)``.

    At most eight are written out.
    """
    names = class_names or ()
    shown = [
        f'{i} ({printable(str(names[i]))})'
        if i < len(names) and names[i] != str(i)
        else str(i)
        for i in map(int, indices[:8])
    ]
    rest = len(indices) - len(shown)
    return ', '.join(shown) + (f' and {rest} more' if rest else '')


def shorten(name: str, most: int) -> str:
    """Shorten a name to ``most`` characters; keep both of its ends.

    Class names often differ only in their last characters. What cannot be
    shown is escaped.
    """
    name = visible(name)
    if len(name) <= most:
        return name
    end = (most - 1) // 2
    return f'{name[: most - 1 - end]}…{name[-end:]}'


def class_names_of(dataset: Any) -> Optional[Sequence[str]]:
    """Class names in a dataset's ``metainfo``, or None if it has none."""
    metainfo = getattr(dataset, 'metainfo', None)
    return metainfo.get('classes') if isinstance(metainfo, dict) else None


def shifted_classes(
    train_names: Optional[Sequence[str]], test_names: Optional[Sequence[str]]
) -> str:
    """Describe classes whose labels differ between training and testing.

    Where classes are numbered by their folders, a folder that only one of
    the two has shifts the labels of all classes after it.

    Args:
        train_names: Class names of the training set, None if it has none.
        test_names: Class names of the other set.

    Returns:
        A message; empty if there is no such class.
    """
    ours = {name: i for i, name in enumerate(train_names or ())}
    theirs = enumerate(test_names or ())
    shifted = [(name, i) for i, name in theirs if ours.get(name, i) != i]
    if not shifted:
        return ''
    name, i = shifted[0]
    return (
        f'class {name!r} is {i}, but in training it is {ours[name]} '
        f'({len(shifted)} classes differ): both sets must have the same '
        'classes, or name them alike (classes=[...])'
    )


def leaves(
    dataset: Any, to_source: bool = False
) -> Iterator[Tuple[Any, Optional[np.ndarray], Tuple[Any, ...]]]:
    """Walk through the wrappers of a dataset, without repetition.

    A wrapper has ``dataset`` or ``datasets``. Repetition
    (``RepeatDataset``, ``ClassBalancedDataset``, a sampler) is passed over:
    an image is one image however often it is shown.

    Args:
        dataset: A dataset or a wrapper of datasets.
        to_source: Whether to go down to the datasets that were read. By
            default the walk ends above them where a wrapper has labels of
            its own (``class_counts`` or ``get_gt_labels()``, as
            ``LongTailDataset`` has) or chooses ``indices`` (``Subset``).

    Yields:
        (dataset, its sorted unique indices or None for all of its samples,
        the wrappers around it, the outermost first).
    """
    own = 'class_counts', 'get_gt_labels'
    has_labels = any(hasattr(dataset, name) for name in own)
    parts = getattr(dataset, 'datasets', [])
    if not parts and hasattr(dataset, 'dataset'):
        parts = [dataset.dataset]
    if not parts or (has_labels and not to_source):
        yield dataset, None, ()
        return
    if len(parts) == 1 and hasattr(dataset, 'indices') and not to_source:
        yield parts[0], np.unique(dataset.indices), (dataset,)
        return
    for part in parts:
        for leaf, indices, wrappers in leaves(part, to_source):
            yield leaf, indices, (dataset, *wrappers)


def readers_of(dataset: Any) -> List[Any]:
    """Datasets that were read, below all wrappers."""
    return [leaf for leaf, _, _ in leaves(dataset, to_source=True)]


def source_of(dataset: Any) -> str:
    """Lists or folders that a dataset was read from; empty if unknown."""
    sources = []
    for reader in readers_of(dataset):
        prefix = getattr(reader, 'data_prefix', None)
        folder = prefix.get('img_path') if isinstance(prefix, dict) else prefix
        sources.append(getattr(reader, 'ann_file', None) or folder)
    return ', '.join(dict.fromkeys(filter(None, sources)))


def _raw_labels(dataset: Any) -> Any:
    # By position, so that repeated samples are repeated here, too.
    if hasattr(dataset, 'get_gt_labels'):
        return dataset.get_gt_labels()
    if hasattr(dataset, 'targets'):
        return dataset.targets
    if hasattr(dataset, 'datasets'):
        return np.concatenate([labels_of(d) for d in dataset.datasets])
    if hasattr(dataset, 'get_data_info'):
        indices = range(len(dataset))
        return [dataset.get_data_info(i)['gt_label'] for i in indices]
    if hasattr(dataset, 'indices') and hasattr(dataset, 'dataset'):
        return labels_of(dataset.dataset)[np.asarray(dataset.indices)]
    raise InputTypeError(
        f'{type(dataset).__name__} has no labels: it needs '
        'get_gt_labels(), targets or get_data_info()'
    )


def labels_of(dataset: Any) -> np.ndarray:
    """Labels of all samples of a dataset, without loading an image.

    Reads ``get_gt_labels()`` (MMPretrain), ``targets`` (torchvision), the
    parts of a concatenation, or ``get_data_info(i)['gt_label']`` (MMEngine).

    Returns:
        (N,) int64.

    Raises:
        InputTypeError: The dataset has none of them.
        InputValueError: A sample does not have exactly one integer label, or
            a KFoldDataset divides the images wrongly.

    Example:
        >>> from bcl_mm.datasets import Digits
        >>> labels_of(Digits('test'))[:5]
        array([0, 1, 2, 3, 4])
    """
    name = type(dataset).__name__
    try:
        labels = np.asarray(_raw_labels(dataset))
    except ValueError as error:  # ragged: some images have several labels
        raise InputValueError(
            f'{name} must have one integer label per image: {error}'
        ) from error
    if labels.size == 0:
        raise InputValueError(f'{name} has no images')
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise InputValueError(
            f'{name} must have one integer label per image, got labels of '
            f'shape {labels.shape} and type {labels.dtype}'
        )
    labels = labels.astype(np.int64)
    check_folds(dataset, labels)
    return labels


def bincount_labels(
    labels: np.ndarray,
    num_classes: Optional[int] = None,
    name: str = 'labels',
) -> np.ndarray:
    """Images per class, with labels checked against ``[0, num_classes)``.

    Args:
        labels: (N,) labels of any integer type.
        num_classes: Number of classes C. Defaults to the largest label + 1.
        name: What they are called in messages. Defaults to ``'labels'``.

    Returns:
        (C,) int64 counts.

    Raises:
        InputTypeError: The labels are not integers.
        InputValueError: A label is out of range; the message says which.

    Example:
        >>> bincount_labels([0, 2, 2], num_classes=4)
        array([1, 0, 2, 0])
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or (labels.size and labels.dtype.kind not in 'iu'):
        raise InputTypeError(
            f'{name} must be integers of shape (N,), got {labels.dtype} of '
            f'shape {labels.shape}'
        )
    if num_classes is None:
        num_classes = int(labels.max()) + 1
    wrong = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if len(wrong):
        raise InputValueError(
            f'{name} must be in [0, {num_classes}), got {labels[wrong[0]]} '
            f'at sample {wrong[0]} ({len(wrong)} of {len(labels)} {name} '
            'are out of range)'
        )
    labels = labels.astype(np.int64, copy=False)
    return np.bincount(labels, minlength=num_classes)


def count_classes(dataset: Any) -> np.ndarray:
    """Training images per class of a dataset, found through its wrappers.

    Each image counts once, however often it is shown (see :func:`leaves`).

    Args:
        dataset: A dataset or a wrapper of datasets. Its ``class_counts`` are
            trusted if it has them; otherwise its labels are counted.

    Returns:
        (C,) int64 counts; C is the number of ``metainfo['classes']``, or the
        largest label + 1 if the dataset does not name its classes.

    Raises:
        InputValueError: A label is out of range.
    """
    parts = []
    for leaf, indices, _ in leaves(dataset):
        if indices is None and hasattr(leaf, 'class_counts'):
            parts.append(np.asarray(leaf.class_counts, dtype=np.int64))
            continue
        labels, names = labels_of(leaf), class_names_of(leaf)
        if indices is not None:
            labels = labels[indices]
        parts.append(bincount_labels(labels, len(names) if names else None))
    most = max(map(len, parts))
    padded = np.stack([np.pad(part, (0, most - len(part))) for part in parts])
    total: np.ndarray = padded.sum(0)
    return total


def check_class_counts(
    class_counts: Any,
    num_classes: Optional[int] = None,
    class_names: Optional[Sequence[str]] = None,
) -> np.ndarray:
    """Class counts as a checked (C,) int64 array.

    Args:
        class_counts: C whole numbers, each >= 1.
        num_classes: The number of classes that is expected, if known.
        class_names: Names for the message.

    Raises:
        ValueError: There are not ``num_classes`` whole numbers, or a class
            has no training image; the message names the class.
    """
    try:
        counts = np.asarray(class_counts)
    except ValueError:  # ragged
        counts = np.empty((0, 0))
    if counts.ndim != 1 or len(counts) == 0:
        raise InputValueError(
            'class_counts must be one number per class, got '
            f'{str(class_counts)[:200]}'
        )
    if num_classes is not None and len(counts) != num_classes:
        raise InputValueError(
            f'num_classes is {num_classes}, but the training set (or '
            f'class_counts) has {len(counts)} classes: fix '
            'model.head.num_classes or the data'
        )
    if (
        counts.dtype.kind not in 'iuf'
        or not ((counts >= 0) & (counts < 2.0**53)).all()
        or (counts != np.floor(counts)).any()
    ):
        raise InputValueError(
            'class_counts must be whole numbers >= 0 and < 2^53, got '
            f'{str(class_counts)[:200]}'
        )
    empty = np.flatnonzero(counts < 1)
    if len(empty):
        raise InputValueError(
            'every class needs at least one training image, but there is '
            f'none of class {name_classes(empty, class_names)}'
        )
    return counts.astype(np.int64)


@dataclass(frozen=True, eq=False, init=False)
class ClassInfo:
    """Training images per class, and the names of the classes.

    Counted once from the training set, or given in the config, and kept in
    the ``meta`` of checkpoints.

    Args:
        counts: (C,) training images per class, whole numbers >= 1.
        names: C names. Defaults to None: unknown.

    Raises:
        InputValueError: A count is not a whole number, a class has no
            image, or there is not one name per class.

    Example:
        >>> info = ClassInfo([200, 5], ['cat', 'lynx'])
        >>> info.counts, info.names
        (array([200,   5]), ('cat', 'lynx'))
    """

    counts: np.ndarray
    names: Optional[Tuple[str, ...]]

    def __init__(
        self, counts: Any, names: Optional[Sequence[str]] = None
    ) -> None:
        names = None if names is None else tuple(map(str, names))
        counts = check_class_counts(counts, class_names=names)
        if names is not None and len(names) != len(counts):
            raise InputValueError(
                f'there must be one name per class, got {len(names)} names '
                f'and {len(counts)} class_counts'
            )
        object.__setattr__(self, 'counts', counts)
        object.__setattr__(self, 'names', names)

    @classmethod
    def from_dataset(cls, dataset: Any) -> ClassInfo:
        """Count a data set, through its wrappers.

        Raises:
            InputValueError: A label is out of range, or a class has no
                image.
            InputTypeError: The data set offers no labels.
        """
        return cls._matching(count_classes(dataset), class_names_of(dataset))

    @classmethod
    def from_meta(cls, meta: Dict[str, Any]) -> Optional[ClassInfo]:
        """Read it from a checkpoint's ``meta``, None if it has none."""
        counts = meta.get('class_counts')
        names = (meta.get('dataset_meta') or {}).get('classes')
        return None if counts is None else cls._matching(counts, names)

    @classmethod
    def _matching(
        cls, counts: Any, names: Optional[Sequence[str]]
    ) -> ClassInfo:
        """Make it, without names if there is not one per class."""
        return cls(counts, names if len(names or ()) == len(counts) else None)

    def write(self, meta: Dict[str, Any]) -> None:
        """Write the counts into a checkpoint's ``meta``.

        MMEngine writes the names there, as ``dataset_meta``.
        """
        meta['class_counts'] = self.counts.tolist()

    def require_num_classes(self, num_classes: int) -> None:
        """Raise an InputValueError unless there are ``num_classes``."""
        check_class_counts(self.counts, num_classes)

    def require_same(
        self,
        given: Optional[ClassInfo],
        owner: str,
        remedy: str = 'Remove class_counts from the config (they are counted '
        'from the data) or fix it',
    ) -> None:
        """Raise an InputValueError if other information contradicts this.

        Args:
            given: What the config or a checkpoint says; None never
                contradicts.
            owner: Who says it, for the message.
            remedy: What to do, for the message.
        """
        if given is None:
            return
        if len(given.counts) != len(self.counts):
            raise InputValueError(
                f'class_counts of {owner} has {len(given.counts)} classes, '
                f'but the training set has {len(self.counts)}'
            )
        shifted = shifted_classes(self.names, given.names)
        if shifted:
            raise InputValueError(f'{owner}: {shifted}. {remedy}')
        differ = np.flatnonzero(given.counts != self.counts)
        if len(differ):
            i = differ[0]
            raise InputValueError(
                f'class_counts of {owner} contradicts the training set in '
                f'class {name_classes(differ, self.names)}: class {i} has '
                f'{self.counts[i]} images, not {given.counts[i]}. {remedy}'
            )


def shot_groups(
    class_counts: Any, many: int = 100, few: int = 20
) -> Dict[str, np.ndarray]:
    """Many-, medium- and few-shot classes (Liu et al., CVPR 2019).

    Args:
        class_counts: (C,) training images per class.
        many: Classes with more images than this are many-shot.
        few: Classes with fewer images than this are few-shot.

    Returns:
        ``{'many', 'medium', 'few'}`` -> (C,) bool; each class is in one.

    Raises:
        InputTypeError: A threshold is not a whole number.
        InputValueError: A threshold is negative, or ``few`` is larger than
            ``many + 1``: the groups would overlap.

    Example:
        >>> groups = shot_groups([200, 50, 5])
        >>> {name: np.flatnonzero(groups[name]) for name in groups}
        {'many': array([0]), 'medium': array([1]), 'few': array([2])}
    """
    check_number('many', many, at_least=0, whole=True)
    check_number('few', few, at_least=0, whole=True)
    if few > many + 1:
        raise InputValueError(
            f'few must be <= many + 1, got few={few} and many={many}'
        )
    counts = np.asarray(class_counts)
    return dict(
        many=counts > many,
        medium=(counts >= few) & (counts <= many),
        few=counts < few,
    )
