"""Backbones that start from weights of elsewhere."""

from __future__ import annotations

import difflib
import os
import os.path as osp
from typing import Any, Dict, Iterable, Optional, Tuple
from urllib.parse import urlparse

import torch
from mmengine.registry import DefaultScope
from mmengine.runner.checkpoint import get_torchvision_models
from torch import Tensor, nn

from bcl_mm.registry import MODELS
from bcl_mm.utils.checkpoint import load_weights_only

# What a checkpoint puts before the names of the backbone's weights.
_PREFIXES = ('backbone.', 'module.backbone.', 'module.')
_TIMM, _TORCHVISION = 'timm://', 'torchvision://'


def _similar(name: str, known: Iterable[str]) -> str:
    """Part of a message: names that are like one that is unknown."""
    matches = difflib.get_close_matches(name, known)
    return f'; similar are {", ".join(matches)}' if matches else ''


def fetch(source: str) -> str:
    """Path of a checkpoint, which is downloaded if it is an address.

    Downloads are kept where torch keeps its own (``$TORCH_HOME``).

    Args:
        source: A path, ``http(s)://...``, or ``torchvision://NAME``, such as
            ``torchvision://resnet50`` or ``torchvision://resnet50.default``.

    Raises:
        ValueError: It is of none of these kinds, or the name is unknown.
        OSError: It cannot be downloaded.
    """
    if source.startswith(_TORCHVISION):
        name, urls = (
            source.removeprefix(_TORCHVISION),
            get_torchvision_models(),
        )
        if name not in urls:
            raise ValueError(
                f'torchvision has no weights {name!r}{_similar(name, urls)}'
            )
        source = urls[name]
    if '://' not in source:
        return source
    if urlparse(source).scheme not in ('http', 'https', 'file'):
        raise ValueError(
            'weights must be a file, http(s)://..., torchvision://NAME or, '
            f'for a backbone, timm://NAME, got {source!r}'
        )
    folder = osp.join(torch.hub.get_dir(), 'checkpoints')
    path = osp.join(folder, osp.basename(urlparse(source).path))
    if not osp.isfile(path):
        os.makedirs(folder, exist_ok=True)
        try:
            torch.hub.download_url_to_file(source, path)
        except OSError as error:
            raise OSError(
                f'{source} cannot be downloaded ({error}): give a file'
            ) from error
    return path


def load_dict(source: str) -> Dict[str, Any]:
    """Load a checkpoint, which must be a dict, from a path or an address.

    Nothing that it may hold beside weights is run.

    Raises:
        ValueError: It is no dict, damaged, or holds more than weights.
        OSError: It does not exist, or cannot be downloaded.
    """
    content = load_weights_only(fetch(source))
    if not isinstance(content, dict):
        raise ValueError(
            f'the checkpoint {source!r} must be a dict of weights, got '
            f'{type(content).__name__}'
        )
    return content


def backbone_weights(
    source: str, backbone: nn.Module, name: str = 'pretrained'
) -> Tuple[Dict[str, Tensor], Optional[str]]:
    """The weights of a checkpoint that are a backbone's, all of them.

    Args:
        source: Path or address, for :func:`fetch`, of a checkpoint of
            MMPretrain or of ``bcl_mm``, or of the backbone's state dict, as
            torchvision has it. A classifier in it is left over.
        backbone: The backbone.
        name: What the user calls the source. Defaults to ``'pretrained'``.

    Returns:
        The weights, by the backbone's names; and what stands before these in
        the checkpoint, None if nothing does.

    Raises:
        ValueError: The checkpoint cannot be used, or is of another backbone;
            the message names the weights that do not fit.
        OSError: It does not exist, or cannot be downloaded.
    """
    content = load_dict(source)
    state = content.get('state_dict', content)
    keys = [key for key in state if isinstance(key, str)]
    prefix = next(
        (p for p in _PREFIXES if any(key.startswith(p) for key in keys)), None
    )
    start = prefix or ''
    found = {
        key.removeprefix(start): state[key]
        for key in keys
        if key.startswith(start)
    }
    own = backbone.state_dict()
    parts = {key.split('.')[0] for key in own}
    problems = [
        f'{start}{key} is missing'
        if key not in found
        else f'{start}{key} has shape {_shape(found[key])}, not '
        f'{tuple(value.shape)}'
        for key, value in own.items()
        if _shape(found.get(key)) != tuple(value.shape)
        # Which some leave out, and nothing needs.
        and not key.endswith('num_batches_tracked')
    ]
    # A deeper net has all that a shallower one needs, and more.
    problems += [
        f'{start}{key} is of another net'
        for key in found
        if key not in own and key.split('.')[0] in parts
    ]
    if problems:
        raise ValueError(
            f'{name}={source!r} does not fit model.backbone '
            f'({type(backbone).__name__}) in {len(problems)} weights: '
            f'{"; ".join(problems[:3])}{" ..." if len(problems) > 3 else ""} '
            f'(the first of the file are {", ".join(keys[:3]) or "none"})'
        )
    return {key: found[key] for key in own if key in found}, prefix


def _shape(value: Any) -> Optional[Tuple[int, ...]]:
    return tuple(value.shape) if isinstance(value, Tensor) else None


def _build(config: dict, scope: str) -> nn.Module:
    with DefaultScope.overwrite_default_scope(scope):
        return MODELS.build(config)


def _check_timm_name(name: str) -> None:
    try:
        import timm
    except ImportError as error:
        raise ValueError(
            f'pretrained={_TIMM}{name} needs timm: pip install timm'
        ) from error
    if not timm.is_model(name):
        known = timm.list_models()
        raise ValueError(
            f'timm has no model {name!r}{_similar(name.split(".")[0], known)}'
        )


def apply_pretrained(cfg: dict, load: bool = True) -> None:
    """Do what a config's ``pretrained`` says.

    A file or an address of weights for ``model.backbone`` becomes its
    ``init_cfg``, once it is seen to fit. ``timm://NAME`` replaces backbone
    and neck by timm's model with its own pooling, tells the head its width
    and the preprocessor its mean and deviation.

    Args:
        cfg: Config, changed in place. Without ``pretrained``, or with None,
            nothing is done.
        load: Whether the weights are wanted. Without, a checkpoint brings
            them, and nothing is read or downloaded. Defaults to True.

    Raises:
        TypeError: ``pretrained`` is no text.
        ValueError: It does not fit, cannot be read, or is unknown; or timm is
            needed and not installed.
        OSError: It does not exist, or cannot be downloaded.
    """
    source, model = cfg.get('pretrained'), cfg.get('model')
    if source is None:
        return
    if not isinstance(source, str):
        raise TypeError(f'pretrained must be text, got {source!r}')
    scope = cfg.get('default_scope', 'mmpretrain')
    if source.startswith(_TIMM):
        name = source.removeprefix(_TIMM)
        _check_timm_name(name)
        backbone = dict(type='bcl_mm.TimmBackbone', name=name, pretrained=load)
        built = _build(backbone, scope)
        model['backbone'], model['neck'] = backbone, None
        model['head']['in_channels'] = built.out_channels
        preprocessor = cfg.get('data_preprocessor') or {}
        preprocessor.update(mean=built.mean, std=built.std)
    elif load:
        path = fetch(source)
        backbone = dict(model['backbone'], init_cfg=None)
        _, prefix = backbone_weights(path, _build(backbone, scope))
        model['backbone']['init_cfg'] = dict(
            type='Pretrained', checkpoint=path, prefix=prefix
        )
