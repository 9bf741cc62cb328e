"""Long-tailed data sets."""

from .digits import Digits
from .lists import ImageNetLT
from .long_tail import LongTailDataset

__all__ = ['Digits', 'ImageNetLT', 'LongTailDataset']
