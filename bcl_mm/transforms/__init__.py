"""The views: crop, flip and colours of uint8 images."""

from .colours import ColorJitter, RandomGrayscale
from .crops import RandomFlip, RandomResizedCrop, resize
from .packing import PackInputs
from .policies import AutoContrast, CIFARAutoAugment, Equalize

__all__ = [
    'AutoContrast',
    'CIFARAutoAugment',
    'ColorJitter',
    'Equalize',
    'PackInputs',
    'RandomFlip',
    'RandomGrayscale',
    'RandomResizedCrop',
    'resize',
]
