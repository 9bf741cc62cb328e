"""Transforms of uint8 images: loading, crops, flips, colours, packing."""

from .colours import ColorJitter, FilesToRGB, RandomGrayscale, ToGrey
from .crops import RandomFlip, RandomResizedCrop, resize
from .packing import PackInputs
from .policies import AutoContrast, CIFARAutoAugment, Equalize
from .views import MultiView

__all__ = [
    'AutoContrast',
    'CIFARAutoAugment',
    'ColorJitter',
    'Equalize',
    'FilesToRGB',
    'MultiView',
    'PackInputs',
    'RandomFlip',
    'RandomGrayscale',
    'RandomResizedCrop',
    'ToGrey',
    'resize',
]
