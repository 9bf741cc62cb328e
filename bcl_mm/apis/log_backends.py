"""Logging: its level, TensorBoard, and Weights & Biases."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Any, Dict, Sequence

from bcl_mm.utils.errors import InputValueError, shown

# Package -> registry name.
BACKENDS = dict(
    tensorboard='TensorboardVisBackend', wandb='bcl_mm.WandbVisBackend'
)


_LEVELS = ('DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL')
_OTHER_NAMES = ('FATAL', 'NOTSET', 'WARN')  # of Python, for the same


def check_log_level(level: Any) -> None:
    """Raise an InputValueError unless MMEngine knows a ``log_level``.

    Args:
        level: What the config has: a name, or Python's number.
    """
    is_number = isinstance(level, int) and not isinstance(level, bool)
    if is_number or level in (*_LEVELS, *_OTHER_NAMES):
        return
    raise InputValueError(
        f'log_level must be {", ".join(_LEVELS[:-1])} or {_LEVELS[-1]}, got '
        f'{shown(level)}'
    )


def check_log_packages(names: Sequence[str]) -> None:
    """Raise an InputValueError if the package of a backend is missing."""
    for name in names:
        # (A folder of that name, such as wandb's own logs, has no origin.)
        if getattr(find_spec(name), 'origin', None) is None:
            raise InputValueError(
                f'--log {name} needs the package {name}: pip install {name}'
            )


def add_log_backends(cfg: Any, names: Sequence[str]) -> None:
    """Add backends to the visualizer of a config, unless it has them.

    Args:
        cfg: The config; its ``work_dir`` names the run for Weights & Biases.
        names: Names of backends.

    Raises:
        InputValueError: A package is not installed.
    """
    check_log_packages(names)
    if not names:
        return
    if cfg.get('visualizer') is None:
        cfg.visualizer = dict(type='mmpretrain.UniversalVisualizer')
    # Comparisons read the file of LocalVisBackend.
    backends = list(
        cfg.visualizer.get('vis_backends') or [dict(type='LocalVisBackend')]
    )
    given = {str(backend['type']).split('.')[-1] for backend in backends}
    for name in dict.fromkeys(names):
        backend: Dict[str, Any] = dict(type=BACKENDS[name])
        if name == 'wandb':
            run = os.path.normpath(cfg.work_dir)
            backend['init_kwargs'] = dict(project='bcl_mm', name=run)
        if backend['type'].split('.')[-1] not in given:
            backends.append(backend)
    cfg.visualizer.vis_backends = backends
