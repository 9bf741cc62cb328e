"""Models: heads, losses, backbones, classifiers and the preprocessor."""

from .averaging import (
    ExponentialMovingAverage,
    MomentumAnnealingEMA,
    StochasticWeightAverage,
)
from .backbones import CIFARResNet, TimmBackbone
from .classifiers import FrozenBackboneClassifier
from .contrast import PrototypeContrast
from .experts import ExpertHead, ExpertLoss, SharedTrunk
from .heads import BCLHead, LongTailHead
from .lift import AdaptedBackbone
from .losses import *  # noqa: F403
from .momentum import MomentumClassifier
from .paco import GPaCo
from .preprocessor import MultiViewDataPreprocessor
from .proco import ProCo
from .weight_scaling import WeightScalingHead

__all__ = [
    'AdaptedBackbone',
    'BCLHead',
    'CIFARResNet',
    'ExpertHead',
    'ExpertLoss',
    'ExponentialMovingAverage',
    'FrozenBackboneClassifier',
    'GPaCo',
    'LongTailHead',
    'MomentumAnnealingEMA',
    'MomentumClassifier',
    'MultiViewDataPreprocessor',
    'ProCo',
    'PrototypeContrast',
    'SharedTrunk',
    'StochasticWeightAverage',
    'TimmBackbone',
    'WeightScalingHead',
]
