"""Labels of batches, checked."""

from __future__ import annotations

from typing import Any, Callable, Optional, Sequence, Tuple, Union

import torch
import torch.nn.functional as F
from torch import Tensor

from bcl_mm.utils.errors import InputTypeError, InputValueError


def check_hard_labels(labels: Tensor, name: str) -> None:
    """Raise an InputValueError for soft labels, which a loss cannot use."""
    if labels.ndim != 1:
        raise InputValueError(
            f'{name} takes integer labels of shape (M,), got shape '
            f'{tuple(labels.shape)}: it does not support soft labels (Mixup, '
            'CutMix)'
        )


def _must_not_wait(labels: Tensor) -> bool:
    """Whether reading the labels costs a device sync or a graph break."""
    return not labels.is_cpu or torch.compiler.is_compiling()


def _integers(labels: Tensor) -> Tensor:
    """Labels of any integer type, as int64."""
    kind = labels.dtype
    if kind.is_floating_point or kind.is_complex or kind == torch.bool:
        raise InputTypeError(f'labels must be integers, got {kind}')
    return labels.long()


def _refuse(is_wrong: Tensor, say: Callable[[], str]) -> Union[int, Tensor]:
    """Factor of a loss: 1; where an error would be a sync, NaN."""
    if _must_not_wait(is_wrong):
        one = torch.ones((), device=is_wrong.device)
        return one.masked_fill(is_wrong.any(), torch.nan)
    if is_wrong.any():
        raise InputValueError(say())
    return 1


def class_labels(
    labels: Tensor, num_classes: Optional[int] = None
) -> Tuple[Tensor, Union[int, Tensor]]:
    """Labels of any integer type, checked.

    No label is ignored, not even torch's -100. On a GPU, where an error would
    be a device sync, labels out of range make the loss NaN:
    :class:`~bcl_mm.engine.hooks.FiniteLossHook` then stops training.

    Args:
        labels: (M,) integers in [0, C).
        num_classes: Number of classes C. Defaults to None: unknown.

    Returns:
        The labels, int64 and in range; and a factor for the loss: 1, or NaN
        where a label is out of range.

    Raises:
        InputTypeError: The labels are not integers.
        InputValueError: A label is out of range, on a CPU.
    """
    labels = _integers(labels)
    largest = torch.iinfo(torch.int64).max
    if num_classes is not None:
        largest = num_classes - 1
    is_wrong = (labels < 0) | (labels > largest)

    def message() -> str:
        allowed = '>= 0' if num_classes is None else f'in [0, {num_classes})'
        return (
            f'labels must be {allowed}, got {labels[is_wrong][0]}: no label '
            "is ignored, not even torch's -100; leave such samples out"
        )

    return labels.clamp(0, largest), _refuse(is_wrong, message)


def distinct_classes(
    labels: Tensor, is_empty: Tensor
) -> Tuple[Tensor, Union[int, Tensor]]:
    """Classes of prototypes, each given once, and the factor of a loss.

    Args:
        labels: (S,) integers >= 0.
        is_empty: (S,) slots without a class: they get negative ones.

    Raises:
        InputTypeError: The labels are not integers.
        InputValueError: One is negative or comes twice, on a CPU.
    """
    labels = _integers(labels).masked_fill(is_empty, 0)
    labels, factor = class_labels(labels)
    slots = torch.arange(len(labels), device=labels.device)
    labels = labels.where(~is_empty, -1 - slots)
    ordered = labels.sort().values
    is_double = ordered[1:] == ordered[:-1]

    def message() -> str:
        return (
            'prototype_labels must name each class once, got '
            f'{ordered[1:][is_double][0]} twice'
        )

    return labels, factor * _refuse(is_double, message)


def class_targets(
    labels: Tensor, shape: torch.Size, dtype: torch.dtype
) -> Tuple[Tensor, Union[int, Tensor]]:
    """:func:`class_labels`, or soft labels.

    Args:
        labels: (M,) integers in [0, C), or (M, C) probabilities.
        shape: (M, C) of the logits.
        dtype: That of the logits.

    Returns:
        Labels, int64, or soft labels of ``dtype``, in at least float32; and a
        factor for the loss: 1, or NaN where one is out of range.

    Raises:
        InputTypeError: Labels (M,) are not integers.
        InputValueError: Neither (M,) nor (M, C) labels, or, on a CPU, one is
            out of range.
    """
    if labels.shape not in (shape[:1], shape):
        raise InputValueError(
            f'labels of logits of shape {tuple(shape)} must have shape '
            f'({shape[0]},), or the same if soft, got {tuple(labels.shape)}'
        )
    if labels.ndim == 1:
        return class_labels(labels, shape[1])
    labels = labels.to(torch.promote_types(dtype, torch.float32))
    sums = labels.sum(1, dtype=torch.float32)  # (M,)
    # (Half precision and many classes round; NaN is no sum.)
    is_right = ((sums - 1).abs() < 0.05) & (labels >= 0).all(1)

    def message() -> str:
        return (
            'soft labels must be >= 0 and sum to 1 for each sample, got '
            f'{labels[~is_right][0].tolist()}'[:200]
        )

    return labels, _refuse(~is_right, message)


def sample_labels(samples: Sequence[Any]) -> Tensor:
    """(B,) int64 labels of samples or their dicts.

    Raises:
        InputTypeError: A label is not an integer.
        InputValueError: There are no samples, or one has not one label.
    """
    if not samples:
        raise InputValueError('a batch must have at least one sample')
    labels = [sample.get('gt_label') for sample in samples]
    for label, sample in zip(labels, samples):
        if label is None or label.shape != (1,):
            got = 'none' if label is None else f'shape {tuple(label.shape)}'
            raise InputValueError(
                f'each sample needs one gt_label, of shape (1,), got {got}: '
                f'{sample.get("img_path", "a sample without img_path")}'
            )
    return torch.cat([_integers(label) for label in labels])


def soft_labels(
    samples: Sequence[Any], labels: Tensor, num_classes: int
) -> Tensor:
    """(B, C) ``gt_score`` of the samples; one-hot ``labels`` without one.

    Args:
        samples: B samples.
        labels: (B,) in [0, C).
        num_classes: Number of classes C.

    Raises:
        InputValueError: A ``gt_score`` is not of shape (C,).
    """
    hard = F.one_hot(labels, num_classes).float()
    rows = []
    for row, sample in zip(hard, samples):
        score = sample.get('gt_score', row)
        if score.shape != (num_classes,):
            raise InputValueError(
                f'gt_score must have shape ({num_classes},), one number per '
                f'class, got {tuple(score.shape)}: num_classes of the data '
                "preprocessor and of the model's head must agree"
            )
        rows.append(score)
    return torch.stack(rows)


def soft_targets(labels: Tensor, logits: Tensor) -> Tensor:
    """Labels, hard or soft, as (M, C) of the type of logits (M, C)."""
    if labels.ndim == 2:
        return labels.to(logits)
    # F.one_hot reads the labels.
    return torch.zeros_like(logits).scatter_(1, labels[:, None], 1)
