"""Registries of bcl_mm, children of MMEngine's root registries.

A child of the *root* (and not of mmpretrain's registry) is found from every
OpenMMLab project: ``type='bcl_mm.BCLHead'`` works under any default scope.
"""

from mmengine import registry as root

from bcl_mm.utils.checkpoint import set_up_loading
from bcl_mm.utils.errors import MissingPackageError

try:
    import mmcv  # noqa: F401
except ImportError as error:
    raise MissingPackageError(
        'bcl_mm needs mmcv: install mmcv-lite (pip install mmcv-lite), which '
        'is enough for bcl_mm, or the full mmcv if other projects need it.'
    ) from error

set_up_loading()

__all__ = [
    'DATASETS',
    'DATA_SAMPLERS',
    'HOOKS',
    'METRICS',
    'MODELS',
    'MODEL_WRAPPERS',
    'OPTIM_WRAPPERS',
    'PARAM_SCHEDULERS',
    'TRANSFORMS',
    'VISBACKENDS',
]


def _child(parent: root.Registry, *modules: str) -> root.Registry:
    return root.Registry(
        parent.name,
        parent=parent,
        scope='bcl_mm',
        locations=[f'bcl_mm.{module}' for module in modules],
    )


MODELS = _child(root.MODELS, 'models')
MODEL_WRAPPERS = _child(root.MODEL_WRAPPERS, 'models.sharding')
DATASETS = _child(root.DATASETS, 'datasets')
DATA_SAMPLERS = _child(root.DATA_SAMPLERS, 'datasets.samplers')
TRANSFORMS = _child(root.TRANSFORMS, 'datasets.transforms')
HOOKS = _child(root.HOOKS, 'engine.hooks')
METRICS = _child(root.METRICS, 'evaluation')
OPTIM_WRAPPERS = _child(root.OPTIM_WRAPPERS, 'engine.sam', 'engine.focal_sam')
PARAM_SCHEDULERS = _child(root.PARAM_SCHEDULERS, 'engine.schedules')
VISBACKENDS = _child(root.VISBACKENDS, 'engine.vis_backends')
