"""Losses that shift and scale the logits of each class."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bcl_mm.registry import MODELS
from bcl_mm.utils.errors import check_number
from bcl_mm.utils.labels import soft_targets

from .base import ClassCountsLoss


@MODELS.register_module()
class VSLoss(ClassCountsLoss):
    r"""Vector scaling (Kini et al., NeurIPS 2021, Eq. 2).

    .. math::
        L = -\log \frac{\exp(f_y / D_y + \tau \log \pi_y)}
        {\sum_j \exp(f_j / D_j + \tau \log \pi_j)}, \quad
        D_c = \left(\frac{\max_j n_j}{n_c}\right)^\gamma

    With :math:`\gamma = 0` it is logit adjustment, with :math:`\tau = 0` CDT
    (Ye et al., 2020). Takes soft labels.

    Args:
        gamma: :math:`\gamma \ge 0`. Defaults to 0.3.
        tau: :math:`\tau \ge 0`. Defaults to 1.0.
        **kwargs: ``loss_weight`` and ``class_counts``, see
            :class:`~bcl_mm.models.losses.base.ClassCountsLoss`.

    Raises:
        InputTypeError: An argument is not a number.
        InputValueError: An argument is negative or not finite.

    Example:
        >>> loss = VSLoss(gamma=0.5, class_counts=[90, 10])
        >>> loss(torch.ones(1, 2), torch.tensor([1]))  # log(1 + 9 e^(2 / 3))
        tensor(2.9194)
    """

    settings = 'gamma', 'tau'

    def __init__(
        self, gamma: float = 0.3, tau: float = 1.0, **kwargs: Any
    ) -> None:
        check_number('gamma', gamma, at_least=0)
        check_number('tau', tau, at_least=0)
        super().__init__(**kwargs)
        self.gamma = gamma
        self.tau = tau

    def prepare_counts(self, class_counts: Tensor) -> Tensor:
        """(2, C) factors of the logits and what is added to them."""
        factors = (class_counts / class_counts.max()) ** self.gamma
        log_prior = class_counts.log() - class_counts.sum().log()
        return torch.stack([factors, self.tau * log_prior])

    def per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(M,) losses."""
        factors, shifts = self.from_counts(logits)
        return F.cross_entropy(
            logits * factors + shifts, labels, reduction='none'
        )


@MODELS.register_module()
class BalancedBCELoss(ClassCountsLoss):
    r"""Balanced binary cross-entropy, of LiVT (Xu et al., CVPR 2023, Eq. 5).

    .. math::
        L = -\sum_c t_c \log \sigma(g_c) + (1 - t_c) \log \sigma(-g_c), \quad
        g_c = f_c + \tau (\log \pi_c - \log(1 - \pi_c))

    with the sigmoid :math:`\sigma` and targets t of 0 and 1, or soft labels;
    with ``smoothing`` :math:`\epsilon`, :math:`(1 - \epsilon) t +
    \epsilon / C`. Testing uses plain logits f: each class is then judged as
    if half of all images were of that class.

    Args:
        tau: :math:`\tau \ge 0`. Defaults to 1.0.
        smoothing: :math:`\epsilon` in [0, 1). Defaults to 0.0.
        **kwargs: ``loss_weight`` and ``class_counts``, see
            :class:`~bcl_mm.models.losses.base.ClassCountsLoss`.

    Raises:
        InputTypeError: An argument is not a number.
        InputValueError: An argument is out of range.

    Example:
        >>> loss = BalancedBCELoss(class_counts=[90, 10])
        >>> loss(torch.zeros(1, 2), torch.tensor([1]))  # 2 log 10
        tensor(4.6052)
    """

    settings = 'tau', 'smoothing'

    def __init__(
        self, tau: float = 1.0, smoothing: float = 0.0, **kwargs: Any
    ) -> None:
        check_number('tau', tau, at_least=0)
        check_number('smoothing', smoothing, at_least=0, below=1)
        super().__init__(**kwargs)
        self.tau = tau
        self.smoothing = smoothing

    def prepare_counts(self, class_counts: Tensor) -> Tensor:
        """(C,) what is added to the logits."""
        others = class_counts.sum() - class_counts
        return self.tau * (class_counts.log() - others.log())

    def per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(M,) losses."""
        logits = logits + self.from_counts(logits)
        targets = soft_targets(labels, logits) * (1 - self.smoothing)
        targets = targets + self.smoothing / logits.shape[1]
        return F.binary_cross_entropy_with_logits(
            logits, targets, reduction='none'
        ).sum(1)
