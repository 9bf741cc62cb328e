"""Labels and class names of datasets, found and checked (numpy only)."""

from __future__ import annotations

from typing import Any, Optional, Sequence

import numpy as np


def name_classes(
    indices: Sequence[int], class_names: Optional[Sequence[str]] = None
) -> str:
    """Text that names classes in a message, e.g. ``3 (cat), 5 (dog)``.

    At most eight are written out.
    """
    shown = [
        f'{i} ({class_names[i]})'
        if i < len(class_names or ()) and class_names[i] != str(i)
        else str(i)
        for i in map(int, indices[:8])
    ]
    rest = len(indices) - len(shown)
    return ', '.join(shown) + (f' and {rest} more' if rest else '')


def shorten(name: str, most: int) -> str:
    """A name of at most ``most`` letters, of both its ends if it is longer.

    Names of classes often differ in their last letters alone.
    """
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
    """Say which class has one number in training and another in testing.

    Where classes are numbered by their folders, a folder that only one of
    the two has shifts the labels of all after it.

    Args:
        train_names: Class names of the training set, None if it has none.
        test_names: Class names of the other set.

    Returns:
        A message; empty if there is no such class.
    """
    number_of = {name: i for i, name in enumerate(train_names or ())}
    shifted = [
        (name, number_of[name], i)
        for i, name in enumerate(test_names or ())
        if number_of.get(name, i) != i
    ]
    if not shifted:
        return ''
    name, ours, theirs = shifted[0]
    return (
        f'class {name!r} is {theirs}, but in training it is {ours} '
        f'({len(shifted)} classes differ): the same classes must be there, '
        'or be named (classes=[...]) alike'
    )


def source_of(dataset: Any) -> str:
    """List or folder that a dataset was read from; empty if not known."""
    while hasattr(dataset, 'dataset'):
        dataset = dataset.dataset
    prefix = getattr(dataset, 'data_prefix', None)
    folder = prefix.get('img_path') if isinstance(prefix, dict) else prefix
    return getattr(dataset, 'ann_file', None) or folder or ''


def _raw_labels(dataset: Any) -> Any:
    if hasattr(dataset, 'get_gt_labels'):
        return dataset.get_gt_labels()
    if hasattr(dataset, 'targets'):
        return dataset.targets
    if hasattr(dataset, 'datasets'):
        return np.concatenate([labels_of(d) for d in dataset.datasets])
    if hasattr(dataset, 'get_data_info'):
        infos = map(dataset.get_data_info, range(len(dataset)))
        return [info['gt_label'] for info in infos]
    if hasattr(dataset, 'indices') and hasattr(dataset, 'dataset'):
        return labels_of(dataset.dataset)[np.asarray(dataset.indices)]
    raise TypeError(
        f'{type(dataset).__name__} gives no labels: it needs '
        'get_gt_labels(), targets or get_data_info()'
    )


def labels_of(dataset: Any) -> np.ndarray:
    """Labels of all samples of a dataset, without loading an image.

    Reads ``get_gt_labels()`` (MMPretrain), ``targets`` (torchvision), the
    parts of a concatenation, or ``get_data_info(i)['gt_label']`` (MMEngine).

    Returns:
        (N,) int64.

    Raises:
        TypeError: The dataset offers none of them.
        ValueError: A sample does not have exactly one integer label.
    """
    name = type(dataset).__name__
    try:
        labels = np.asarray(_raw_labels(dataset))
    except ValueError as error:  # ragged: several labels for some images
        raise ValueError(
            f'{name} must have one integer label per image: {error}'
        ) from error
    if labels.size == 0:
        raise ValueError(f'{name} has no images')
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f'{name} must have one integer label per image, got labels of '
            f'shape {labels.shape} and type {labels.dtype}'
        )
    return labels.astype(np.int64)


def bincount_labels(
    labels: np.ndarray, num_classes: Optional[int] = None
) -> np.ndarray:
    """Images per class, with labels checked against ``[0, num_classes)``.

    Args:
        labels: (N,) integer labels.
        num_classes: Number of classes C. Defaults to the largest label + 1.

    Returns:
        (C,) int64 counts.

    Raises:
        ValueError: A label is out of range; the message says which.
    """
    if num_classes is None:
        num_classes = int(labels.max()) + 1
    wrong = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if len(wrong):
        raise ValueError(
            f'labels must be in [0, {num_classes}), got {labels[wrong[0]]} '
            f'at sample {wrong[0]} ({len(wrong)} of {len(labels)} labels are '
            'out of range)'
        )
    return np.bincount(labels, minlength=num_classes).astype(np.int64)
