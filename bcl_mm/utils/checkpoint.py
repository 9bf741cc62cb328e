"""The one way to load a checkpoint, whatever names it.

Since torch 2.6 checkpoints load with ``weights_only=True``, which refuses the
logging history that MMEngine's Runner keeps in them. Switching the safety off
would let a checkpoint run any code. Instead, exactly what MMEngine writes is
allowed, and nothing else; and MMEngine's own loaders, which would unpickle
what they download, are replaced by this one.
"""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any, Dict, Union

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner.checkpoint import CheckpointLoader

from bcl_mm.utils.downloads import fetch
from bcl_mm.utils.errors import InputValueError, MissingFileError
from bcl_mm.utils.pickles import STATISTICS, check_pickle
from bcl_mm.utils.weights import (
    check_content,
    weights_of,
    without_prefix,
)

try:
    from numpy._core import multiarray
except ImportError:  # numpy 1
    from numpy.core import multiarray  # type: ignore[no-redef]


def _history_method(owner: Any, name: str) -> Any:
    """Stand-in for ``getattr``: the statistics of a HistoryBuffer only."""
    if owner is not HistoryBuffer or name not in STATISTICS:
        raise InputValueError(
            'a checkpoint may take only the attributes '
            f'{", ".join(STATISTICS)} of HistoryBuffer, this one asks for '
            f'{name!r} of {owner!r}'
        )
    return getattr(HistoryBuffer, name)


def load_from_bcl_mm(
    source: str, map_location: Any = None, **_: Any
) -> Dict[str, Any]:
    """Loader for MMEngine; the tensors stay on the CPU, read completely."""
    content = load_checkpoint(source, lazily=False)
    if source.startswith('mmcls://'):  # MMEngine gives the backbone's alone
        weights = without_prefix(weights_of(content), 'backbone.')
        content = dict(state_dict=weights)
    return content


def set_up_loading() -> None:
    """Make MMEngine load checkpoints through this module, weights-only.

    It concerns ``load_from``, ``resume``, ``init_cfg`` and whatever else
    loads by MMEngine. ``torch.load`` reads MMEngine's checkpoints, too:
    allowed are HistoryBuffer, numeric arrays and scalars of numpy 1 and 2,
    and the four statistics that a HistoryBuffer refers to. Called when
    ``bcl_mm`` is used; calling it again does nothing.
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
    CheckpointLoader.register_scheme(
        list(CheckpointLoader._schemes), load_from_bcl_mm, force=True
    )


def is_file(path: Union[str, Path]) -> bool:
    """Whether a path is that of a regular file."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):  # too long for a name, or with a zero
        return False


def _check_archive(path: str, num_bytes: int) -> None:
    """Check sizes, checksums and pickles of a checkpoint's records."""
    with zipfile.ZipFile(path) as archive:
        records = archive.infolist()
        if any(record.compress_type for record in records):
            raise InputValueError(
                'its records are compressed, which torch.save never does'
            )
        if sum(record.file_size for record in records) > num_bytes:
            raise InputValueError('its records claim more than the file has')
        broken = archive.testzip()
        if broken:
            raise zipfile.BadZipFile(f'checksum of {broken}')
        for record in records:
            if record.filename.lower().endswith('.pkl'):
                check_pickle(archive.read(record), num_bytes)


def _load_weights_only(path: str, lazily: bool) -> Any:
    """Load a local checkpoint without running anything of it.

    Raises:
        MissingFileError: The file does not exist.
        InputValueError: It is damaged, or holds more than weights and what
            MMEngine writes beside them.
    """
    if not is_file(path):
        raise MissingFileError(f'there is no checkpoint {path!r}')
    num_bytes = os.path.getsize(path)
    try:
        with open(path, 'rb') as file:
            start = file.read(2)
            is_archive = start == b'PK'  # torch < 1.6 wrote no archives
            if not start or (is_archive and not zipfile.is_zipfile(path)):
                raise EOFError
            if is_archive:
                _check_archive(path, num_bytes)
            else:
                file.seek(0)
                for _ in range(5):  # three of the format, content, storages
                    check_pickle(file, num_bytes)
        return torch.load(
            path,
            map_location='cpu',
            weights_only=True,
            mmap=is_archive and lazily,
        )
    except EOFError:
        reason = 'is damaged: it is cut short'
    except OSError as error:
        reason = f'cannot be read: {error.strerror or error}'
    except InputValueError as error:
        reason = f'is refused, and nothing of it was run: {error}'
    except Exception:  # a damaged file may raise anything
        # Not torch's own message, nor the error itself as the cause of ours:
        # it tells how to switch the safety off.
        reason = (
            'is refused, and nothing of it was run: it is damaged, or holds '
            'more than weights and numbers'
        )
    raise InputValueError(f'the checkpoint {path!r} {reason}')


def load_checkpoint(source: str, lazily: bool = True) -> Dict[str, Any]:
    """Load a checkpoint onto the CPU, without running anything of it.

    The only way in for checkpoints, whatever names them.

    Args:
        source: A path or an address, for :func:`fetch`.
        lazily: Whether tensors may be read from the file when they are first
            used. Defaults to True.

    Returns:
        The dict that it holds: weights, or ``state_dict``, ``meta``, ...

    Raises:
        InputValueError: It is damaged, holds more than weights and what
            MMEngine writes beside them, or these are malformed.
        InputFileError: It does not exist, or cannot be downloaded.
    """
    content = _load_weights_only(fetch(source), lazily)
    try:
        check_content(content)
    except InputValueError as error:
        raise InputValueError(
            f'the checkpoint {source!r} cannot be used: {error}'
        ) from None
    return content
