"""The option that sends logs to TensorBoard and Weights & Biases."""

from __future__ import annotations

import argparse
import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Sequence

from bcl_mm.utils.errors import InputValueError

if TYPE_CHECKING:
    from mmengine.config import Config

# By the names of their packages.
BACKENDS = dict(
    tensorboard='TensorboardVisBackend', wandb='bcl_mm.WandbVisBackend'
)


def add_log_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the backends."""
    parser.add_argument(
        '--log',
        nargs='+',
        choices=list(BACKENDS),
        default=[],
        help='log to TensorBoard or Weights & Biases, too (Weights & Biases: '
        'after "wandb login", or with WANDB_MODE=offline)',
    )


def check_log_packages(names: Sequence[str]) -> None:
    """Raise a ValueError unless the backends' packages are installed."""
    for name in names:
        # (A folder of that name, such as wandb's own logs, has no origin.)
        if getattr(find_spec(name), 'origin', None) is None:
            raise InputValueError(
                f'--log {name} needs the package {name}: pip install {name}'
            )


def add_log_backends(cfg: Config, names: Sequence[str]) -> None:
    """Add backends to the visualizer of a config, unless they are there.

    Args:
        cfg: The config, with its work dir, by which Weights & Biases names
            the run.
        names: Names of backends.

    Raises:
        ValueError: A package is not installed.
    """
    names = list(dict.fromkeys(names))
    check_log_packages(names)
    if not names:
        return
    if cfg.get('visualizer') is None:
        cfg.visualizer = dict(type='mmpretrain.UniversalVisualizer')
    # The file that compare.py reads stays.
    backends = list(
        cfg.visualizer.get('vis_backends') or [dict(type='LocalVisBackend')]
    )
    given = {_class_name(backend['type']) for backend in backends}
    for name in names:
        backend = dict(type=BACKENDS[name])
        if name == 'wandb':
            run = os.path.normpath(cfg.work_dir)
            backend['init_kwargs'] = dict(project='bcl_mm', name=run)
        if _class_name(backend['type']) not in given:
            backends.append(backend)
    cfg.visualizer.vis_backends = backends


def _class_name(component_type: object) -> str:
    return str(component_type).rpartition('.')[2]
