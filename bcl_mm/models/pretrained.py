"""Pretrained weights of backbones."""

from __future__ import annotations

import os
from typing import Dict, Optional, Tuple

from mmengine.registry import DefaultScope
from torch import Tensor, nn

from bcl_mm.registry import MODELS
from bcl_mm.utils.checkpoint import load_checkpoint
from bcl_mm.utils.downloads import fetch
from bcl_mm.utils.errors import InputTypeError, InputValueError, similar_names
from bcl_mm.utils.weights import misfits, without_prefix

# Prefixes of the names of a backbone's weights in a checkpoint.
_PREFIXES = ('backbone.', 'module.backbone.', 'module.')
_TIMM = 'timm://'


def backbone_weights(
    source: str, backbone: nn.Module, name: str = 'pretrained'
) -> Tuple[Dict[str, Tensor], Optional[str]]:
    """Read all weights of a backbone from a checkpoint.

    Args:
        source: Path or address, for :func:`fetch`, of a checkpoint of
            MMPretrain or ``bcl_mm``, or of the backbone's state dict, as
            torchvision provides it. A classifier in it is ignored.
        backbone: The backbone.
        name: The user's name for the source. Defaults to ``'pretrained'``.

    Returns:
        The weights, by the backbone's names; and the prefix of these names in
        the checkpoint, None if there is none.

    Raises:
        InputValueError: The checkpoint is unusable, or belongs to a different
            backbone; the message names the weights that do not fit.
        InputFileError: It does not exist, or cannot be downloaded.
    """
    content = load_checkpoint(source)
    state = content.get('state_dict', content)
    keys = [key for key in state if isinstance(key, str)]
    used = (p for p in _PREFIXES if any(key.startswith(p) for key in keys))
    prefix = next(used, None)
    start = prefix or ''
    tensors = {k: state[k] for k in keys if isinstance(state[k], Tensor)}
    found = without_prefix(tensors, start)
    problems = [
        f'{start}{key} {problem}'
        for key, problem in misfits(backbone, found).items()
        # Optional: some checkpoints omit it, and nothing needs it.
        if not key.endswith('num_batches_tracked')
    ]
    if problems:
        raise InputValueError(
            f'{name}={source!r} does not fit model.backbone '
            f'({type(backbone).__name__}) in {len(problems)} weights: '
            f'{"; ".join(problems[:3])}{" ..." if len(problems) > 3 else ""} '
            f'(the file starts with {", ".join(keys[:3]) or "no weights"})'
        )
    own = backbone.state_dict()
    return {key: found[key] for key in own if key in found}, prefix


def _build(config: dict, scope: str) -> nn.Module:
    with DefaultScope.overwrite_default_scope(scope):
        return MODELS.build(config)


def _check_timm_name(name: str) -> None:
    try:
        import timm
    except ImportError as error:
        message = f'pretrained={_TIMM}{name} needs timm: pip install timm'
        raise InputValueError(message) from error
    if not timm.is_model(name):
        similar = similar_names(name.split('.')[0], timm.list_models())
        raise InputValueError(f'timm has no model {name!r}{similar}')


def apply_frozen(cfg: dict, checkpoint: Optional[str] = None) -> None:
    """Tell an ``AdaptedBackbone`` the file of its frozen weights.

    ``pretrained`` of the config becomes its ``weights_file``, as an absolute
    path. Without that, a checkpoint names the file that it was trained with.

    Args:
        cfg: Config, changed in place; unchanged if it has another backbone.
        checkpoint: The checkpoint that is tested, or that training resumes
            from. Defaults to None.

    Raises:
        InputValueError: ``pretrained`` is not a file or an address of one, or
            the checkpoint is damaged.
        InputFileError: The checkpoint does not exist.
    """
    backbone = (cfg.get('model') or {}).get('backbone') or {}
    if not str(backbone.get('type')).endswith('AdaptedBackbone'):
        return
    source = cfg.get('pretrained') or backbone.get('weights_file')
    if source is None and checkpoint:
        meta = load_checkpoint(checkpoint).get('meta', {})
        source = (meta.get('frozen_backbone') or {}).get('file')
    if source is None:
        return
    if not isinstance(source, str):
        raise InputTypeError(f'pretrained must be text, got {source!r}')
    if source.startswith(_TIMM):
        raise InputValueError(
            'a frozen backbone needs a file of its weights: give '
            f'pretrained=FILE instead of {source}, and model.backbone.frozen='
            "dict(type='bcl_mm.TimmBackbone', "
            f'name={source.removeprefix(_TIMM)!r})'
        )
    if '://' not in source:
        source = os.path.abspath(os.path.expanduser(source))
    backbone['weights_file'], cfg['pretrained'] = source, None


def apply_pretrained(cfg: dict, load: bool = True) -> Optional[str]:
    """Apply the ``pretrained`` setting of a config.

    A file or an address becomes the ``init_cfg`` of ``model.backbone``, after
    a check that its weights fit. ``timm://NAME`` replaces backbone and neck
    by timm's model with its own pooling, and sets the head's width and the
    preprocessor's mean and standard deviation.

    Args:
        cfg: Config, changed in place; unchanged if ``pretrained`` is missing
            or None.
        load: Whether to load the weights. If not, nothing is read or
            downloaded: a checkpoint provides them. Defaults to True.

    Returns:
        What is loaded, in a sentence; None if nothing is.

    Raises:
        InputTypeError: ``pretrained`` is not text.
        ValueError: It does not fit, cannot be read, or is unknown; or timm is
            required and not installed.
        InputFileError: It does not exist, or cannot be downloaded.
    """
    source, model = cfg.get('pretrained'), cfg.get('model', {})
    if source is None:
        return None
    if not isinstance(source, str):
        raise InputTypeError(f'pretrained must be text, got {source!r}')
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
        if not load:
            return None
        number = len(built.state_dict())
        return (
            f'pretrained={source}: {number} tensors go to the backbone; left '
            "out: timm's classifier"
        )
    if not load:
        return None
    path = fetch(source)
    backbone = dict(model['backbone'], init_cfg=None)
    found, prefix = backbone_weights(path, _build(backbone, scope))
    init_cfg = dict(type='Pretrained', checkpoint=path, prefix=prefix)
    model['backbone']['init_cfg'] = init_cfg
    return f'pretrained={source}: {_describe(path, found, prefix)}'


def _describe(
    path: str, found: Dict[str, Tensor], prefix: Optional[str]
) -> str:
    """How many tensors of a file are loaded, and which are left out."""
    content = load_checkpoint(path)
    state = content.get('state_dict', content)
    tensors = [k for k, value in state.items() if isinstance(value, Tensor)]
    loaded = {f'{prefix or ""}{key}' for key in found}
    rest = [str(key) for key in tensors if key not in loaded]
    text = f'{len(loaded)} of its {len(tensors)} tensors go to the backbone'
    if rest:
        more = ', ...' if len(rest) > 3 else ''
        text += f'; left out: {", ".join(rest[:3])}{more}'
    return text
