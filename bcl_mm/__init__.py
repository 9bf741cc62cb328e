"""Balanced Contrastive Learning and its rivals, for OpenMMLab.

Any OpenMMLab config can name its components: ``type='bcl_mm.BCLHead'``.
Importing the package loads neither torch nor mmcv: its modules are imported
when they are first used, by name or through a registry.
"""

from __future__ import annotations

import warnings
from importlib import import_module
from pathlib import Path
from types import ModuleType

from .utils.errors import InputValueError

__version__ = '0.1.0'
__all__ = [
    'apis',
    'classes',
    'config_path',
    'datasets',
    'engine',
    'evaluation',
    'models',
    'utils',
]


# mmcv-lite warns of a module that image classification does not use.
warnings.filterwarnings(
    'ignore', message='Fail to import ``MultiScaleDeformableAttention``'
)


def __getattr__(name: str) -> ModuleType:
    """Import a module of the package when it is first named."""
    if name in __all__:
        return import_module(f'{__name__}.{name}')
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def config_path(name: str) -> str:
    """Path of a config that comes with the package.

    To inherit one, in any OpenMMLab config::

        _base_ = __import__('bcl_mm').config_path('bcl_resnet32_cifar100_lt')

    Args:
        name: File name of the config, with or without ``.py``.

    Returns:
        Absolute path, in the wheel or beside the editable sources.

    Raises:
        InputValueError: There is no such config; the message lists them.

    Example:
        >>> Path(config_path('bcl_resnet8_digits_lt')).name
        'bcl_resnet8_digits_lt.py'
    """
    package = Path(__file__).resolve().parent
    folder = package / 'configs'  # in a wheel
    if not folder.is_dir():
        folder = package.parent / 'configs'
    path = folder / f'{name.removesuffix(".py")}.py'
    if not path.is_file():
        known = ', '.join(sorted(p.stem for p in folder.glob('*.py')))
        raise InputValueError(
            f'there is no config {name!r}; there are {known}'
        )
    return str(path)
