"""Hooks of the training, validation and test loops.

Put them into ``default_hooks``: a user's ``custom_hooks`` would drop them.
"""

from .batch_norm import AverageStatisticsHook
from .checkpoint import SafeCheckpointHook
from .checkpoint_fit import CheckpointFitHook
from .class_complement import ClassComplementHook
from .class_info import ClassInfoHook
from .corrupt_images import CorruptImageHook
from .cost import CostHook
from .early_stopping import EarlyStoppingHook
from .finite_loss import FiniteLossHook
from .lift import LIFTHook
from .metric_model import MetricModelHook
from .prediction_images import PredictionImagesHook
from .progress import ProgressHook
from .run_config import RunConfigHook
from .sample_seed import SampleSeedHook
from .view_grid import ViewGridHook

__all__ = [
    'AverageStatisticsHook',
    'CheckpointFitHook',
    'ClassComplementHook',
    'ClassInfoHook',
    'CorruptImageHook',
    'CostHook',
    'EarlyStoppingHook',
    'FiniteLossHook',
    'LIFTHook',
    'MetricModelHook',
    'PredictionImagesHook',
    'ProgressHook',
    'RunConfigHook',
    'SafeCheckpointHook',
    'SampleSeedHook',
    'ViewGridHook',
]
