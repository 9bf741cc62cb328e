"""Transforms of uint8 images: loading, crops, flips, colours, packing."""

from .colours import ColorJitter, FilesToRGB, RandomGrayscale, ToGrey
from .crops import RandomFlip, RandomResizedCrop, resize
from .packing import PackInputs
from .policies import (
    AutoContrast,
    Brightness,
    CIFARAutoAugment,
    ColorTransform,
    Contrast,
    Equalize,
    Invert,
    Posterize,
    RandAugment,
    Solarize,
    SolarizeAdd,
)
from .views import MultiView

__all__ = [
    'AutoContrast',
    'Brightness',
    'CIFARAutoAugment',
    'ColorJitter',
    'ColorTransform',
    'Contrast',
    'Equalize',
    'FilesToRGB',
    'Invert',
    'MultiView',
    'PackInputs',
    'Posterize',
    'RandAugment',
    'RandomFlip',
    'RandomGrayscale',
    'RandomResizedCrop',
    'Solarize',
    'SolarizeAdd',
    'ToGrey',
    'resize',
]
