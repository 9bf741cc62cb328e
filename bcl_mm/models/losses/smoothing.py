"""Label smoothing by class size."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from bcl_mm.registry import MODELS
from bcl_mm.utils.errors import check_number
from bcl_mm.utils.labels import soft_targets
from bcl_mm.utils.precision import product

from .base import ClassCountsLoss


@MODELS.register_module()
class LabelAwareSmoothingLoss(ClassCountsLoss):
    r"""Label-aware smoothing, of MiSLAS (Zhong et al., CVPR 2021, Eq. 3).

    .. math::
        L = -(1 - \epsilon_y) \log p_y
        - \frac{\epsilon_y}{C} \sum_c \log p_c, \quad
        \epsilon_c = \epsilon_t + (\epsilon_h - \epsilon_t)
        \sin\left(\frac{\pi (n_c - \min n)}{2 (\max n - \min n)}\right)

    The largest class is smoothed most. As in the authors' code, the mass
    :math:`\epsilon` goes to all classes; in the paper, to the C - 1 others.
    Where all classes have as many images, all are smoothed by
    :math:`\epsilon_t`. Takes soft labels.

    Args:
        head: Smoothing :math:`\epsilon_h` of the largest class, in [0, 1).
            Defaults to 0.3.
        tail: Smoothing :math:`\epsilon_t` of the smallest, in [0, 1).
            Defaults to 0.0.
        **kwargs: ``loss_weight`` and ``class_counts``, see
            :class:`~bcl_mm.models.losses.base.ClassCountsLoss`.

    Raises:
        InputTypeError: An argument is not a number.
        InputValueError: An argument is out of range.

    Example:
        >>> import torch
        >>> loss = LabelAwareSmoothingLoss(head=0.3, class_counts=[90, 10])
        >>> logits = torch.tensor([[0.75, 0.25]]).log()
        >>> loss(logits, torch.tensor([0]))  # -0.85 log 0.75 - 0.15 log 0.25
        tensor(0.4525)
    """

    settings = 'head', 'tail'

    def __init__(
        self, head: float = 0.3, tail: float = 0.0, **kwargs: Any
    ) -> None:
        check_number('head', head, at_least=0, below=1)
        check_number('tail', tail, at_least=0, below=1)
        super().__init__(**kwargs)
        self.head = head
        self.tail = tail

    def prepare_counts(self, class_counts: Tensor) -> Tensor:
        """(C,) smoothing of the classes."""
        above = class_counts - class_counts.min()
        share = above / above.max().clamp(min=1)
        concave = (math.pi / 2 * share).sin()
        return self.tail + (self.head - self.tail) * concave

    def per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(M,) losses."""
        smoothing = self.from_counts(logits)
        logits = logits.to(smoothing)
        labels = soft_targets(labels, logits)
        spread = product(labels, smoothing[None]) / logits.shape[1]
        targets = labels * (1 - smoothing) + spread
        return -(targets * logits.log_softmax(1)).sum(1)
