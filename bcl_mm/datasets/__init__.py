"""Readers of data sets, and long-tailed subsets."""

from .custom import CustomImages
from .digits import Digits
from .lists import ImageList, ImageNetLT, INaturalist2018, PlacesLT
from .long_tail import LongTailDataset
from .mixing import MixFirstView
from .shards import ShardImages

__all__ = [
    'CustomImages',
    'Digits',
    'INaturalist2018',
    'ImageList',
    'ImageNetLT',
    'LongTailDataset',
    'MixFirstView',
    'PlacesLT',
    'ShardImages',
]
