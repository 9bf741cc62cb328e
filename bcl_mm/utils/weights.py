"""Content of a loaded checkpoint: checked, and compared with a model."""

from __future__ import annotations

import re
from numbers import Integral, Real
from typing import Any, Dict

import numpy as np
from torch import Tensor, nn

from bcl_mm.utils.errors import InputValueError

# Of these, testing uses one.
_STATES = ('state_dict', 'ema_state_dict')
_WHOLE = ('epoch', 'iter', 'seed', 'sampler_seed')


def check_content(content: Any) -> None:
    """Check the parts of a checkpoint that testing and training read.

    A ``meta`` of None is removed.

    Args:
        content: What was loaded: weights, or a dict with ``state_dict``.

    Raises:
        InputValueError: A part has a wrong type, or a weight is not a tensor
            or not finite.
    """
    _require(content, dict, 'it', 'a dict of weights')
    if 'state_dict' not in content:
        tensors = {k: v for k, v in content.items() if isinstance(v, Tensor)}
        _check_state(tensors, '')
    for part in filter(content.__contains__, _STATES):
        _require(content[part], dict, part, 'a dict of weights')
        _check_state(content[part], f'{part}.')
    if content.get('meta') is None:
        content.pop('meta', None)
    else:
        _check_meta(content['meta'])


def _require(value: Any, kinds: Any, name: str, rule: str) -> None:
    """Raise an error for a wrong type; it does not show the value.

    (Lists in lists may have endless texts.)
    """
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise InputValueError(
            f'{name} must be {rule}, got {type(value).__name__}'
        )


def _check_state(state: Dict[str, Any], prefix: str) -> None:
    for name, value in state.items():
        _require(name, str, f'a name in {prefix or "it"}', 'text')
        if name.endswith('_extra_state'):  # of a module: any object
            continue
        _require(value, Tensor, f'{prefix}{name}', 'a tensor')
        wrong = value.numel() - value.isfinite().sum().item()
        if wrong:
            raise InputValueError(
                f'{prefix}{name} must be finite, but {wrong} of its '
                f'{value.numel()} numbers are not'
            )


def _check_meta(meta: Any) -> None:
    _require(meta, dict, 'meta', 'a dict')
    for name in _WHOLE:
        value = meta.get(name)
        if value is not None:
            _require(value, Integral, f'meta.{name}', 'a whole number')
            if value < 0:
                raise InputValueError(f'meta.{name} must be >= 0')
    counts = meta.get('class_counts')
    if counts is not None:
        sequences = list, tuple, np.ndarray, Tensor
        _require(counts, sequences, 'meta.class_counts', 'a list of numbers')
        if isinstance(counts, (list, tuple)):
            for count in counts:
                _require(count, Real, 'a class count in meta', 'a number')
    if meta.get('data_digest') is not None:
        _require(meta['data_digest'], str, 'meta.data_digest', 'text')
    frozen = meta.get('frozen_backbone')
    if frozen is not None:
        _require(frozen, dict, 'meta.frozen_backbone', 'a dict')
        for name, value in frozen.items():
            _require(value, str, f'meta.frozen_backbone.{name}', 'text')
    if meta.get('dataset_meta') is None:
        return
    _require(meta['dataset_meta'], dict, 'meta.dataset_meta', 'a dict')
    names = meta['dataset_meta'].get('classes')
    if names is not None:
        _require(names, (list, tuple), 'the class names in meta', 'a list')
        for name in names:
            _require(name, str, 'a class name in meta', 'text')


def weights_of(content: dict) -> Dict[str, Tensor]:
    """Weights in what was loaded, as a model that is not wrapped names them.

    Args:
        content: A checkpoint with ``state_dict``, or weights alone.
    """
    return {
        name.removeprefix('module.'): value
        for name, value in content.get('state_dict', content).items()
        if isinstance(value, Tensor)
    }


def without_prefix(
    weights: Dict[str, Tensor], prefix: str
) -> Dict[str, Tensor]:
    """Weights whose names begin with a prefix, by the rest of their names."""
    return {
        name.removeprefix(prefix): value
        for name, value in weights.items()
        if name.startswith(prefix)
    }


def _layer(name: str) -> str:
    """The layer that an entry of a classifier or a backbone belongs to."""
    return re.findall(r'^(?:(?:backbone|neck|head)\.)?[^.]*', name)[0]


def _kind(value: Tensor) -> str:
    if value.is_complex():
        return 'complex'
    return 'real' if value.is_floating_point() else 'whole'


def misfits(model: nn.Module, weights: Dict[str, Tensor]) -> Dict[str, str]:
    """Entries of a model that do not fit weights, and the other way round.

    Returns:
        Name in the state dict -> what is wrong, ``'is missing'``.
    """
    wrong = {}
    own = model.state_dict()
    for name, value in own.items():
        given = weights.get(name)
        if given is None:
            wrong[name] = 'is missing'
        elif given.shape != value.shape:
            shapes = tuple(given.shape), tuple(value.shape)
            wrong[name] = 'has shape {}, not {}'.format(*shapes)
        elif _kind(given) != _kind(value):
            wrong[name] = f'has {_kind(given)} numbers, not {_kind(value)}'
    # A deeper net has all the weights of a shallower one, and more.
    layers = set(map(_layer, own))
    for name in weights:
        if name not in own and _layer(name) in layers:
            wrong[name] = 'belongs to a different net'
    return wrong


def is_only_for_training(name: str, projects: bool = False) -> bool:
    """Whether testing has no use for an entry of a model's state dict.

    Args:
        name: Its name.
        projects: Whether the projections of a branch are needed. Defaults
            to False.
    """
    parts = set(name.split('.'))
    if projects and parts & {'projector', 'prototype_projector'}:
        return 'num_batches_tracked' in parts
    unused = 'branches', 'loss_module', 'class_counts', 'num_batches_tracked'
    return not parts.isdisjoint(unused)
