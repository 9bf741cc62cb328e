"""Models: heads, losses, backbones, classifiers and the preprocessor."""

from .backbones import CIFARResNet, TimmBackbone
from .classifiers import FrozenBackboneClassifier
from .heads import BCLHead
from .losses import *  # noqa: F403
from .preprocessor import MultiViewDataPreprocessor

__all__ = [
    'BCLHead',
    'CIFARResNet',
    'FrozenBackboneClassifier',
    'MultiViewDataPreprocessor',
    'TimmBackbone',
]
