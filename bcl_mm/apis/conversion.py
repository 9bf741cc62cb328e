"""Conversion of checkpoints of the reference implementation.

The reference is github.com/FlamieZhu/Balanced-Contrastive-Learning.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import torch
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor

from bcl_mm.apis.config import read_config
from bcl_mm.apis.locations import find_config
from bcl_mm.utils.checkpoint import load_checkpoint
from bcl_mm.utils.errors import InputValueError
from bcl_mm.utils.files import open_atomically
from bcl_mm.utils.weights import misfits

# The reference's projectors, and our prefixes for them.
PROJECTORS = dict(
    head='head.branches.con.projector.',
    head_fc='head.branches.con.prototype_projector.',
)
# Patterns of the reference's keys, and our prefixes for them. It never uses
# encoder.fc.
PREFIXES = {
    r'encoder\.((?:conv1|bn1|layer[1-4])\..+)': 'backbone.',
    r'head\.([013]\..+)': PROJECTORS['head'],
    r'head_fc\.([013]\..+)': PROJECTORS['head_fc'],
    r'fc\.(weight|bias)': 'head.classifier.',
}
_REQUIRED = (
    'encoder.conv1.weight',
    'encoder.bn1.weight',
    *(f'encoder.layer{stage}.0.conv1.weight' for stage in range(1, 5)),
    'encoder.layer4.0.downsample.0.weight',
    'fc.weight',
)
_PROJECTOR_KEYS = (
    *('0.weight', '0.bias', '3.weight', '3.bias'),
    *('1.weight', '1.bias', '1.running_mean', '1.running_var'),
)


class Conversion(NamedTuple):
    """Result of a conversion.

    Attributes:
        num_keys: Keys of the reference's state dict.
        weights: The converted weights.
        unused: Keys that were not converted.
        dropped: Entries of the checkpoint other than the state dict.
        settings: Settings that ``BCLHead`` needs in the config.
    """

    num_keys: int
    weights: Dict[str, Tensor]
    unused: List[str]
    dropped: List[str]
    settings: Dict[str, Any]


def _check_out(path: str, out: str) -> None:
    """Raise an error if ``out`` cannot be written, or is ``path``."""
    if Path(out).is_dir():
        raise InputValueError(f'OUT must be a file, got the folder {out!r}')
    if not Path(out).absolute().parent.is_dir():
        raise InputValueError(f'the folder of OUT, {out!r}, does not exist')
    if Path(out).exists() and os.path.samefile(path, out):
        raise InputValueError(f'OUT must be another file than IN, got {out!r}')


def _convert_key(key: str) -> Optional[str]:
    """Our name for a key of the reference; None if we have none."""
    for pattern, prefix in PREFIXES.items():
        match = re.fullmatch(pattern, key)
        if match:
            return prefix + match[1]
    return None


def _rename(state: Dict[str, Any]) -> Tuple[Dict[str, Tensor], List[str]]:
    """The finite weights with our names, and the keys that were not used."""
    # DataParallel's prefix.
    full_keys = {key.removeprefix('module.'): key for key in state}
    if len(full_keys) < len(state):
        raise InputValueError(
            "keys occur twice, with and without a leading 'module.'"
        )
    missing = [key for key in _REQUIRED if key not in full_keys]
    if missing:
        raise InputValueError(
            'the reference has keys encoder.*, head.*, head_fc.* and fc.*, '
            "with or without a leading 'module.'; this checkpoint lacks "
            f'{", ".join(missing)}, and its first keys are '
            f'{", ".join(list(state)[:5]) or "none"}'
        )
    weights: Dict[str, Tensor] = {}
    unused = []
    for key, full_key in full_keys.items():
        ours, value = _convert_key(key), state[full_key]
        if ours is None:
            unused.append(full_key)
            continue
        if not isinstance(value, Tensor):
            raise InputValueError(
                f'{full_key} must be a tensor, got {type(value).__name__}'
            )
        wrong = (~value.isfinite()).sum().item()
        if wrong:
            raise InputValueError(
                f'{full_key} must be finite, but {wrong} of its '
                f'{value.numel()} numbers are not'
            )
        weights[ours] = value
    return weights, unused


def _orient_classifier(weights: Dict[str, Tensor]) -> Dict[str, Any]:
    """Bring the classifier's weight to (num_classes, in_channels), in place.

    Returns:
        The settings of ``BCLHead`` that it needs.
    """
    width = len(weights['backbone.layer4.0.downsample.0.weight'])
    weight = weights['head.classifier.weight']
    stored = tuple(weight.shape)
    # The shape does not tell: there may be as many classes as channels.
    if 'head.classifier.bias' in weights:
        classifier, rule = 'linear', 'with fc.bias must be (num_classes, '
        rule += f'in_channels) = (num_classes, {width})'
    else:
        classifier, rule = 'cosine', 'without fc.bias must be (in_channels, '
        rule += f'num_classes) = ({width}, num_classes)'
        weight = weight.t().contiguous() if weight.ndim == 2 else weight
    if weight.ndim != 2 or weight.shape[1] != width:
        raise InputValueError(f'fc.weight {rule}, got shape {stored}')
    weights['head.classifier.weight'] = weight
    return dict(
        num_classes=len(weight), in_channels=width, classifier=classifier
    )


def _measure_projectors(
    weights: Dict[str, Tensor], in_channels: int
) -> Dict[str, int]:
    """Settings of ``BCLHead`` that the projectors need, if there are any."""
    settings: Dict[str, int] = {}
    for theirs, prefix in PROJECTORS.items():
        missing = [k for k in _PROJECTOR_KEYS if prefix + k not in weights]
        if len(missing) == len(_PROJECTOR_KEYS):
            continue
        if missing:
            raise InputValueError(
                f'{theirs} must be complete or absent, but it lacks '
                + ', '.join(f'{theirs}.{key}' for key in missing)
            )
        first, last = (weights[f'{prefix}{i}.weight'] for i in (0, 3))
        found = dict(hidden_channels=len(first), out_channels=len(last))
        if first.shape[1:] != (in_channels,):
            raise InputValueError(
                f'{theirs}.0.weight must have {in_channels} columns, the '
                f"backbone's channels, got shape {tuple(first.shape)}"
            )
        if settings and found != settings:
            raise InputValueError(
                f'head and head_fc must have the same widths, got {settings} '
                f'and {found}'
            )
        settings = found
    return settings


def _check_fit(weights: Dict[str, Tensor], config: str) -> None:
    """Check weights against the model of a config, key by key."""
    cfg = read_config(find_config(config))
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    model = MODELS.build(cfg.model)
    wrong = misfits(model, weights)
    wrong.pop('head.class_counts', None)  # testing counts them
    unknown = set(weights).difference(model.state_dict())
    wrong.update(dict.fromkeys(unknown, 'is unknown to the config'))
    if wrong:
        raise InputValueError(
            f'{len(wrong)} keys do not fit the model of {config}, and '
            'nothing was written:\n  '
            + '\n  '.join(f'{key} {wrong[key]}' for key in sorted(wrong))
        )


def convert_checkpoint(
    path: str, out: str, config: Optional[str] = None
) -> Conversion:
    """Convert a checkpoint of the reference implementation into ours.

    Args:
        path: Their checkpoint.
        out: The file to write, for testing or for ``load_from``.
        config: A config; the weights must fit its model, key by key.
            Defaults to None.

    Raises:
        InputFileError: A file cannot be read or written, or does not exist.
        InputValueError: The checkpoint is not the reference's or incomplete, a
            weight is NaN, infinite or of a wrong shape, or a key does not fit
            the config.

    Example:
        The reference's names, and a cosine classifier of 10 classes:

        >>> from torchvision.models import resnet18
        >>> encoder = resnet18().state_dict()
        >>> theirs = {f'module.encoder.{key}': encoder[key] for key in encoder}
        >>> theirs['module.fc.weight'] = torch.ones(512, 10)
        >>> torch.save(dict(state_dict=theirs, epoch=90), 'theirs.pth')
        >>> conversion = convert_checkpoint('theirs.pth', 'ours.pth')
        >>> conversion.settings
        {'num_classes': 10, 'in_channels': 512, 'classifier': 'cosine'}
        >>> conversion.weights['head.classifier.weight'].shape
        torch.Size([10, 512])
        >>> conversion.unused, conversion.dropped
        (['module.encoder.fc.weight', 'module.encoder.fc.bias'], ['epoch'])
    """
    content = load_checkpoint(path)
    state = content.get('state_dict', content)
    if not isinstance(state, dict):
        raise InputValueError(
            f'state_dict of the checkpoint {path!r} must be a dict of '
            f'weights, got {type(state).__name__}'
        )
    _check_out(path, out)
    try:
        weights, unused = _rename({str(k): v for k, v in state.items()})
        settings = _orient_classifier(weights)
        settings.update(_measure_projectors(weights, settings['in_channels']))
    except InputValueError as error:
        raise InputValueError(f'{path}: {error}') from error
    if config is not None:
        _check_fit(weights, config)
    meta = dict(converted_from=Path(path).name)
    with open_atomically(out, 'wb') as file:
        torch.save(dict(state_dict=weights, meta=meta), file)
    others = [] if state is content else map(str, content)
    dropped = [name for name in others if name != 'state_dict']
    return Conversion(len(state), weights, unused, dropped, settings)
