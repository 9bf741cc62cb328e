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
from .losses import *  # noqa: F403
from .preprocessor import MultiViewDataPreprocessor
from .proco import ProCo

__all__ = [
    'BCLHead',
    'CIFARResNet',
    'ExpertHead',
    'ExpertLoss',
    'ExponentialMovingAverage',
    'FrozenBackboneClassifier',
    'LongTailHead',
    'MomentumAnnealingEMA',
    'MultiViewDataPreprocessor',
    'ProCo',
    'PrototypeContrast',
    'SharedTrunk',
    'StochasticWeightAverage',
    'TimmBackbone',
]
