"""Logit-adjusted cross-entropy."""

from __future__ import annotations

from typing import Any, Optional

import torch
import torch.nn.functional as F
from torch import Tensor

from bcl_mm.registry import MODELS
from bcl_mm.utils.errors import check_number
from bcl_mm.utils.labels import class_targets

from .base import ClassCountsLoss, check_one_per_class


def _check_tau(tau: float) -> None:
    # Training with a negative one favours frequent classes twice.
    check_number('tau', tau, at_least=0)


def logit_adjusted_cross_entropy(
    logits: Tensor,
    labels: Tensor,
    log_prior: Tensor,
    tau: float = 1.0,
    reduction: str = 'mean',
) -> Tensor:
    r"""Logit-adjusted cross-entropy (Menon et al., ICLR 2021, Eq. 10).

    .. math::
        L = -\log \frac{\exp(f_y + \tau \log \pi_y)}
        {\sum_j \exp(f_j + \tau \log \pi_j)}

    With :math:`\tau = 1` it is the balanced softmax (Ren et al., NeurIPS
    2020). Computed in at least float32.

    Args:
        logits: (M, C) plain logits f.
        labels: (M,) integer labels in [0, C), or (M, C) soft labels.
        log_prior: (C,) log of the class prior :math:`\pi`.
        tau: Scales the log prior, >= 0; 0 is plain cross-entropy. Defaults to
            1.
        reduction: ``'mean'`` (default), ``'sum'`` or ``'none'``.

    Returns:
        Scalar, or (M,) with ``reduction='none'``.

    Raises:
        InputTypeError: ``tau`` is not a number, or labels are not integers.
        InputValueError: ``log_prior`` is not one number per class, ``tau`` is
            negative or not finite, or, on a CPU, a label is out of range.

    Example:
        >>> logits, labels = torch.zeros(1, 2), torch.tensor([1])
        >>> log_prior = torch.tensor([0.9, 0.1]).log()
        >>> logit_adjusted_cross_entropy(logits, labels, log_prior)  # -log 0.1
        tensor(2.3026)
        >>> logit_adjusted_cross_entropy(logits, labels, log_prior, tau=0)
        tensor(0.6931)
    """
    _check_tau(tau)
    check_one_per_class('log_prior', log_prior, logits)
    dtype = torch.promote_types(logits.dtype, torch.float32)
    logits = logits.to(dtype) + tau * log_prior.to(dtype)
    labels, factor = class_targets(labels, logits.shape, dtype)
    return F.cross_entropy(logits, labels, reduction=reduction) * factor


@MODELS.register_module()
class LogitAdjustedLoss(ClassCountsLoss):
    """Module over :func:`logit_adjusted_cross_entropy`.

    A replacement for mmpretrain's ``CrossEntropyLoss``.

    Args:
        tau: Scales the log prior, >= 0. Defaults to 1.0.
        **kwargs: ``loss_weight`` and ``class_counts``, see
            :class:`~bcl_mm.models.losses.base.ClassCountsLoss`.

    Example:
        >>> loss = LogitAdjustedLoss(class_counts=[90, 10])
        >>> loss(torch.zeros(1, 2), torch.tensor([1]))  # -log 0.1
        tensor(2.3026)
    """

    settings = ('tau',)

    def __init__(self, tau: float = 1.0, **kwargs: Any) -> None:
        _check_tau(tau)
        super().__init__(**kwargs)
        self.tau = tau

    @property
    def log_prior(self) -> Optional[Tensor]:
        """(C,) log of the class prior, None while the counts are unknown."""
        if self._counts is None:
            return None
        return self.prepare_counts(self._counts).float()

    def prepare_counts(self, class_counts: Tensor) -> Tensor:
        """(C,) log of the class prior."""
        return class_counts.log() - class_counts.sum().log()

    def per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(M,) losses."""
        return logit_adjusted_cross_entropy(
            logits, labels, self.from_counts(logits), self.tau, 'none'
        )


@MODELS.register_module()
class ReversedPriorLoss(ClassCountsLoss):
    r"""Cross-entropy for a test set whose tail is the training set's head.

    The loss of SADE's third expert (Zhang et al., NeurIPS 2022, Eq. 4):

    .. math::
        L = -\log \frac{\exp(f_y + \log \pi_y - \tau \log \bar\pi_y)}
        {\sum_j \exp(f_j + \log \pi_j - \tau \log \bar\pi_j)}

    where :math:`\bar\pi` is the prior :math:`\pi` with its ranks reversed:
    the largest class has the smallest share.

    Args:
        tau: :math:`\tau \ge 0`. Defaults to 2.0.
        **kwargs: ``loss_weight`` and ``class_counts``, see
            :class:`~bcl_mm.models.losses.base.ClassCountsLoss`.

    Raises:
        InputTypeError: ``tau`` is not a number.
        InputValueError: It is negative or not finite.

    Example:
        >>> loss = ReversedPriorLoss(tau=1.0, class_counts=[90, 10])
        >>> loss(torch.zeros(1, 2), torch.tensor([1]))  # log(1 + 9 * 9)
        tensor(4.4067)
    """

    settings = ('tau',)

    def __init__(self, tau: float = 2.0, **kwargs: Any) -> None:
        check_number('tau', tau, at_least=0)
        super().__init__(**kwargs)
        self.tau = tau

    def prepare_counts(self, class_counts: Tensor) -> Tensor:
        """(C,) what is added to the logits."""
        log_prior = class_counts.log() - class_counts.sum().log()
        # Stable: of equal counts, the first is the largest.
        order = class_counts.argsort(descending=True, stable=True)
        reversed_prior = torch.empty_like(log_prior)
        reversed_prior[order] = log_prior[order.flip(0)]
        return log_prior - self.tau * reversed_prior

    def per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(M,) losses."""
        logits = logits + self.from_counts(logits)
        return F.cross_entropy(logits, labels, reduction='none')
