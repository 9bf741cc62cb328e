"""The one way to load a checkpoint, and what it may contain.

Since torch 2.6 checkpoints load with ``weights_only=True``, which refuses the
logging history that MMEngine's Runner keeps in them. Switching the safety off
would let a checkpoint run any code. Instead, exactly what MMEngine writes is
allowed, and nothing else.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from pathlib import Path, PurePath
from typing import Any, Dict, Union
from urllib.parse import urlparse

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner.checkpoint import (
    get_external_models,
    get_torchvision_models,
)
from torch import Tensor, nn

from bcl_mm.utils.errors import (
    InputFileError,
    InputValueError,
    MissingFileError,
    similar_names,
)

try:
    from numpy._core import multiarray
except ImportError:  # numpy 1
    from numpy.core import multiarray

# Addresses of weights by name: torchvision://resnet50.
_ZOOS = dict(torchvision=get_torchvision_models, openmmlab=get_external_models)
_STATISTICS = ('min', 'max', 'mean', 'current')


def _history_method(owner: Any, name: str) -> Any:
    """Stand-in for ``getattr``: the statistics of a HistoryBuffer only."""
    if owner is not HistoryBuffer or name not in _STATISTICS:
        raise InputValueError(
            'a checkpoint may take only the attributes '
            f'{", ".join(_STATISTICS)} of HistoryBuffer, this one asks for '
            f'{name!r} of {owner!r}'
        )
    return getattr(HistoryBuffer, name)


def allow_runner_checkpoints() -> None:
    """Let ``torch.load`` read MMEngine's checkpoints, weights-only.

    Allowed are HistoryBuffer, numeric arrays and scalars of numpy 1 and 2,
    and the four statistics that a HistoryBuffer refers to. Called when
    ``bcl_mm`` is imported; calling it again does nothing.
    """
    numeric = 'bool int8 int16 int32 int64 uint8 float16 float32 float64'
    types = [type(np.dtype(name)) for name in numeric.split()]
    allowed = [HistoryBuffer, np.ndarray, np.dtype, *types]
    allowed.append((_history_method, 'builtins.getattr'))
    for name in ('_reconstruct', 'scalar'):
        for package in ('numpy._core', 'numpy.core'):
            function = getattr(multiarray, name)
            allowed.append((function, f'{package}.multiarray.{name}'))
    torch.serialization.add_safe_globals(allowed)


def is_file(path: Union[str, Path]) -> bool:
    try:
        return Path(path).is_file()
    except (OSError, ValueError):  # too long for a name, or with a zero
        return False


def load_weights_only(path: str) -> Any:
    """Load a local checkpoint onto the CPU without running anything of it.

    Raises:
        MissingFileError: The file does not exist.
        ValueError: It is damaged, or holds more than weights and what MMEngine
            writes beside them.
    """
    if not is_file(path):
        raise MissingFileError(f'there is no checkpoint {path!r}')
    with open(path, 'rb') as file:
        start = file.read(2)
    is_archive = start == b'PK'  # torch < 1.6 wrote no archives
    if not start or (is_archive and not zipfile.is_zipfile(path)):
        raise InputValueError(
            f'the checkpoint {path!r} is damaged: it is cut short'
        )
    try:
        if is_archive:
            with zipfile.ZipFile(path) as archive:
                broken = archive.testzip()
            if broken:
                raise zipfile.BadZipFile(f'checksum of {broken}')
        return torch.load(
            path, map_location='cpu', weights_only=True, mmap=is_archive
        )
    except Exception as error:  # a damaged file may raise anything
        # Not torch's own message, nor the error itself as the cause of ours:
        # it tells how to switch the safety off.
        asked = re.search(r'GLOBAL (\S+)', str(error))
        reason = 'it is damaged, or holds more than weights and numbers'
        if asked:
            reason = f'it asks for {asked[1]}, which is more than weights'
        raise InputValueError(
            f'the checkpoint {path!r} is refused, and nothing of it was run: '
            f'{reason}'
        ) from None


def fetch(source: str) -> str:
    """Local path of a checkpoint, which is downloaded if it is an address.

    Downloads are kept where torch keeps its own (``$TORCH_HOME``). Their
    names hold a hash of the whole address: two addresses never share a file.

    Args:
        source: A path, ``http(s)://...``, ``file://...``,
            ``openmmlab://NAME``, or ``torchvision://NAME``, such as
            ``torchvision://resnet50`` or ``torchvision://resnet50.default``.

    Raises:
        InputValueError: It is of another kind, or the name is unknown.
        InputFileError: It cannot be downloaded.
    """
    zoo, _, name = source.partition('://')
    address = source
    if zoo in _ZOOS:
        addresses = _ZOOS[zoo]()
        if name not in addresses:
            raise InputValueError(
                f'{zoo} has no weights {name!r}'
                f'{similar_names(name, addresses)}'
            )
        address = addresses[name]
    if '://' not in address:
        return address
    if urlparse(address).scheme not in ('http', 'https', 'file'):
        raise InputValueError(
            'weights must be a file, http(s)://..., torchvision://NAME, '
            'openmmlab://NAME or, '
            f'for a backbone, timm://NAME, got {source!r}'
        )
    name = PurePath(urlparse(address).path)
    # torchvision's names hold a hash of the content: its own downloads serve.
    if zoo != 'torchvision':
        key = hashlib.sha256(address.encode()).hexdigest()[:16]
        name = name.with_stem(f'{name.stem}-{key}')
    folder = Path(torch.hub.get_dir(), 'checkpoints')
    path = folder / name.name
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(address, str(path))
        except OSError as error:
            raise InputFileError(
                f'{address} cannot be downloaded ({error}): give a file'
            ) from error
    return str(path)


def load_checkpoint(source: str) -> Dict[str, Any]:
    """Load a checkpoint onto the CPU, without running anything of it.

    The only way in for checkpoints, whatever names them.

    Args:
        source: A path or an address, for :func:`fetch`.

    Returns:
        The dict that it holds: weights, or ``state_dict``, ``meta``, ...

    Raises:
        InputValueError: It is damaged, not a dict, or holds more than
            weights and what MMEngine writes beside them.
        InputFileError: It does not exist, or cannot be downloaded.
    """
    content = load_weights_only(fetch(source))
    if not isinstance(content, dict):
        raise InputValueError(
            f'the checkpoint {source!r} must be a dict of weights, got '
            f'{type(content).__name__}'
        )
    return content


def weights_of(content: dict) -> Dict[str, Tensor]:
    """Weights in what was loaded, as a model that is not wrapped names them.

    Args:
        content: A checkpoint with ``state_dict``, or weights alone.
    """
    return {
        name.removeprefix('module.'): value
        for name, value in content.get('state_dict', content).items()
    }


def misfits(model: nn.Module, weights: Dict[str, Tensor]) -> Dict[str, str]:
    """Entries of a model that weights lack or have in another shape.

    Returns:
        Name in the state dict -> what is wrong, ``'is missing'``.
    """
    return {
        name: f'has shape {tuple(weights[name].shape)}, not '
        f'{tuple(value.shape)}'
        if name in weights
        else 'is missing'
        for name, value in model.state_dict().items()
        if getattr(weights.get(name), 'shape', None) != value.shape
    }


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
