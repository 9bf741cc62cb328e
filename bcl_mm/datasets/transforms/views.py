"""Several views of an image."""

from __future__ import annotations

from typing import Optional, Sequence

import mmpretrain.datasets.transforms as mmpretrain_transforms

from bcl_mm.datasets.transforms.crops import RandomResizedCrop
from bcl_mm.datasets.transforms.encoded import Box, EncodedImage
from bcl_mm.registry import TRANSFORMS
from bcl_mm.utils.errors import InputTypeError


@TRANSFORMS.register_module()
class MultiView(mmpretrain_transforms.MultiView):
    """mmpretrain's transform, whose views share the image.

    mmpretrain's copies it for each view. Here the views get it read-only: a
    transform that would write into it fails, and changes no other view.
    Arguments and results are mmpretrain's.

    With ``LoadImageFromFile(decode_for_crops=True)``, each view must begin
    with :class:`RandomResizedCrop`. The crops of all views are drawn first,
    and the image is decoded once, as small as they allow.

    Example:
        >>> import numpy as np
        >>> crop = dict(type='bcl_mm.RandomResizedCrop', size=4)
        >>> views = MultiView(num_views=[3], transforms=[[crop]])
        >>> results = views(dict(img=np.zeros((8, 8, 3), np.uint8)))
        >>> [view.shape for view in results['img']]
        [(4, 4, 3), (4, 4, 3), (4, 4, 3)]
    """

    def transform(self, results: dict) -> dict:
        """Make a list of views of ``results['img']``.

        Raises:
            InputTypeError: An image is to be decoded for its crops, but a
                view begins with something else.
        """
        img = results['img']
        boxes: Sequence[Optional[Box]] = [None] * len(self.transforms)
        if isinstance(img, EncodedImage):
            crops = [view.transforms[0] for view in self.transforms]
            for crop in crops:
                _check_crop(crop)
            drawn = [crop.draw(*img.shape) for crop in crops]
            img, boxes = img.decode_for(drawn, [crop.size for crop in crops])
        img = img.view()
        img.flags.writeable = False
        results['img'] = [
            view(dict(results, img=img, crop_box=box))['img']
            for view, box in zip(self.transforms, boxes)
        ]
        return results


def _check_crop(step: object) -> None:
    if not isinstance(step, RandomResizedCrop):
        raise InputTypeError(
            'decode_for_crops=True needs bcl_mm.RandomResizedCrop as the '
            f'first step of each view, got {type(step).__name__}: move it to '
            'the front, or load with decode_for_crops=False'
        )
