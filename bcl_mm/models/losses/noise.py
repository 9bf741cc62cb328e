"""Logits with noise by class size."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bcl_mm.registry import MODELS
from bcl_mm.utils.errors import check_number
from bcl_mm.utils.labels import check_hard_labels, soft_targets

from .base import ScaledLoss


@MODELS.register_module()
class GCLLoss(ScaledLoss):
    r"""Gaussian clouded logits (Li et al., CVPR 2022, Eq. 7).

    .. math::
        L = -\log \frac{\exp(s (c_y - m))}{\exp(s (c_y - m)) +
        \sum_{j \ne y} \exp(s c_j)}, \quad
        c_j = \cos_j - k |e_j|
        \frac{\log \max n - \log n_j}{\log \max n - \log \min n}

    with noise e of standard deviation 1/3, cut to [-1, 1], drawn for each
    sample and class: the logits of small classes are lowered most. In
    evaluation mode there is no noise. Each process draws its own, as with
    dropout. Where all classes have as many images, there is none.

    Args:
        noise: Strength k >= 0. Defaults to 1.0.
        margin: Margin m >= 0 of the sample's class, in cosines. Defaults to
            0.0.
        **kwargs: ``scale``, ``loss_weight`` and ``class_counts``, see
            :class:`~bcl_mm.models.losses.base.ScaledLoss`.

    Raises:
        InputTypeError: An argument is not a number.
        InputValueError: An argument is out of range.

    Example:
        >>> loss = GCLLoss(margin=0.1, scale=10.0, class_counts=[90, 10])
        >>> loss = loss.eval()  # without noise
        >>> loss(torch.zeros(1, 2), torch.tensor([1]))  # log(1 + e)
        tensor(1.3133)
    """

    settings = 'noise', 'margin', 'scale'

    def __init__(
        self, noise: float = 1.0, margin: float = 0.0, **kwargs: Any
    ) -> None:
        check_number('noise', noise, at_least=0)
        check_number('margin', margin, at_least=0)
        super().__init__(**kwargs)
        self.noise = noise
        self.margin = margin

    def prepare_counts(self, class_counts: Tensor) -> Tensor:
        """(C,) strength of the noise, 0 for the largest class."""
        below = class_counts.max().log() - class_counts.log()
        largest = below.max()
        return below / largest.where(largest > 0, 1)

    def per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(M,) losses."""
        check_hard_labels(labels, 'GCLLoss')
        strength = self.from_counts(logits)
        logits = logits.to(strength)
        if self.training and self.noise:
            noise = (torch.randn_like(logits) / 3).clamp(-1, 1).abs()
            logits = logits - self.scale * self.noise * noise * strength
        own = soft_targets(labels, logits)
        logits = logits - self.scale * self.margin * own
        return F.cross_entropy(logits, labels, reduction='none')
