"""What a checkpoint may contain, and which one to go on from.

Since torch 2.6 checkpoints load with ``weights_only=True``, which refuses the
logging history that MMEngine's Runner keeps in them. Switching the safety off
would let a checkpoint run any code. Instead, exactly what MMEngine writes is
allowed, and nothing else.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any, List, Optional, Tuple

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

try:
    from numpy._core import multiarray
except ImportError:  # numpy 1
    from numpy.core import multiarray

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


def load_weights_only(path: str) -> Any:
    """Load a local checkpoint onto the CPU without running anything of it.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: It is damaged, or holds more than weights and what MMEngine
            writes beside them.
    """
    if not Path(path).is_file():
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
        # Not torch's own message: it tells how to switch the safety off.
        asked = re.search(r'GLOBAL (\S+)', str(error))
        reason = (
            f'it asks for {asked[1]}, which is more than weights'
            if asked
            else 'it is damaged, or holds more than weights and numbers'
        )
        raise ValueError(
            f'the checkpoint {path!r} is refused, and nothing of it was run: '
            f'{reason}'
        ) from error


def missing_to_resume(content: Any) -> List[str]:
    """Entries that training needs to go on, and a checkpoint lacks."""
    entries = 'meta', 'state_dict', 'message_hub', 'optimizer'
    given = content if isinstance(content, dict) else {}
    return [entry for entry in entries if entry not in given]


def latest_checkpoint(work_dir: str) -> Tuple[Optional[str], Optional[str]]:
    """The checkpoint that training goes on from.

    It is the one that ``last_checkpoint`` names or, if that cannot be, the
    newest in the folder that is whole and has the optimizer's state.

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
        try:
            load_weights_only(named)
            return named, None
        except (ValueError, FileNotFoundError) as error:
            problem = f'{error} (named by {note})'
    files = sorted(
        folder.glob('*.pth'), key=lambda path: path.stat().st_mtime_ns
    )
    damages: List[str] = []
    for path in reversed(files):
        try:
            content = load_weights_only(str(path))
        except ValueError as error:
            damages.append(str(error))
            continue
        # The best ones, and published ones, are whole but for testing.
        if not missing_to_resume(content):
            return str(path), problem
    if damages:
        raise ValueError(
            f'{folder} holds checkpoints, and none of them is whole: '
            f'{"; ".join(damages)}'
        )
    return None, problem if named else None
