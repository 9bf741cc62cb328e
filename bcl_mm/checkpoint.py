"""What a checkpoint may contain.

Since torch 2.6 checkpoints load with ``weights_only=True``, which refuses the
logging history that MMEngine's Runner keeps in them. Switching the safety off
would let a checkpoint run any code. Instead, exactly what MMEngine writes is
allowed, and nothing else.
"""

from __future__ import annotations

from typing import Any

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
