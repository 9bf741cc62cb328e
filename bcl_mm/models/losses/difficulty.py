"""Margins by class size and by the difficulty of a sample."""

from __future__ import annotations

import math
from typing import Any, Dict, Optional

import torch
from torch import Tensor

from bcl_mm.classes import ClassInfo
from bcl_mm.registry import MODELS
from bcl_mm.utils.errors import check_number
from bcl_mm.utils.labels import check_hard_labels
from bcl_mm.utils.modules import parts_of, set_class_info
from bcl_mm.utils.protocols import TakesLogitScale

from .base import ScaledLoss


def add_angular_margin(cosines: Tensor, margins: Tensor) -> Tensor:
    r""":math:`\cos(\theta + M)` for :math:`\cos\theta`, without an acos.

    Beyond :math:`\theta + M = \pi`, where it would rise again, it goes on
    with the slope of :math:`\cos\theta`. Its gradient is finite where the
    cosine is 1 or -1.

    Args:
        cosines: (M,).
        margins: (M,) in radians, in [0, pi].

    Returns:
        (M,).
    """
    tiny = torch.finfo(cosines.dtype).eps
    sines = (1 - cosines**2).clamp(min=tiny).sqrt()
    moved = cosines * margins.cos() - sines * margins.sin()
    beyond = cosines + margins.cos() - 1
    return torch.where(cosines > -margins.cos(), moved, beyond)


@MODELS.register_module()
class DBMLoss(ScaledLoss):
    r"""Difficulty-aware balancing margin (Son et al., AAAI 2025).

    It moves the logit of a sample's class, and passes the logits on to
    another loss:

    .. math::
        f_y = s \cos(\theta_y + M), \quad
        M = K \left(\frac{\min n}{n_y}\right)^\tau (1 + \lambda d), \quad
        d = \frac{1 - \cos\theta_y}{2}
        \left[\arg\max_c \cos\theta_c \ne y\right]

    The gradient passes through the difficulty d. Whether a sample is wrong
    is decided on the cosines, before the other loss adjusts them.

    Args:
        loss: The other loss, of hard labels. Defaults to logit adjustment.
        max_margin: Margin K of the smallest class, in radians, > 0. Defaults
            to 0.1.
        tau: :math:`\tau \ge 0`. Defaults to 1.0.
        difficulty: :math:`\lambda \ge 0`. Defaults to 1.0.
        **kwargs: ``scale``, ``loss_weight`` and ``class_counts``, see
            :class:`~bcl_mm.models.losses.base.ScaledLoss`.

    Raises:
        InputTypeError: An argument is not a number.
        InputValueError: An argument is out of range.

    Example:
        >>> logits, labels = torch.tensor([[0.0, -10.0]]), torch.tensor([0])
        >>> loss = DBMLoss(scale=10.0, class_counts=[50, 50])
        >>> # log(1 + e^(10 (sin 0.1 - 1)))
        >>> round(loss(logits, labels).item(), 6)
        0.000123
    """

    settings = 'max_margin', 'tau', 'difficulty', 'scale'

    def __init__(
        self,
        loss: Dict[str, Any] = dict(type='bcl_mm.LogitAdjustedLoss'),
        max_margin: float = 0.1,
        tau: float = 1.0,
        difficulty: float = 1.0,
        **kwargs: Any,
    ) -> None:
        check_number('max_margin', max_margin, above=0)
        check_number('tau', tau, at_least=0)
        check_number('difficulty', difficulty, at_least=0)
        largest = 'max_margin * (1 + difficulty)'
        check_number(largest, max_margin * (1 + difficulty), at_most=math.pi)
        super().__init__(**kwargs)
        self.loss = MODELS.build(loss)
        if self.given_info is not None:
            self.set_class_info(self.given_info)
        self.max_margin = max_margin
        self.tau = tau
        self.difficulty = difficulty

    def set_class_info(self, info: ClassInfo) -> None:
        """Take the training images per class, for the other loss, too."""
        super().set_class_info(info)
        if hasattr(self, 'loss'):  # not yet, in the constructor
            set_class_info(self.loss, info)

    def set_logit_scale(self, scale: Optional[float]) -> None:
        """Set the scale of the head's logits, for the other loss, too."""
        super().set_logit_scale(scale)
        for loss in parts_of(self.loss, TakesLogitScale):
            loss.set_logit_scale(scale)

    def prepare_counts(self, class_counts: Tensor) -> Tensor:
        """(C,) margins."""
        return (
            self.max_margin * (class_counts.min() / class_counts) ** self.tau
        )

    def per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(M,) losses."""
        check_hard_labels(labels, 'DBMLoss')
        margins = self.from_counts(logits)[labels]
        logits = logits.to(margins)
        own = labels[:, None]
        cosines = (logits.gather(1, own) / self.scale).squeeze(1).clamp(-1, 1)
        is_wrong = logits.argmax(1) != labels
        difficulty = is_wrong * (1 - cosines) / 2
        margins = margins * (1 + self.difficulty * difficulty)
        moved = self.scale * add_angular_margin(cosines, margins)
        logits = logits.scatter(1, own, moved[:, None])
        losses: Tensor = self.loss(logits, labels, reduction_override='none')
        return losses
