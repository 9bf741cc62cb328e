"""Hooks of the training, validation and test loops."""

from ...datasets.transforms.loading import CorruptImageHook
from .checkpoint import SafeCheckpointHook
from .class_complement import AverageStatisticsHook, ClassComplementHook
from .finite_loss import FiniteLossHook
from .sample_seed import SampleSeedHook
from .view_grid import ViewGridHook

__all__ = [
    'AverageStatisticsHook',
    'ClassComplementHook',
    'CorruptImageHook',
    'FiniteLossHook',
    'SafeCheckpointHook',
    'SampleSeedHook',
    'ViewGridHook',
]
