"""What a checkpoint may contain, and which one to go on from.

Since torch 2.6 checkpoints load with ``weights_only=True``, which refuses the
logging history that MMEngine's Runner keeps in them. Switching the safety off
would let a checkpoint run any code. Instead, exactly what MMEngine writes is
allowed, and nothing else.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path, PurePath
from typing import Any, Dict, List, Optional, Tuple, Union

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from torch import Tensor, nn

try:
    from numpy._core import multiarray
except ImportError:  # numpy 1
    from numpy.core import multiarray

# Its time is when a training that had no checkpoint yet was started.
_STARTED_ANEW = 'started_anew'
_STATISTICS = ('min', 'max', 'mean', 'current')


def _history_method(owner: Any, name: str) -> Any:
    """Stand-in for ``getattr``: the statistics of a HistoryBuffer only."""
    if owner is not HistoryBuffer or name not in _STATISTICS:
        raise ValueError(
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
    names = ('_reconstruct', 'scalar')
    torch.serialization.add_safe_globals(
        [
            HistoryBuffer,
            np.ndarray,
            np.dtype,
            *(type(np.dtype(name)) for name in numeric.split()),
            (_history_method, 'builtins.getattr'),
            *(
                (getattr(multiarray, name), f'{package}.multiarray.{name}')
                for name in names
                for package in ('numpy._core', 'numpy.core')
            ),
        ]
    )


def _is_file(path: Union[str, Path]) -> bool:
    try:
        return Path(path).is_file()
    except (OSError, ValueError):  # too long for a name, or with a zero
        return False


def load_weights_only(path: str) -> Any:
    """Load a local checkpoint onto the CPU without running anything of it.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: It is damaged, or holds more than weights and what MMEngine
            writes beside them.
    """
    if not _is_file(path):
        raise FileNotFoundError(f'there is no checkpoint {path!r}')
    with open(path, 'rb') as file:
        start = file.read(2)
    is_archive = start == b'PK'  # files of torch < 1.6 are none
    if not start or (is_archive and not zipfile.is_zipfile(path)):
        raise ValueError(
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
        reason = (
            f'it asks for {asked[1]}, which is more than weights'
            if asked
            else 'it is damaged, or holds more than weights and numbers'
        )
        raise ValueError(
            f'the checkpoint {path!r} is refused, and nothing of it was run: '
            f'{reason}'
        ) from None


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
        projects: Whether projections are looked at. Defaults to False.
    """
    parts = ('loss_module', 'loss_con', 'class_counts', 'num_batches_tracked')
    if not projects:
        parts += ('projector', 'prototype_projector')
    return not set(parts).isdisjoint(name.split('.'))


def obstacle_to_resume(content: Any) -> Optional[str]:
    """Why training cannot go on from what was loaded, None if it can."""
    given = content if isinstance(content, dict) else {}
    entries = 'meta', 'state_dict', 'message_hub', 'optimizer'
    missing = [entry for entry in entries if entry not in given]
    if missing:
        return f'it has no {", ".join(missing)}'
    meta, hub = given['meta'], given['message_hub']
    for name, part in (('meta', meta), ('message_hub', hub)):
        if not isinstance(part, dict):
            return f'its {name} is no dict, but {type(part).__name__}'
    for name in ('epoch', 'iter'):
        value = meta.get(name)
        if not isinstance(value, int) or value < 0:
            return f'its meta.{name} is no whole number >= 0, but {value!r}'
    if 'config' in meta:
        return (
            "its meta.config is Python code, which MMEngine's Runner would "
            'run (it writes meta.cfg itself)'
        )
    parts = 'log_scalars', 'runtime_info', 'resumed_keys'
    missing = [part for part in parts if not isinstance(hub.get(part), dict)]
    if missing:
        return f'its message_hub has no {", ".join(missing)}'
    return None


def forget_earlier_checkpoints(work_dir: str) -> None:
    """Let nothing go on from what other trainings left in the folder.

    Where a training that starts anew is killed before its first checkpoint,
    those of an earlier one are not its own.
    """
    folder = Path(work_dir)
    (folder / 'last_checkpoint').unlink(missing_ok=True)
    if any(folder.glob('*.pth')):
        (folder / _STARTED_ANEW).touch()


def latest_checkpoint(work_dir: str) -> Tuple[Optional[str], Optional[str]]:
    """The checkpoint that training goes on from.

    It is the one that ``last_checkpoint`` names (of that name in the folder
    itself, which may have been copied) or, if that cannot be, the newest in
    the folder that is whole and has what training needs; none that is older
    than a training which was started anew.

    Returns:
        Its path, None if there is none; and what is wrong with
        ``last_checkpoint``, None if nothing is.

    Raises:
        ValueError: There are checkpoints, and none is whole.
    """
    folder = Path(work_dir)
    note = folder / 'last_checkpoint'
    text = note.read_text(errors='replace') if note.is_file() else ''
    named = text.strip()
    problem = f'{note} is {"empty" if note.is_file() else "missing"}'
    if named:
        copied = folder / PurePath(named).name
        path = str(copied) if _is_file(copied) else named
        try:
            obstacle = obstacle_to_resume(load_weights_only(path))
            if obstacle is None:
                return path, None
            problem = (
                f'training cannot go on from {path!r}: {obstacle} (named by '
                f'{note})'
            )
        except (ValueError, OSError) as error:
            problem = f'{error} (named by {note})'
    started = folder / _STARTED_ANEW
    oldest = started.stat().st_mtime_ns if started.is_file() else 0
    times = {path: path.stat().st_mtime_ns for path in folder.glob('*.pth')}
    files = [path for path in times if times[path] >= oldest]
    files.sort(key=times.get)
    damages: List[str] = []
    for path in reversed(files):
        try:
            content = load_weights_only(str(path))
        except ValueError as error:
            damages.append(str(error))
            continue
        # The best ones, and published ones, are whole but for testing.
        if obstacle_to_resume(content) is None:
            return str(path), problem
    if damages:
        raise ValueError(
            f'{folder} holds checkpoints, and none of them is whole: '
            f'{"; ".join(damages)}'
        )
    return None, problem if named else None
