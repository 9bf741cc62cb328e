"""The ResNet of the CIFAR-LT literature, and the models of timm."""

from __future__ import annotations

from typing import Any, Optional, Sequence, Tuple, Union

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from mmengine.model.weight_init import initialize
from torch import Tensor

from bcl_mm.registry import MODELS
from bcl_mm.utils.errors import InputValueError, check_number


class _PadShortcut(nn.Module):
    """Parameter-free shortcut: subsampled input, zeros for new channels."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        before = (channels - in_channels) // 2
        self.padding = 0, 0, 0, 0, before, channels - in_channels - before

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, :: self.stride, :: self.stride], self.padding)


class _BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int,
        shortcut: str,
        norm_cfg: dict,
    ) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False),
            build_norm_layer(norm_cfg, channels)[1],
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
            build_norm_layer(norm_cfg, channels)[1],
        )
        if stride == 1 and in_channels == channels:
            self.shortcut = nn.Identity()
        elif shortcut == 'pad':
            self.shortcut = _PadShortcut(in_channels, channels, stride)
        else:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False),
                build_norm_layer(norm_cfg, channels)[1],
            )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.residual(x) + self.shortcut(x))


@MODELS.register_module()
class CIFARResNet(BaseModule):
    """ResNet for small images, depth 6n+2 (He et al., CVPR 2016, Sec. 4.2).

    Three stages of n basic blocks with c, 2c, 4c channels. Depth 32 with the
    defaults is the ``ResNet_s`` of LDAM-DRW, which the CIFAR-LT literature
    uses: 464,154 parameters, including a linear layer for 10 classes.

    Args:
        depth: 6n + 2: 8, 14, 20, 32, ...
        in_channels: Channels of the images. Defaults to 3.
        base_channels: Channels c of the first stage. Defaults to 16.
        stem_stride: Stride of the first convolution. Defaults to 1.
        shortcut: Shortcut at a change of shape: ``'pad'`` (option A of the
            paper, no parameters) or ``'projection'`` (option B, 1x1
            convolution).
            Defaults to ``'pad'``.
        norm_cfg: Norm layers. Defaults to BatchNorm.
        init_cfg: MMEngine's initialisation config, or several. Defaults to
            Kaiming-normal convolutions (fan-in), as in LDAM-DRW.

    Raises:
        TypeError: An argument is not an integer.
        ValueError: An argument is out of range, ``depth`` is not 6n + 2,
            or ``shortcut`` is unknown.
    """

    def __init__(
        self,
        depth: int,
        in_channels: int = 3,
        base_channels: int = 16,
        stem_stride: int = 1,
        shortcut: str = 'pad',
        norm_cfg: dict = dict(type='BN'),
        init_cfg: Union[dict, Sequence[dict], None] = (
            dict(type='Kaiming', layer='Conv2d', mode='fan_in'),
        ),
    ) -> None:
        is_several = init_cfg and not isinstance(init_cfg, dict)
        super().__init__(init_cfg=list(init_cfg) if is_several else init_cfg)
        for name, number in (
            ('depth', depth),
            ('in_channels', in_channels),
            ('base_channels', base_channels),
            ('stem_stride', stem_stride),
        ):
            check_number(name, number, at_least=1, whole=True)
        if depth < 8 or depth % 6 != 2:
            raise InputValueError(f'depth must be 6n + 2, n >= 1, got {depth}')
        if shortcut not in ('pad', 'projection'):
            raise InputValueError(
                f"shortcut must be 'pad' or 'projection', got {shortcut!r}"
            )
        self.stem = nn.Sequential(
            nn.Conv2d(
                in_channels, base_channels, 3, stem_stride, 1, bias=False
            ),
            build_norm_layer(norm_cfg, base_channels)[1],
            nn.ReLU(inplace=True),
        )
        stages = []
        before = base_channels
        for stage in range(3):
            channels = base_channels * 2**stage
            for block in range(depth // 6):
                stride = 2 if stage > 0 and block == 0 else 1
                stages.append(
                    _BasicBlock(before, channels, stride, shortcut, norm_cfg)
                )
                before = channels
        self.blocks = nn.Sequential(*stages)
        # Convolutions follow the memory layout of their weights; on a CPU,
        # small ones are much faster with channels last.
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tuple[Tensor]:
        """Images (rows, in_channels, H, W) -> one stage (rows, 4c, h, w)."""
        return (self.blocks(self.stem(x)),)


@MODELS.register_module()
class TimmBackbone(BaseModule):
    """A model of timm with its own pooling and without its classifier.

    mmpretrain's ``TIMMBackbone`` removes the pooling, and its output depends
    on the architecture: maps, tokens, channels last. This one always returns
    one vector per image, and the model needs no neck.

    Args:
        name: Name of the model in timm.
        pretrained: Whether timm loads its weights, downloading them if
            necessary. Defaults to False.
        init_cfg: MMEngine's initialisation config. Defaults to None: timm's
            own initialisation.
        **kwargs: Arguments of the model.

    Attributes:
        mean: (3,) mean of the images that the weights expect, in [0, 255].
        std: (3,) standard deviation of these images.
    """

    def __init__(
        self,
        name: str,
        pretrained: bool = False,
        init_cfg: Optional[dict] = None,
        **kwargs: Any,
    ) -> None:
        import timm

        super().__init__(init_cfg)
        self.model = timm.create_model(
            name, pretrained=pretrained, num_classes=0, **kwargs
        )
        self.mean, self.std = (
            [255 * value for value in self.model.pretrained_cfg[key]]
            for key in ('mean', 'std')
        )

    @property
    def out_channels(self) -> int:
        """Width of the features, measured by a dummy forward pass.

        (timm's ``num_features`` is wrong for some models.)
        """
        size = self.model.pretrained_cfg['input_size']
        parameter = next(self.parameters())
        was_training = self.training
        self.eval()
        with torch.no_grad():
            features = self.model(parameter.new_zeros(1, *size))  # (1, D)
        self.train(was_training)
        return features.shape[1]

    def init_weights(self) -> None:
        """Apply ``init_cfg`` only: timm initialises its own models."""
        if self.init_cfg:
            initialize(self, self.init_cfg)

    def forward(self, x: Tensor) -> Tuple[Tensor]:
        """Images (rows, 3, H, W) -> one stage (rows, D)."""
        return (self.model(x),)
