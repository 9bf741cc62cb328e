"""Logit-adjusted cross-entropy."""

from __future__ import annotations

from typing import Any, Optional, Sequence

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmpretrain.models.losses.utils import weight_reduce_loss
from torch import Tensor

from bcl_mm.class_counts import check_class_counts, reconcile_class_counts
from bcl_mm.registry import MODELS


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
        labels: (M,) integer labels, or (M, C) soft labels.
        log_prior: (C,) log of the class prior :math:`\pi`.
        tau: Scales the log prior; 0 is plain cross-entropy. Defaults to 1.
        reduction: ``'mean'``, ``'sum'`` or ``'none'``. Defaults to
            ``'mean'``.

    Returns:
        Scalar, or (M,) with ``reduction='none'``.

    Raises:
        ValueError: ``log_prior`` is not one number per class.
    """
    if log_prior.shape != logits.shape[1:]:
        raise ValueError(
            f'log_prior must have shape ({logits.shape[1]},), one number per '
            f'class, got {tuple(log_prior.shape)}'
        )
    dtype = torch.promote_types(logits.dtype, torch.float32)
    logits = logits.to(dtype) + tau * log_prior.to(dtype)
    if labels.ndim == 2:
        labels = labels.to(dtype)
    return F.cross_entropy(logits, labels, reduction=reduction)


@MODELS.register_module()
class LogitAdjustedLoss(nn.Module):
    """Module over :func:`logit_adjusted_cross_entropy`.

    Takes the place of mmpretrain's ``CrossEntropyLoss``. The class prior
    comes from ``class_counts``, from
    :class:`~bcl_mm.hooks.ClassComplementHook`, which counts the training set,
    or from :meth:`set_class_counts`.

    Args:
        tau: Scales the log prior. Defaults to 1.0.
        loss_weight: Multiplies the loss. Defaults to 1.0.
        class_counts: (C,) training images per class. Defaults to None: to be
            set before the first use.
    """

    def __init__(
        self,
        tau: float = 1.0,
        loss_weight: float = 1.0,
        class_counts: Optional[Sequence[int]] = None,
    ) -> None:
        super().__init__()
        self.tau = tau
        self.loss_weight = loss_weight
        # No buffer: its size is unknown until the counts are, EMA copies the
        # model before, and the head keeps the counts in the checkpoint.
        self.log_prior: Optional[Tensor] = None
        self.given_counts = None
        if class_counts is not None:
            self.given_counts = check_class_counts(class_counts)
            self.set_class_counts(self.given_counts)

    def set_class_counts(self, class_counts: Any) -> None:
        """Take the class prior from (C,) training images per class.

        Raises:
            ValueError: A class has no image, or the counts contradict those
                that the constructor was given.
        """
        counts = check_class_counts(class_counts)
        reconcile_class_counts(self.given_counts, counts, type(self).__name__)
        counts = torch.as_tensor(counts, dtype=torch.float64)
        self.log_prior = (counts.log() - counts.sum().log()).float()

    def forward(
        self,
        logits: Tensor,
        labels: Tensor,
        weight: Optional[Tensor] = None,
        avg_factor: Optional[float] = None,
        reduction_override: Optional[str] = None,
    ) -> Tensor:
        """Loss in mmpretrain's calling convention.

        Args:
            logits: (M, C).
            labels: (M,) integers or (M, C) soft labels.
            weight: (M,) weights of the samples, or None.
            avg_factor: What the sum over samples is divided by. Defaults to
                their number M.
            reduction_override: ``'mean'`` (default), ``'sum'``, ``'none'``.

        Returns:
            Scalar, or (M,) with ``'none'``.

        Raises:
            ValueError: The class counts are not known.
        """
        if self.log_prior is None:
            raise ValueError(
                f'{type(self).__name__} needs class_counts, the number of '
                'training images per class: add ClassComplementHook to '
                'default_hooks (it counts the training set), give '
                'class_counts=[...] to the head or the loss, or call '
                'set_class_counts()'
            )
        if self.log_prior.device != logits.device:
            self.log_prior = self.log_prior.to(logits.device)
        loss = logit_adjusted_cross_entropy(
            logits, labels, self.log_prior, self.tau, reduction='none'
        )
        return self.loss_weight * weight_reduce_loss(
            loss, weight, reduction_override or 'mean', avg_factor
        )

    def extra_repr(self) -> str:
        return f'tau={self.tau}, loss_weight={self.loss_weight}'
