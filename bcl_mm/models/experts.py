"""Several classifiers on a shared trunk, each with a loss of its own."""

from __future__ import annotations

from typing import Any, Dict, Optional, Sequence, Tuple

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from bcl_mm.models.heads import LongTailHead
from bcl_mm.models.layers import ClassVectors
from bcl_mm.registry import MODELS
from bcl_mm.utils.errors import InputTypeError, InputValueError, check_number
from bcl_mm.utils.modules import parts_of
from bcl_mm.utils.protocols import TakesLogitScale


class _Side(nn.Module):
    """Modules side by side; their outputs are joined along the channels."""

    def __init__(self, parts: Sequence[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([part(x) for part in self.parts], dim=1)


@MODELS.register_module()
class SharedTrunk(BaseModule):
    """A backbone whose last stage exists once for each expert.

    The experts' copies have weights of their own; all before them is shared.
    The output is (rows, E * D, h, w), expert by expert.

    Args:
        backbone: Config of the backbone.
        num_experts: Number E of experts. Defaults to 3.
        stage: Name of the last stage, a module of the backbone. Defaults to
            ``'layer4'``, that of mmpretrain's ResNet and ResNeXt.
        first: Of a ``Sequential`` stage, the first child that the experts do
            not share; negative counts from the end. For ``CIFARResNet``,
            ``stage='blocks', first=-n`` with depth 6n + 2. Defaults to 0: the
            whole stage.
        init_cfg: MMEngine's initialisation config. Defaults to None: the
            backbone's own.

    Raises:
        InputTypeError: A number is not whole.
        InputValueError: There is no such stage or child, or fewer than 2
            experts.

    Example:
        Three experts, each with a last block of its own:

        >>> small = dict(type='bcl_mm.CIFARResNet', depth=8)
        >>> trunk = SharedTrunk(small, num_experts=3, stage='blocks', first=-1)
        >>> (features,) = trunk(torch.zeros(2, 3, 32, 32))
        >>> features.shape  # (rows, 3 * 64, h, w)
        torch.Size([2, 192, 8, 8])
    """

    def __init__(
        self,
        backbone: dict,
        num_experts: int = 3,
        stage: str = 'layer4',
        first: int = 0,
        init_cfg: Optional[dict] = None,
    ) -> None:
        check_number('num_experts', num_experts, at_least=2, whole=True)
        check_number('first', first, whole=True)
        super().__init__(init_cfg)
        # Each is built anew: copies would start with the same weights.
        copies = [MODELS.build(backbone) for _ in range(num_experts)]
        self.backbone = copies[0]
        found = (getattr(copy, stage, None) for copy in copies)
        stages = [part for part in found if isinstance(part, nn.Sequential)]
        if not stages:
            raise InputValueError(
                f'backbone {type(self.backbone).__name__} has no stage '
                f'{stage!r} that is a Sequential: give its name, stage=...'
            )
        length = len(stages[0])
        if not -length <= first < length:
            raise InputValueError(
                f'first must be in [{-length}, {length - 1}], since stage '
                f'{stage!r} has {length} children, got {first}'
            )
        sides = [nn.Sequential(*list(s)[first:]) for s in stages]
        own: nn.Module = _Side(sides)
        if first % length:
            own = nn.Sequential(*list(stages[0])[:first], own)
        setattr(self.backbone, stage, own)

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        """Feature stages of images (rows, channels, H, W)."""
        return self.backbone(x)


@MODELS.register_module()
class ExpertLoss(nn.Module):
    """Mean of the losses of several experts.

    Args:
        losses: One loss config per expert, E in all.

    Example:
        A logit-adjusted loss without and with a prior:

        >>> adjusted = dict(type='bcl_mm.LogitAdjustedLoss')
        >>> adjusted['class_counts'] = [9, 1]
        >>> loss = ExpertLoss([dict(adjusted, tau=0), dict(adjusted, tau=1)])
        >>> logits = torch.zeros(2, 1, 2)
        >>> loss(logits, torch.tensor([1]))  # (log(2) + log(10)) / 2
        tensor(1.4979)
    """

    def __init__(self, losses: Sequence[dict]) -> None:
        super().__init__()
        self.losses = nn.ModuleList(MODELS.build(loss) for loss in losses)

    def set_logit_scale(self, scale: Optional[float]) -> None:
        """Set the scale of the head's logits for losses that need it."""
        for loss in parts_of(self.losses, TakesLogitScale):
            loss.set_logit_scale(scale)

    def forward(self, logits: Tensor, labels: Tensor, **kwargs: Any) -> Tensor:
        """Loss of logits (E, rows, C) and the labels of the rows."""
        pairs = zip(self.losses, logits)
        losses = [loss(own, labels, **kwargs) for loss, own in pairs]
        return torch.stack(losses).mean(0)


@MODELS.register_module()
class ExpertHead(LongTailHead):
    r"""One classifier per expert; testing averages their logits.

    The balanced product of experts, BalPoE (Aimar et al., CVPR 2023, Eq. 7):
    expert e is trained with logit adjustment of strength :math:`\tau_e`, and
    the product of the experts is unbiased where the mean of :math:`\tau_e`
    is 1 and each is calibrated, for which the paper uses Mixup. With other
    ``losses`` it is another method, such as SADE (Zhang et al., NeurIPS
    2022): cross-entropy, logit adjustment, and
    :class:`~bcl_mm.models.losses.ReversedPriorLoss`.

    Args:
        num_classes: Number of classes C.
        in_channels: Width E * D of the features of all experts, see
            :class:`SharedTrunk`.
        taus: :math:`\tau_e \ge 0` of each expert. Defaults to (0, 1, 2).
        losses: One loss config per expert, in place of ``taus``. Defaults to
            None.
        **kwargs: Other arguments of :class:`~bcl_mm.models.LongTailHead`.

    Raises:
        InputTypeError: An argument is not a number, or not a list of them.
        InputValueError: An argument is out of range, or ``in_channels`` is
            not a multiple of E.

    Example:
        >>> head = ExpertHead(num_classes=5, in_channels=3 * 64)
        >>> rows = torch.ones(2, 3 * 64)
        >>> head.expert_logits(rows).shape, head.logits(rows).shape
        (torch.Size([3, 2, 5]), torch.Size([2, 5]))
    """

    classifier: nn.ModuleList

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        taus: Sequence[float] = (0.0, 1.0, 2.0),
        losses: Optional[Sequence[Dict[str, Any]]] = None,
        **kwargs: Any,
    ) -> None:
        for name, given in (('taus', taus), ('losses', losses)):
            is_list = isinstance(given, (list, tuple)) and len(given)
            if not is_list and (name, given) != ('losses', None):
                raise InputTypeError(
                    f'{name} must be a list of one for each expert, got '
                    f'{given!r}'
                )
        adjusted = 'bcl_mm.LogitAdjustedLoss'
        losses = losses or [dict(type=adjusted, tau=tau) for tau in taus]
        self.num_experts = len(losses)
        if in_channels % self.num_experts:
            raise InputValueError(
                f'in_channels must be a multiple of the {self.num_experts} '
                f'experts, got {in_channels}'
            )
        loss = dict(type='bcl_mm.ExpertLoss', losses=losses)
        super().__init__(num_classes, in_channels, loss_cls=loss, **kwargs)

    def build_classifier(self) -> nn.ModuleList:
        """Build a classifier per expert."""
        sizes = self.in_channels // self.num_experts, self.num_classes
        classifiers = nn.ModuleList(
            ClassVectors(
                *sizes, self.classifier_kind, self.scale, self.tau_norm
            )
            for _ in range(self.num_experts)
        )
        # What the losses are told.
        classifiers.scale = classifiers[0].scale
        return classifiers

    def expert_logits(self, rows: Tensor) -> Tensor:
        """Logits (E, rows, C) of features (rows, in_channels)."""
        parts = zip(self.classifier, rows.chunk(self.num_experts, dim=1))
        return torch.stack([own(part) for own, part in parts])

    def logits(self, rows: Tensor) -> Tensor:
        """Mean logits (rows, C) of features (rows, in_channels)."""
        return self.expert_logits(rows).mean(0)

    def classification_loss(self, features: Tensor, targets: Tensor) -> Tensor:
        """Mean loss of the experts, a scalar."""
        return self.mean_loss(self.expert_logits(features), targets)
