"""Losses that weight samples by difficulty or by class size."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bcl_mm.registry import MODELS
from bcl_mm.utils.errors import InputValueError, check_number
from bcl_mm.utils.labels import check_hard_labels, class_targets

from .base import ClassCountsLoss, ClassificationLoss


def check_beta(beta: float) -> None:
    """Raise an error unless ``beta`` is a number in [0, 1)."""
    check_number('beta', beta, at_least=0, below=1)


def focal_cross_entropy(
    logits: Tensor, labels: Tensor, gamma: float = 2.0, reduction: str = 'mean'
) -> Tensor:
    r"""Focal loss (Lin et al., ICCV 2017, Eq. 4) of softmax probabilities.

    .. math::
        L = -(1 - p_y)^\gamma \log p_y, \quad p = \mathrm{softmax}(f)

    (The paper's detector and mmpretrain's ``FocalLoss`` use a sigmoid per
    class instead.) Computed in at least float32.

    Args:
        logits: (M, C) logits f.
        labels: (M,) integer labels in [0, C).
        gamma: Focusing parameter >= 0; 0 is plain cross-entropy. Defaults
            to 2.
        reduction: ``'mean'`` (default), ``'sum'`` or ``'none'``.

    Returns:
        Scalar, or (M,) with ``reduction='none'``.

    Raises:
        InputTypeError: ``gamma`` is not a number, or labels are not integers.
        InputValueError: ``gamma`` is negative or not finite, the labels are
            not of shape (M,), ``reduction`` is unknown, or, on a CPU, a label
            is out of range.

    Example:
        >>> logits, labels = torch.zeros(1, 2), torch.tensor([1])
        >>> focal_cross_entropy(logits, labels)  # 0.5^2 log 2
        tensor(0.1733)
    """
    check_number('gamma', gamma, at_least=0)
    if reduction not in ('mean', 'sum', 'none'):
        raise InputValueError(
            f"reduction must be 'mean', 'sum' or 'none', got {reduction!r}"
        )
    check_hard_labels(labels, 'focal_cross_entropy')
    dtype = torch.promote_types(logits.dtype, torch.float32)
    labels, factor = class_targets(labels, logits.shape, dtype)
    loss = F.cross_entropy(logits.to(dtype), labels, reduction='none') * factor
    if gamma:
        # 1 - p, exact for small losses too; the clamp keeps the gradient
        # finite for gamma < 1.
        missing = -torch.expm1(-loss)
        loss = missing.clamp(min=torch.finfo(dtype).tiny) ** gamma * loss
    return loss if reduction == 'none' else getattr(loss, reduction)()


def class_balanced_weights(
    class_counts: Tensor, beta: float = 0.9999
) -> Tensor:
    r"""Inverse effective numbers (Cui et al., CVPR 2019, Sec. 3 and 4).

    .. math::
        w_c \propto \frac{1 - \beta}{1 - \beta^{n_c}}, \quad \sum_c w_c = C

    Args:
        class_counts: (C,) training images per class :math:`n_c`.
        beta: In [0, 1). 0 weights all classes equally; towards 1 the weights
            approach the inverse counts. Defaults to 0.9999.

    Returns:
        (C,) weights, float64.

    Raises:
        InputTypeError: ``beta`` is not a number.
        InputValueError: ``beta`` is out of its range.

    Example:
        >>> class_balanced_weights(torch.tensor([2, 1]), beta=0.5)
        tensor([0.8000, 1.2000], dtype=torch.float64)
    """
    check_beta(beta)
    counts = torch.as_tensor(class_counts, dtype=torch.float64)
    if beta == 0:
        return torch.ones_like(counts)
    # expm1 avoids cancellation in 1 - beta^n for beta close to 1.
    weights = -1 / torch.expm1(counts * math.log(beta))
    return weights * (len(weights) / weights.sum())


@MODELS.register_module()
class FocalLoss(ClassificationLoss):
    """Module over :func:`focal_cross_entropy` (softmax form).

    Args:
        gamma: Focusing parameter >= 0. Defaults to 2.0.
        loss_weight: Multiplies the loss. Defaults to 1.0.

    Example:
        >>> loss = FocalLoss(gamma=2.0)
        >>> loss(torch.zeros(1, 2), torch.tensor([1]))  # 0.5^2 log 2
        tensor(0.1733)
    """

    settings = ('gamma',)

    def __init__(self, gamma: float = 2.0, loss_weight: float = 1.0) -> None:
        super().__init__(loss_weight)
        check_number('gamma', gamma, at_least=0)
        self.gamma = gamma

    def per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(M,) losses."""
        return focal_cross_entropy(logits, labels, self.gamma, 'none')


@MODELS.register_module()
class ClassBalancedLoss(ClassCountsLoss):
    """Class-balanced cross-entropy or focal loss (Cui et al., CVPR 2019).

    Each sample is weighted by its class's :func:`class_balanced_weights`;
    the sum is divided by the number of samples, as in the paper.

    Args:
        beta: See :func:`class_balanced_weights`. Defaults to 0.9999.
        gamma: Focusing parameter; 0 is cross-entropy. Defaults to 0.0.
        **kwargs: ``loss_weight`` and ``class_counts``, see
            :class:`~bcl_mm.models.losses.base.ClassCountsLoss`.

    Example:
        >>> loss = ClassBalancedLoss(beta=0.5, class_counts=[2, 1])
        >>> loss(torch.zeros(1, 2), torch.tensor([1]))  # 1.2 log 2
        tensor(0.8318)
    """

    settings = 'beta', 'gamma'

    def __init__(
        self, beta: float = 0.9999, gamma: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        check_beta(beta)
        check_number('gamma', gamma, at_least=0)
        self.beta = beta
        self.gamma = gamma

    def prepare_counts(self, class_counts: Tensor) -> Tensor:
        """(C,) weights."""
        return class_balanced_weights(class_counts, self.beta)

    def per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(M,) weighted losses."""
        check_hard_labels(labels, 'ClassBalancedLoss')
        losses = focal_cross_entropy(logits, labels, self.gamma, 'none')
        return self.from_counts(logits)[labels] * losses
