"""What the classification losses share."""

from __future__ import annotations

from typing import Any, Optional, Sequence

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmpretrain.models.losses.utils import weight_reduce_loss
from torch import Tensor

from bcl_mm.classes import check_class_counts, reconcile_class_counts
from bcl_mm.utils.errors import InputValueError, check_number


def check_hard_labels(labels: Tensor, name: str) -> None:
    """Raise a ValueError for soft labels, for losses that have no use for."""
    if labels.ndim != 1:
        raise InputValueError(
            f'{name} takes integer labels of shape (M,), got shape '
            f'{tuple(labels.shape)}: soft labels (Mixup, CutMix) do not go '
            'with it'
        )


def cross_entropy(
    logits: Tensor, labels: Tensor, reduction: str = 'none'
) -> Tensor:
    """Cross-entropy that ignores no label, not torch's -100 either.

    A sample that is ignored would still count in the mean.
    """
    never = torch.iinfo(torch.int32).min
    return F.cross_entropy(
        logits, labels, reduction=reduction, ignore_index=never
    )


class ClassificationLoss(nn.Module):
    """A loss per sample in mmpretrain's calling convention.

    Subclasses say in :meth:`per_sample` what a sample costs.

    Args:
        loss_weight: Multiplies the loss, >= 0. Defaults to 1.0.

    Raises:
        TypeError: ``loss_weight`` is no number.
        ValueError: It is negative or not finite.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        check_number('loss_weight', loss_weight, at_least=0)
        super().__init__()
        self.loss_weight = loss_weight

    def per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(M,) losses of logits (M, C)."""
        raise NotImplementedError

    def forward(
        self,
        logits: Tensor,
        labels: Tensor,
        weight: Optional[Tensor] = None,
        avg_factor: Optional[float] = None,
        reduction_override: Optional[str] = None,
    ) -> Tensor:
        """Loss of a batch.

        Args:
            logits: (M, C).
            labels: (M,) integers in [0, C) or, where the loss knows them,
                (M, C) soft labels. None is ignored, -100 (torch's
                ``ignore_index``) neither: leave such samples out, or give
                them a ``weight`` of zero and a label in range.
            weight: (M,) weights of the samples, or None.
            avg_factor: What the sum over samples is divided by. Defaults to
                their number M.
            reduction_override: ``'mean'`` (default), ``'sum'``, ``'none'``.

        Returns:
            Scalar, or (M,) with ``'none'``.

        Raises:
            ValueError: The class counts are needed, but not known.
            IndexError: A label is out of range, on a CPU. On a GPU, where a
                look at the labels would wait for the device, CUDA's
                assertion ends the program. (The hook checks the labels of
                data sets before training.)
        """
        return self.loss_weight * weight_reduce_loss(
            self.per_sample(logits, labels),
            weight,
            reduction_override or 'mean',
            avg_factor,
        )


class ClassCountsLoss(ClassificationLoss):
    """A loss that needs the number of training images per class.

    They come from ``class_counts``, from
    :class:`~bcl_mm.engine.hooks.ClassComplementHook`, which counts the
    training set, or from :meth:`set_class_counts`.

    Args:
        loss_weight: Multiplies the loss. Defaults to 1.0.
        class_counts: (C,) training images per class. Defaults to None: to be
            set before the first use.
    """

    def __init__(
        self,
        loss_weight: float = 1.0,
        class_counts: Optional[Sequence[int]] = None,
    ) -> None:
        super().__init__(loss_weight)
        # No buffers: their size is unknown until the counts are, EMA copies
        # the model before, and the head keeps the counts in the checkpoint.
        self._counts: Optional[Tensor] = None
        self._derived: Optional[Tensor] = None
        self.given_counts = None
        if class_counts is not None:
            self.given_counts = check_class_counts(class_counts)
            self.set_class_counts(self.given_counts)

    def derive(self, class_counts: Tensor) -> Tensor:
        """What the loss keeps of the counts (C,), float64: (..., C)."""
        raise NotImplementedError

    def set_class_counts(self, class_counts: Any) -> None:
        """Take the (C,) training images per class.

        Raises:
            ValueError: A class has no image, or the counts contradict those
                that the constructor was given.
        """
        counts = check_class_counts(class_counts)
        reconcile_class_counts(self.given_counts, counts, type(self).__name__)
        self._counts = torch.as_tensor(counts, dtype=torch.float64)
        self._derived = None

    def from_counts(self, logits: Tensor) -> Tensor:
        """What :meth:`derive` gives, on the device of ``logits`` (M, C).

        In at least float32; where the logits are float64, in float64.

        Raises:
            ValueError: The class counts are not known, or not C.
        """
        if self._counts is None:
            raise InputValueError(
                f'{type(self).__name__} needs class_counts, the number of '
                'training images per class: add ClassComplementHook to '
                'default_hooks (it counts the training set), give '
                'class_counts=[...] to the head or the loss, or call '
                'set_class_counts()'
            )
        if len(self._counts) != logits.shape[1]:
            raise InputValueError(
                f'{type(self).__name__} has class_counts of '
                f'{len(self._counts)} classes, but there are '
                f'{logits.shape[1]} logits'
            )
        dtype = torch.promote_types(logits.dtype, torch.float32)
        derived = self._derived
        if (
            derived is None
            or derived.device != logits.device
            or derived.dtype != dtype
        ):
            self._derived = self.derive(self._counts).to(logits.device, dtype)
        return self._derived
