"""A classifier whose keys come from a momentum encoder."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Dict, Iterator, List, Tuple

import torch
from mmpretrain.models import ImageClassifier
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from bcl_mm.models.layers import unit_rows
from bcl_mm.registry import MODELS
from bcl_mm.utils.errors import InputTypeError, check_number


@MODELS.register_module()
class MomentumClassifier(ImageClassifier):
    r"""Gives branches the keys of a slowly moving encoder, as MoCo does.

    .. math::
        \theta_k \leftarrow m \theta_k + (1 - m) \theta

    (He et al., CVPR 2020, Eq. 2; in PaCo, Cui et al., ICCV 2021). The key
    encoder has a backbone, a neck and a projector, starts as a copy of the
    model's at the first iteration, and moves before each iteration. All
    views pass it, without gradient, with batch statistics of their own. The
    branches get ``keys``, its unit-norm projections (V * B, D), view-major.
    ``ProgressHook``, which all configs have, moves it.

    Args:
        *args: Arguments of mmpretrain's ``ImageClassifier``. The head must
            have a branch with a ``projector``.
        momentum: :math:`m` in [0, 1). Defaults to 0.999.
        **kwargs: Arguments of mmpretrain's ``ImageClassifier``.

    Raises:
        InputTypeError: ``momentum`` is not a number, or no branch of the
            head has a projector.
        InputValueError: ``momentum`` is out of range.

    Attributes:
        passes: Forward passes of an image, for the cost of a training.

    Example:
        >>> branches = dict(paco=dict(type='bcl_mm.GPaCo', out_channels=32))
        >>> model = MomentumClassifier(
        ...     backbone=dict(type='bcl_mm.CIFARResNet', depth=8),
        ...     neck=dict(type='mmpretrain.GlobalAveragePooling'),
        ...     head=dict(
        ...         type='bcl_mm.LongTailHead',
        ...         num_classes=5,
        ...         in_channels=64,
        ...         loss_cls=None,
        ...         branches=branches,
        ...     ),
        ... )
        >>> model.keys(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 32])
    """

    passes = 2

    def __init__(
        self, *args: Any, momentum: float = 0.999, **kwargs: Any
    ) -> None:
        check_number('model.momentum', momentum, at_least=0, below=1)
        super().__init__(*args, **kwargs)
        self.momentum = momentum
        self.key_encoder = deepcopy(nn.ModuleList(self._encoder()))
        self.key_encoder.requires_grad_(False)
        self.register_buffer('has_keys', torch.zeros((), dtype=torch.long))

    def _encoder(self) -> List[nn.Module]:
        projector = getattr(self.head.projection, 'projector', None)
        if projector is None:
            raise InputTypeError(
                'MomentumClassifier needs a branch with a projector, such as '
                f'bcl_mm.GPaCo: {type(self.head).__name__} has none'
            )
        neck = self.neck if self.with_neck else nn.Identity()
        return [self.backbone, neck, projector]

    def _pairs(self) -> Iterator[Tuple[Tensor, Tensor]]:
        own = nn.ModuleList(self._encoder()).parameters()
        return zip(self.key_encoder.parameters(), own)

    @torch.no_grad()
    def set_progress(self, progress: float) -> None:
        """Move the key encoder: before each iteration."""
        weight = torch.where(self.has_keys > 0, 1 - self.momentum, 1.0)
        for key, own in self._pairs():
            key.lerp_(own.to(key), weight.to(key))
        self.has_keys.fill_(1)

    @torch.no_grad()
    def keys(self, inputs: Tensor) -> Tensor:
        """Unit-norm projections (rows, D) of images, by the key encoder."""
        backbone, neck, projector = self.key_encoder
        features = self.head.pre_logits(neck(backbone(inputs)))
        return unit_rows(projector(features))

    def loss(
        self, inputs: Tensor, data_samples: List[DataSample]
    ) -> Dict[str, Tensor]:
        """Losses of a batch (V * B, channels, H, W); see the head."""
        feats = self.extract_feat(inputs)
        keys = self.keys(inputs)
        return self.head.loss(feats, data_samples, keys=keys)
