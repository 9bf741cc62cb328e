"""Label-distribution-aware margins."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bcl_mm.registry import MODELS
from bcl_mm.utils.distributed import gather
from bcl_mm.utils.errors import check_number
from bcl_mm.utils.labels import check_hard_labels, class_targets

from .base import ScaledLoss, check_one_per_class
from .reweighting import check_beta, class_balanced_weights


def ldam_margins(class_counts: Tensor, max_margin: float = 0.5) -> Tensor:
    r"""Margins of the classes (Cao et al., NeurIPS 2019, Sec. 3.2).

    .. math::
        \Delta_c = \frac{K}{n_c^{1/4}}, \quad \max_c \Delta_c =
        \mathrm{max\_margin}

    Args:
        class_counts: (C,) training images per class :math:`n_c`.
        max_margin: Margin of the smallest class, > 0. Defaults to 0.5.

    Returns:
        (C,) margins, float64.

    Raises:
        InputTypeError: ``max_margin`` is not a number.
        InputValueError: It is not positive and finite.

    Example:
        >>> ldam_margins(torch.tensor([16, 1]))
        tensor([0.2500, 0.5000], dtype=torch.float64)
    """
    check_number('max_margin', max_margin, above=0)
    counts = torch.as_tensor(class_counts, dtype=torch.float64)
    return max_margin * (counts.min() / counts) ** 0.25


def ldam_cross_entropy(
    logits: Tensor,
    labels: Tensor,
    margins: Tensor,
    scale: float = 30.0,
    reduction: str = 'mean',
) -> Tensor:
    r"""Label-distribution-aware margin loss (LDAM).

    Cao et al., NeurIPS 2019, Sec. 3.2:

    .. math::
        L = -\log \frac{\exp(f_y - s \Delta_y)}
        {\exp(f_y - s \Delta_y) + \sum_{j \ne y} \exp(f_j)}

    Computed in at least float32.

    Args:
        logits: (M, C) logits f of a normalised classifier: s times cosines.
        labels: (M,) integer labels in [0, C).
        margins: (C,) margins :math:`\Delta`, in cosines.
        scale: Scale s of the logits. Defaults to 30.
        reduction: ``'mean'`` (default), ``'sum'`` or ``'none'``.

    Returns:
        Scalar, or (M,) with ``reduction='none'``.

    Raises:
        InputTypeError: ``scale`` is not a number, or labels are not integers.
        InputValueError: ``margins`` is not one number per class, the labels
            are not of shape (M,), ``scale`` is not positive and finite, or,
            on a CPU, a label is out of range.

    Example:
        >>> logits, labels = torch.zeros(1, 2), torch.tensor([1])
        >>> margins = torch.tensor([0.25, 0.5])
        >>> ldam_cross_entropy(logits, labels, margins, 2.0)  # log(1 + e)
        tensor(1.3133)
    """
    check_number('scale', scale, above=0)
    check_hard_labels(labels, 'ldam_cross_entropy')
    check_one_per_class('margins', margins, logits)
    dtype = torch.promote_types(logits.dtype, torch.float32)
    labels, factor = class_targets(labels, logits.shape, dtype)
    shifts = -scale * margins.to(dtype)[labels, None]  # (M, 1)
    logits = logits.to(dtype).scatter_add(1, labels[:, None], shifts)
    return F.cross_entropy(logits, labels, reduction=reduction) * factor


@MODELS.register_module()
class LDAMLoss(ScaledLoss):
    """LDAM with deferred re-weighting, LDAM-DRW (Cao et al., NeurIPS 2019).

    Module over :func:`ldam_cross_entropy`. In the last part of training,
    samples are weighted by :func:`class_balanced_weights`, and the sum is
    divided by the sum of the global batch's weights (Algorithm 1).
    :class:`~bcl_mm.engine.hooks.ProgressHook` reports the training progress,
    and the head the scale of its logits.

    Args:
        max_margin: Margin of the smallest class, in cosines. Defaults to
            0.5.
        reweight_begin: Fraction of training after which samples are
            weighted; 1 is LDAM without re-weighting. Defaults to 0.8, the
            paper's 160 of 200 epochs.
        beta: See :func:`class_balanced_weights`. Defaults to 0.9999.
        **kwargs: ``scale``, ``loss_weight`` and ``class_counts``, see
            :class:`~bcl_mm.models.losses.base.ScaledLoss`.

    Raises:
        InputTypeError: An argument is not a number.
        InputValueError: An argument is out of its range.

    Example:
        >>> loss = LDAMLoss(scale=2.0, class_counts=[16, 1])
        >>> loss(torch.zeros(1, 2), torch.tensor([1]))  # log(1 + e)
        tensor(1.3133)
    """

    settings = 'max_margin', 'reweight_begin', 'beta', 'scale'

    def __init__(
        self,
        max_margin: float = 0.5,
        reweight_begin: float = 0.8,
        beta: float = 0.9999,
        **kwargs: Any,
    ) -> None:
        check_number('max_margin', max_margin, above=0)
        name = 'reweight_begin (a part of training)'
        check_number(name, reweight_begin, at_least=0, at_most=1)
        check_beta(beta)
        super().__init__(**kwargs)
        self.max_margin = max_margin
        self.reweight_begin = reweight_begin
        self.beta = beta
        self.is_reweighted = reweight_begin == 0

    def set_progress(self, progress: float) -> None:
        """Set the training progress, from 0 to 1."""
        check_number('progress', progress, at_least=0, at_most=1)
        self.is_reweighted = progress >= self.reweight_begin

    def prepare_counts(self, class_counts: Tensor) -> Tensor:
        """(2, C) margins and weights."""
        margins = ldam_margins(class_counts, self.max_margin)
        weights = class_balanced_weights(class_counts, self.beta)
        return torch.stack([margins, weights])

    def per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(M,) losses, weighted in the last part of training."""
        margins, weights = self.from_counts(logits)
        settings = margins, self.scale, 'none'
        losses = ldam_cross_entropy(logits, labels, *settings)
        if self.is_reweighted:
            weights = weights[labels]
            losses = losses * (weights / gather(weights).mean())
        return losses
