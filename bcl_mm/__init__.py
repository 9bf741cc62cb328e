"""Balanced Contrastive Learning for OpenMMLab.

Any OpenMMLab config can name its components: ``type='bcl_mm.BCLHead'``. Its
modules are imported when they are needed, as the registries know where each
kind of component is: a config's ``bcl_mm.config_path`` must not load all of
mmpretrain's models.
"""

import warnings
from importlib import import_module
from pathlib import Path
from types import ModuleType

try:
    import mmcv  # noqa: F401
except ImportError as error:
    raise ImportError(
        'bcl_mm needs mmcv: install mmcv-lite (pip install mmcv-lite), which '
        'is enough for bcl_mm, or the full mmcv if other projects need it.'
    ) from error

# mmcv-lite warns of a module that image classification does not use.
warnings.filterwarnings(
    'ignore', message='Fail to import ``MultiScaleDeformableAttention``'
)

from .utils.checkpoint import allow_runner_checkpoints  # noqa: E402

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

allow_runner_checkpoints()


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
        ValueError: There is no such config; the message lists them.
    """
    package = Path(__file__).resolve().parent
    folder = package / 'configs'  # in a wheel
    if not folder.is_dir():
        folder = package.parent / 'configs'
    path = folder / f'{name.removesuffix(".py")}.py'
    if not path.is_file():
        known = ', '.join(sorted(p.stem for p in folder.glob('*.py')))
        raise ValueError(f'there is no config {name!r}; there are {known}')
    return str(path)
