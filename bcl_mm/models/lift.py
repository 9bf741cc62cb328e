"""A frozen backbone with small adapters (LIFT, Shi et al., ICML 2024)."""

from __future__ import annotations

import hashlib
import re
from typing import Any, Dict, Optional, Tuple

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from bcl_mm.models.backbones import TimmBackbone
from bcl_mm.models.pretrained import backbone_weights
from bcl_mm.registry import MODELS
from bcl_mm.utils.errors import (
    InputValueError,
    MissingFileError,
    check_number,
    check_regex,
)

_REMEDY = 'give its file with --cfg-options pretrained=FILE'


class AdaptFormer(nn.Module):
    r"""Bottleneck beside a block's MLP (Chen et al., NeurIPS 2022, Eq. 2, 3).

    .. math::
        s \cdot \mathrm{ReLU}(x W_{down}) W_{up}

    with x the input of the MLP, which the block has normalised. It starts as
    zero: :math:`W_{up} = 0`. As in LIFT, the scale s is learnt, from 1 (in
    AdaptFormer it is fixed, 0.1).

    Args:
        in_channels: Width of x.
        out_channels: Width of the MLP's output.
        channels: Width of the bottleneck.
    """

    def __init__(
        self, in_channels: int, out_channels: int, channels: int
    ) -> None:
        super().__init__()
        self.down = nn.Linear(in_channels, channels)
        self.up = nn.Linear(channels, out_channels)
        self.scale = nn.Parameter(torch.ones(()))
        nn.init.zeros_(self.down.bias)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Change (..., out_channels) of the MLP's output for x."""
        return self.scale * self.up(F.relu(self.down(x)))


class LoRA(nn.Module):
    r"""Change of low rank of a linear layer (Hu et al., ICLR 2022, Eq. 3).

    .. math::
        \tfrac{1}{r} x A B

    It starts as zero: :math:`B = 0`. As in LIFT, :math:`\alpha = 1`. It
    computes what mmpretrain's ``LoRALinear`` adds, with the same
    initialisation.

    Args:
        in_channels: Width of x.
        out_channels: Width of the layer's output.
        channels: The rank r.
    """

    def __init__(
        self, in_channels: int, out_channels: int, channels: int
    ) -> None:
        super().__init__()
        self.down = nn.Linear(in_channels, channels, bias=False)
        self.up = nn.Linear(channels, out_channels, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Change (..., out_channels) of the layer's output for x."""
        return self.up(self.down(x)) / self.down.out_features


# Kinds of adapters, and the modules that they adapt in the transformers of
# mmpretrain and timm: MLPs, and the layers of queries, keys and values.
_ADAPTERS = {
    'adaptformer': (AdaptFormer, r'.*\.(ffn|mlp)'),
    'lora': (LoRA, r'.*\.qkv'),
}


class _AddTo:
    """Forward hook that adds an adapter's output to a module's.

    (An object, and no closure: copies of the model, such as EMA's, then have
    hooks with their own adapters.)
    """

    def __init__(self, adapter: nn.Module) -> None:
        self.adapter = adapter

    def __call__(self, module: nn.Module, args: tuple, out: Tensor) -> Tensor:
        return out + self.adapter(args[0])


def fingerprint(module: nn.Module) -> Tensor:
    """SHA-256 of a module's weights and buffers, and of their names.

    Returns:
        (32,) uint8, on the CPU.
    """
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        value = value.detach().cpu().contiguous()
        digest.update(f'{name} {value.dtype} {list(value.shape)} '.encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy())
    return torch.tensor(list(digest.digest()), dtype=torch.uint8)


def _leave_out_frozen(
    module: AdaptedBackbone, state: Dict[str, Any], prefix: str, _: dict
) -> None:
    """Leave the frozen weights out of the state dict."""
    for name in [n for n in state if n.startswith(f'{prefix}frozen.')]:
        del state[name]


@MODELS.register_module()
class AdaptedBackbone(BaseModule):
    """A frozen backbone, with an adapter in each of its blocks.

    The backbone of LIFT (Shi et al., ICML 2024, Sec. 4): the weights of a
    foundation model stay as they are, and adapters that start as zero are
    trained with the head. The frozen part is always in evaluation mode.

    Checkpoints hold the adapters and a fingerprint of the frozen weights.
    These come from their file in each training and each test; a checkpoint of
    other weights is refused.

    (mmpretrain's ``LoRAModel`` does not serve: it drops the entries before it
    from a state dict, such as the step counter of a moving average, and
    nothing notices another backbone.)

    Args:
        frozen: Config of the backbone: a vision transformer of mmpretrain, or
            of timm (``bcl_mm.TimmBackbone``).
        weights_file: Path or address of its weights, for
            :func:`~bcl_mm.models.pretrained.backbone_weights` (with a
            ``TimmBackbone``: in timm's names). ``bcl-mm`` sets it by
            ``pretrained=FILE``. Defaults to None: neither training nor
            testing then starts.
        adapter: ``'adaptformer'`` (beside each MLP), ``'lora'`` (in each layer
            of queries, keys and values), or None: the head alone is trained.
            Defaults to ``'adaptformer'``.
        channels: Width of the adapters' bottleneck, or the rank. LIFT takes
            the power of 2 below C / (2 * blocks): 32 for ImageNet-LT, 8 for
            Places-LT. Defaults to 8.
        targets: Regular expression of the modules' names that are adapted,
            linear layers or MLPs. Defaults to None: that of the adapter.

    Raises:
        InputTypeError: ``channels`` is not an integer, or ``targets`` not
            text.
        InputValueError: ``adapter`` is unknown, no module has a name of
            ``targets``, or the weights do not fit.
        MissingFileError: ``weights_file`` does not exist.

    Example:
        A small vision transformer, whose weights are random here:

        >>> small = dict(embed_dims=32, num_layers=2, num_heads=2)
        >>> small['feedforward_channels'] = 64
        >>> vit = dict(type='mmpretrain.VisionTransformer', arch=small)
        >>> backbone = AdaptedBackbone(dict(vit, img_size=32), channels=4)
        >>> len(backbone.adapters)
        2
        >>> sorted({name.split('.')[0] for name in backbone.state_dict()})
        ['adapters', 'fingerprint']
        >>> (features,) = backbone(torch.zeros(1, 3, 32, 32))
        >>> features.shape
        torch.Size([1, 32])
    """

    fingerprint: Tensor

    def __init__(
        self,
        frozen: dict,
        weights_file: Optional[str] = None,
        adapter: Optional[str] = 'adaptformer',
        channels: int = 8,
        targets: Optional[str] = None,
    ) -> None:
        super().__init__()
        check_number('channels', channels, at_least=1, whole=True)
        if adapter not in (None, *_ADAPTERS):
            raise InputValueError(
                f'adapter must be {", ".join(map(repr, _ADAPTERS))} or None, '
                f'got {adapter!r}'
            )
        check_regex('targets', targets)
        self.weights_file = weights_file
        self.frozen = MODELS.build(frozen)
        if weights_file:
            self._load_frozen(weights_file)
        self.frozen.requires_grad_(False).eval()
        self.register_buffer('fingerprint', fingerprint(self.frozen))
        self.adapters = nn.ModuleList()
        if adapter is not None:
            kind, usual = _ADAPTERS[adapter]
            self._adapt(kind, channels, targets or usual)
        self.register_state_dict_post_hook(_leave_out_frozen)

    def _load_frozen(self, weights_file: str) -> None:
        """Load the weights of the frozen part."""
        backbone = self.frozen
        if isinstance(backbone, TimmBackbone):
            backbone = backbone.model
        try:
            weights, _ = backbone_weights(
                weights_file, backbone, 'weights_file'
            )
        except MissingFileError:
            raise MissingFileError(
                f'the frozen backbone {weights_file!r} does not exist: '
                f'{_REMEDY}'
            ) from None
        backbone.load_state_dict(weights, strict=False)

    def _adapt(self, kind: type, channels: int, targets: str) -> None:
        """Add an adapter to each module with a name of ``targets``."""
        for name, module in self.frozen.named_modules():
            if not re.fullmatch(targets, name):
                continue
            layers = [m for m in module.modules() if isinstance(m, nn.Linear)]
            if not layers:
                raise InputValueError(
                    f'targets={targets!r}: {name} of '
                    f'{type(self.frozen).__name__} has no linear layer'
                )
            ends = layers[0].in_features, layers[-1].out_features
            self.adapters.append(kind(*ends, channels))
            module.register_forward_hook(_AddTo(self.adapters[-1]))
        if not self.adapters:
            names = [name for name, _ in self.frozen.named_modules() if name]
            raise InputValueError(
                f'no module of {type(self.frozen).__name__} has a name of '
                f'targets={targets!r}: there are '
                f'{", ".join(names[:8])}{" ..." if names[8:] else ""}'
            )

    def init_weights(self) -> None:
        """Change nothing: adapters start as zero, the rest is frozen.

        Raises:
            InputValueError: The frozen weights are not given.
        """
        self._require_weights()

    def _require_weights(self) -> None:
        if not self.weights_file:
            raise InputValueError(
                f'the frozen backbone needs its weights: {_REMEDY}'
            )

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, *args: Any
    ) -> None:
        """Check the fingerprint; let nothing of the frozen part be missing.

        Raises:
            InputValueError: The weights are those of another backbone.
        """
        stored = state_dict.get(f'{prefix}fingerprint', self.fingerprint)
        if stored.tolist() != self.fingerprint.tolist():
            self._require_weights()
            raise InputValueError(
                f'the frozen backbone {self.weights_file!r} has other weights '
                'than the one that the checkpoint was trained with: '
                f'{_REMEDY}'
            )
        for name, value in self.frozen.state_dict().items():
            state_dict[f'{prefix}frozen.{name}'] = value
        super()._load_from_state_dict(state_dict, prefix, *args)

    def train(self, mode: bool = True) -> AdaptedBackbone:
        """Switch the adapters; the frozen part stays in evaluation mode."""
        super().train(mode)
        self.frozen.eval()
        return self

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        """Images (rows, 3, H, W) -> the frozen backbone's stages."""
        return self.frozen(x)
