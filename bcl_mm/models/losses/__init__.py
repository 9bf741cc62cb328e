"""Losses: functions, and thin modules over them."""

from .classification import LogitAdjustedLoss, logit_adjusted_cross_entropy
from .contrastive import BalancedContrastiveLoss, balanced_contrastive_loss
from .margin import LDAMLoss, ldam_cross_entropy, ldam_margins
from .reweighting import (
    ClassBalancedLoss,
    FocalLoss,
    class_balanced_weights,
    focal_cross_entropy,
)
from .seesaw import SeesawLoss

__all__ = [
    'BalancedContrastiveLoss',
    'ClassBalancedLoss',
    'FocalLoss',
    'LDAMLoss',
    'LogitAdjustedLoss',
    'SeesawLoss',
    'balanced_contrastive_loss',
    'class_balanced_weights',
    'focal_cross_entropy',
    'ldam_cross_entropy',
    'ldam_margins',
    'logit_adjusted_cross_entropy',
]
