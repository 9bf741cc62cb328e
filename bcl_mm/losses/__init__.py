"""Losses: functions, and thin modules over them."""

from .classification import LogitAdjustedLoss, logit_adjusted_cross_entropy
from .contrastive import BalancedContrastiveLoss, balanced_contrastive_loss

__all__ = [
    'BalancedContrastiveLoss',
    'LogitAdjustedLoss',
    'balanced_contrastive_loss',
    'logit_adjusted_cross_entropy',
]
