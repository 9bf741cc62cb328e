"""Losses: functions, and thin modules over them."""

from .classification import (
    LogitAdjustedLoss,
    ReversedPriorLoss,
    logit_adjusted_cross_entropy,
)
from .contrastive import BalancedContrastiveLoss, balanced_contrastive_loss
from .difficulty import DBMLoss
from .margin import LDAMLoss, ldam_cross_entropy, ldam_margins
from .noise import GCLLoss
from .reweighting import (
    ClassBalancedLoss,
    FocalLoss,
    class_balanced_weights,
    focal_cross_entropy,
)
from .scaling import BalancedBCELoss, VSLoss
from .seesaw import SeesawLoss
from .smoothing import LabelAwareSmoothingLoss

__all__ = [
    'BalancedBCELoss',
    'BalancedContrastiveLoss',
    'ClassBalancedLoss',
    'DBMLoss',
    'FocalLoss',
    'GCLLoss',
    'LDAMLoss',
    'LabelAwareSmoothingLoss',
    'LogitAdjustedLoss',
    'ReversedPriorLoss',
    'SeesawLoss',
    'VSLoss',
    'balanced_contrastive_loss',
    'class_balanced_weights',
    'focal_cross_entropy',
    'ldam_cross_entropy',
    'ldam_margins',
    'logit_adjusted_cross_entropy',
]
