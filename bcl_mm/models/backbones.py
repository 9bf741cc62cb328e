"""The ResNet of the CIFAR-LT literature, and the models of timm."""

from __future__ import annotations

from functools import partial
from typing import Any, List, Optional, Sequence, Tuple, Union

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


def _conv_norm(
    before: int, channels: int, size: int, stride: int, norm_cfg: dict
) -> List[nn.Module]:
    """A convolution without bias, and its norm."""
    padding = size // 2
    conv = nn.Conv2d(before, channels, size, stride, padding, bias=False)
    return [conv, build_norm_layer(norm_cfg, channels)[1]]


class _BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(
        self, before: int, channels: int, stride: int, pads: bool, norm: dict
    ) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            *_conv_norm(before, channels, 3, stride, norm),
            nn.ReLU(inplace=True),
            *_conv_norm(channels, channels, 3, 1, norm),
        )
        if stride == 1 and before == channels:
            self.shortcut: nn.Module = nn.Identity()
        elif pads:
            self.shortcut = _PadShortcut(before, channels, stride)
        else:
            projection = _conv_norm(before, channels, 1, stride, norm)
            self.shortcut = nn.Sequential(*projection)

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
        width: Multiplies the channels of all stages; 4 is the "ResNet-32" of
            GLMC (Du et al., CVPR 2023). Defaults to 1.
        shortcut: Shortcut at a change of shape: ``'pad'`` (option A of the
            paper, no parameters) or ``'projection'`` (option B, 1x1
            convolution).
            Defaults to ``'pad'``.
        norm_cfg: Norm layers. Defaults to BatchNorm.
        init_cfg: MMEngine's initialisation config, or several. Defaults to
            Kaiming-normal convolutions (fan-in), as in LDAM-DRW.

    Raises:
        InputTypeError: An argument is not an integer.
        InputValueError: An argument is out of range, ``depth`` is not 6n + 2,
            or ``shortcut`` is unknown.

    Example:
        >>> backbone = CIFARResNet(depth=32)
        >>> sum(weight.numel() for weight in backbone.parameters())
        463504
        >>> (features,) = backbone(torch.zeros(2, 3, 32, 32))
        >>> features.shape
        torch.Size([2, 64, 8, 8])
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
        width: int = 1,
    ) -> None:
        if init_cfg and not isinstance(init_cfg, dict):
            init_cfg = list(init_cfg)
        super().__init__(init_cfg=init_cfg)
        check_size = partial(check_number, at_least=1, whole=True)
        check_size('depth', depth)
        check_size('in_channels', in_channels)
        check_size('base_channels', base_channels)
        check_size('stem_stride', stem_stride)
        check_size('width', width)
        base_channels *= width
        if depth < 8 or depth % 6 != 2:
            raise InputValueError(f'depth must be 6n + 2, n >= 1, got {depth}')
        if shortcut not in ('pad', 'projection'):
            raise InputValueError(
                f"shortcut must be 'pad' or 'projection', got {shortcut!r}"
            )
        self.stem = nn.Sequential(
            *_conv_norm(in_channels, base_channels, 3, stem_stride, norm_cfg),
            nn.ReLU(inplace=True),
        )
        blocks, before = [], base_channels
        for stage in range(3):
            channels = base_channels * 2**stage
            for i in range(depth // 6):
                stride = 2 if stage > 0 and i == 0 else 1
                shape = before, channels, stride
                blocks.append(_BasicBlock(*shape, shortcut == 'pad', norm_cfg))
                before = channels
        self.blocks = nn.Sequential(*blocks)
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

    Example:
        >>> backbone = TimmBackbone('resnet18')
        >>> (features,) = backbone(torch.zeros(2, 3, 64, 64))
        >>> features.shape, backbone.out_channels
        (torch.Size([2, 512]), 512)
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
        images: Any = self.model.pretrained_cfg  # a dict
        self._input_size = images['input_size']
        self.mean = [255 * value for value in images['mean']]
        self.std = [255 * value for value in images['std']]

    @property
    def out_channels(self) -> int:
        """Width of the features, measured by a dummy forward pass.

        (timm's ``num_features`` is wrong for some models.)
        """
        parameter = next(self.parameters())
        was_training = self.training
        self.eval()
        with torch.no_grad():
            images = parameter.new_zeros(1, *self._input_size)
            features = self.model(images)  # (1, D)
        self.train(was_training)
        return features.shape[1]

    def init_weights(self) -> None:
        """Apply ``init_cfg`` only: timm initialises its own models."""
        if self.init_cfg:
            initialize(self, self.init_cfg)

    def forward(self, x: Tensor) -> Tuple[Tensor]:
        """Images (rows, 3, H, W) -> one stage (rows, D)."""
        return (self.model(x),)
