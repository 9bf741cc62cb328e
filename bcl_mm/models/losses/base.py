"""Base classes of the classification losses."""

from __future__ import annotations

from typing import Any, Optional, Sequence, Tuple

import torch
import torch.nn as nn
from mmpretrain.models.losses.utils import weight_reduce_loss
from torch import Tensor

from bcl_mm.classes import ClassInfo
from bcl_mm.utils.errors import InputValueError, check_number
from bcl_mm.utils.labels import class_targets


def check_one_per_class(name: str, values: Tensor, logits: Tensor) -> None:
    """Raise an InputValueError unless values are (C,) for logits (M, C)."""
    if values.shape != logits.shape[1:]:
        raise InputValueError(
            f'{name} must have shape ({logits.shape[1]},), one number per '
            f'class, got {tuple(values.shape)}'
        )


class ClassificationLoss(nn.Module):
    """A loss per sample in mmpretrain's calling convention.

    Subclasses define :meth:`per_sample`, and name their own ``settings``.

    Args:
        loss_weight: Multiplies the loss, >= 0. Defaults to 1.0.

    Raises:
        InputTypeError: ``loss_weight`` is not a number.
        InputValueError: It is negative or not finite.

    Example:
        The squared distance of a sample's own logit from 1:

        >>> class SquaredLoss(ClassificationLoss):
        ...     def per_sample(self, logits, labels):
        ...         return (1 - logits.gather(1, labels[:, None])[:, 0]) ** 2
        >>> loss = SquaredLoss(loss_weight=0.5)
        >>> logits = torch.tensor([[3.0, 0.0], [0.0, 1.0]])
        >>> loss(logits, torch.tensor([0, 1]))  # 0.5 * (4 + 0) / 2
        tensor(1.)
    """

    settings: Tuple[str, ...] = ()

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
            labels: (M,) integers in [0, C) or, where the loss supports them,
                (M, C) soft labels, see :func:`class_targets`. To ignore a
                sample, leave it out, or give it a ``weight`` of zero and a
                label in range.
            weight: (M,) weights of the samples, or None.
            avg_factor: Divisor of the sum over samples. Defaults to their
                number M.
            reduction_override: ``'mean'`` (default), ``'sum'``, ``'none'``.

        Returns:
            Scalar, or (M,) with ``'none'``.

        Raises:
            InputTypeError: The labels are not integers.
            InputValueError: A label is out of range, on a CPU (on a GPU, the
                loss is NaN); or the loss needs class counts, and they are
                unknown.
        """
        labels, factor = class_targets(labels, logits.shape, logits.dtype)
        if weight is not None and weight.shape != logits.shape[:1]:
            raise InputValueError(
                f'weight must have shape ({len(logits)},), one number per '
                f'sample, got {tuple(weight.shape)}'
            )
        losses = self.per_sample(logits, labels) * factor
        reduction = reduction_override or 'mean'
        weights = weight, reduction, avg_factor
        loss: Tensor = weight_reduce_loss(losses, *weights)
        return self.loss_weight * loss

    def extra_repr(self) -> str:
        """The settings, for ``repr``."""
        names = *self.settings, 'loss_weight'
        return ', '.join(f'{name}={getattr(self, name)}' for name in names)


class ClassCountsLoss(ClassificationLoss):
    """A loss that needs the number of training images per class.

    They come from ``class_counts``, from
    :class:`~bcl_mm.engine.hooks.ClassInfoHook`, which counts the
    training set, or from :meth:`set_class_info`.

    Args:
        loss_weight: Multiplies the loss. Defaults to 1.0.
        class_counts: (C,) training images per class. Defaults to None: to be
            set before the first use.

    Example:
        Cross-entropy in which a class of n images has the weight 1 / n:

        >>> class InverseLoss(ClassCountsLoss):
        ...     def prepare_counts(self, class_counts):
        ...         return 1 / class_counts
        ...     def per_sample(self, logits, labels):
        ...         own = logits.log_softmax(1).gather(1, labels[:, None])
        ...         return -self.from_counts(logits)[labels] * own[:, 0]
        >>> loss = InverseLoss(class_counts=[10, 2])
        >>> loss(torch.zeros(1, 2), torch.tensor([1]))  # log(2) / 2
        tensor(0.3466)
    """

    def __init__(
        self,
        loss_weight: float = 1.0,
        class_counts: Optional[Sequence[int]] = None,
    ) -> None:
        super().__init__(loss_weight)
        # Not buffers: their size is unknown until the counts are, and EMA
        # copies the model before. The checkpoint's meta keeps the counts.
        self._counts: Optional[Tensor] = None
        self._prepared: Optional[Tensor] = None
        self.given_info: Optional[ClassInfo] = None
        if class_counts is not None:
            self.given_info = ClassInfo(class_counts)
            self.set_class_info(self.given_info)

    def prepare_counts(self, class_counts: Tensor) -> Tensor:
        """What the loss needs of the counts (C,), float64: (..., C)."""
        raise NotImplementedError

    def set_class_info(self, info: ClassInfo) -> None:
        """Take the training images per class.

        Raises:
            InputValueError: They contradict the constructor's.
        """
        info.require_same(self.given_info, type(self).__name__)
        self._counts = torch.as_tensor(info.counts, dtype=torch.float64)
        self._prepared = None

    def from_counts(self, logits: Tensor) -> Tensor:
        """The result of :meth:`prepare_counts`, on the device of ``logits``.

        In at least float32; where the logits (M, C) are float64, in float64.

        Raises:
            InputValueError: The class counts are unknown, or not C.
        """
        if self._counts is None:
            raise InputValueError(
                f'{type(self).__name__} needs class_counts, the number of '
                'training images per class: add ClassInfoHook to '
                'default_hooks (it counts the training set), give '
                'class_counts=[...] to the head or the loss, or call '
                'set_class_info()'
            )
        if len(self._counts) != logits.shape[1]:
            raise InputValueError(
                f'{type(self).__name__} has class_counts of '
                f'{len(self._counts)} classes, but there are '
                f'{logits.shape[1]} logits'
            )
        dtype = torch.promote_types(logits.dtype, torch.float32)
        kept = self._prepared
        if kept is None or (kept.device, kept.dtype) != (logits.device, dtype):
            kept = self.prepare_counts(self._counts).to(logits.device, dtype)
            self._prepared = kept
        return kept


class ScaledLoss(ClassCountsLoss):
    """A loss of cosines: of logits that are a scale times cosines.

    Args:
        scale: Scale of the logits, > 0, unless the head sets it. Defaults to
            30.0.
        **kwargs: ``loss_weight`` and ``class_counts``, see
            :class:`ClassCountsLoss`.

    Raises:
        InputTypeError: ``scale`` is not a number.
        InputValueError: It is not positive and finite.

    Example:
        >>> loss = ScaledLoss(scale=16)
        >>> loss.set_logit_scale(30.0)  # a cosine head does so
        >>> loss.scale
        30.0
    """

    def __init__(self, scale: float = 30.0, **kwargs: Any) -> None:
        check_number('scale', scale, above=0)
        super().__init__(**kwargs)
        self.scale = scale

    def set_logit_scale(self, scale: Optional[float]) -> None:
        """Set the scale of the head's logits; None is a linear classifier.

        Raises:
            InputTypeError: ``scale`` is not a number.
            InputValueError: The classifier is linear, or ``scale`` is not
                positive and finite.
        """
        if scale is None:
            raise InputValueError(
                f'{type(self).__name__} needs a normalised classifier: '
                "classifier='cosine', got 'linear'"
            )
        check_number('scale', scale, above=0)
        self.scale = scale
