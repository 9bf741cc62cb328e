"""Registries of bcl_mm, children of MMEngine's root registries.

A child of the *root* (and not of mmpretrain's registry) is found from every
OpenMMLab project: ``type='bcl_mm.BCLHead'`` works under any default scope.
"""

from mmengine import registry as root

__all__ = [
    'DATASETS',
    'DATA_SAMPLERS',
    'HOOKS',
    'METRICS',
    'MODELS',
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


MODELS = _child(
    root.MODELS,
    'backbones',
    'classifiers',
    'heads',
    'losses',
    'preprocessor',
)
DATASETS = _child(root.DATASETS, 'datasets')
DATA_SAMPLERS = _child(root.DATA_SAMPLERS, 'samplers')
TRANSFORMS = _child(root.TRANSFORMS, 'loading', 'transforms')
HOOKS = _child(
    root.HOOKS, 'finite', 'hooks', 'loading', 'saving', 'seeding', 'view_grid'
)
METRICS = _child(root.METRICS, 'metrics')
PARAM_SCHEDULERS = _child(root.PARAM_SCHEDULERS, 'schedules')
VISBACKENDS = _child(root.VISBACKENDS, 'vis_backends')
