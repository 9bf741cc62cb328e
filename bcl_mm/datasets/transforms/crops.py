"""Crops and flips of the views, in uint8 throughout."""

from __future__ import annotations

import math
from typing import Sequence, Tuple, Union

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from mmcv.transforms import BaseTransform

from bcl_mm.datasets.transforms.encoded import EncodedImage
from bcl_mm.registry import TRANSFORMS
from bcl_mm.utils.errors import InputValueError, check_number


def resize(img: np.ndarray, size: Tuple[int, int]) -> np.ndarray:
    """Resize bilinearly with antialiasing, as PIL does.

    Args:
        img: (H, W) or (H, W, channels) uint8.
        size: (height, width) of the result.

    Returns:
        Image of the same number of dimensions, uint8.

    Example:
        >>> img = np.array([[0, 100], [200, 100]], np.uint8)
        >>> resize(img, (1, 1))
        array([[100]], dtype=uint8)
    """
    if img.shape[:2] == tuple(size):
        return img
    # Copies what torch cannot wrap: read-only or flipped arrays.
    img = np.require(img, requirements=['C', 'W'])
    # NumPy arranges the axes, at a tenth of the time that torch takes.
    planes = img.reshape(1, *img.shape[:2], -1).transpose(0, 3, 1, 2)
    planes = F.interpolate(
        torch.from_numpy(planes),
        size,
        mode='bilinear',
        antialias=True,
        align_corners=False,
    ).numpy()
    return planes.transpose(0, 2, 3, 1).reshape(*size, *img.shape[2:])


@TRANSFORMS.register_module()
class RandomResizedCrop(BaseTransform):
    """Crop of random area and aspect ratio, resized with antialiasing.

    The distribution of crops is torchvision's; mmpretrain's transform of
    this name does not antialias with its default backend.

    Args:
        size: Side, or (height, width), of the result.
        scale: Range of the crop's area over the image's. Defaults to
            (0.08, 1.0).
        ratio: Range of width over height. Defaults to (3/4, 4/3).

    Raises:
        InputValueError: A range is empty or not positive.

    Example:
        >>> crop = RandomResizedCrop(size=4, scale=(0.25, 1.0))
        >>> crop(dict(img=np.zeros((9, 7, 3), np.uint8)))['img'].shape
        (4, 4, 3)
    """

    def __init__(
        self,
        size: Union[int, Sequence[int]],
        scale: Tuple[float, float] = (0.08, 1.0),
        ratio: Tuple[float, float] = (3 / 4, 4 / 3),
    ) -> None:
        sides = (size, size) if isinstance(size, int) else tuple(size)
        if len(sides) != 2 or min(sides) < 1:
            raise InputValueError(
                f'size must be one or two sides >= 1, got {size}'
            )
        height, width = sides
        self.size = height, width
        for name, (low, high) in dict(scale=scale, ratio=ratio).items():
            if not 0 < low <= high:
                raise InputValueError(
                    f'{name} must be 0 < low <= high, got {(low, high)}'
                )
        self.scale = scale
        self.ratio = ratio

    def draw(self, height: int, width: int) -> Tuple[int, int, int, int]:
        """Draw the (top, left, height, width) of a crop of an image."""
        (smallest, largest), (narrow, wide) = self.scale, self.ratio
        for _ in range(10):
            # One call for all numbers takes a fifth of the time of four.
            size, shape, down, right = np.random.rand(4).tolist()
            area = height * width * (smallest + size * (largest - smallest))
            ratio = narrow * (wide / narrow) ** shape  # uniform logarithm
            w = round(math.sqrt(area * ratio))
            h = round(math.sqrt(area / ratio))
            if 0 < w <= width and 0 < h <= height:
                top = int(down * (height - h + 1))
                left = int(right * (width - w + 1))
                return top, left, h, w
        # No crop fits: take the largest central one within the ratios.
        ratio = min(max(width / height, self.ratio[0]), self.ratio[1])
        w = min(width, max(1, round(height * ratio)))
        h = min(height, max(1, round(width / ratio)))
        return (height - h) // 2, (width - w) // 2, h, w

    def transform(self, results: dict) -> dict:
        """Crop and resize ``results['img']``."""
        img, box = results['img'], results.pop('crop_box', None)
        if box is None:  # else MultiView has drawn it
            box = self.draw(*img.shape[:2])
            if isinstance(img, EncodedImage):
                img, (box,) = img.decode_for([box], [self.size])
        top, left, height, width = box
        crop = img[top : top + height, left : left + width]
        results['img'] = resize(crop, self.size)
        results['img_shape'] = self.size
        return results


@TRANSFORMS.register_module()
class RandomFlip(BaseTransform):
    """Random flip, from left to right or in all directions.

    mmpretrain's transform of this name returns a reversed view of the image,
    which every later operation must copy.

    Args:
        prob: Probability. Defaults to 0.5.
        directions: ``'horizontal'``, or ``'all'`` for images without an up
            (from above, of tissue): a horizontal and a vertical flip and an
            exchange of the axes are drawn one by one, each with ``prob``.
            With 0.5, the image's 8 orientations are equally frequent. It
            must be square. Defaults to ``'horizontal'``.

    Raises:
        InputValueError: ``prob`` is not in [0, 1], or ``directions`` is none
            of these.

    Example:
        >>> flip = RandomFlip(prob=1.0)
        >>> flip(dict(img=np.array([[1, 2, 3]], np.uint8)))['img']
        array([[3, 2, 1]], dtype=uint8)
    """

    def __init__(
        self, prob: float = 0.5, directions: str = 'horizontal'
    ) -> None:
        check_number('prob', prob, at_least=0, at_most=1)
        if directions not in ('horizontal', 'all'):
            raise InputValueError(
                f"directions must be 'horizontal' or 'all', got {directions!r}"
            )
        self.prob = prob
        self.directions = directions

    def transform(self, results: dict) -> dict:
        """Flip ``results['img']`` at random.

        Raises:
            InputValueError: The image is not square, for all directions.
        """
        img = results['img']
        results['flip'] = np.random.rand() < self.prob
        results['flip_direction'] = 'horizontal' if results['flip'] else None
        if results['flip']:
            results['img'] = cv2.flip(img, 1).reshape(img.shape)
        if self.directions == 'all':
            self._turn(results)
        return results

    def _turn(self, results: dict) -> None:
        """Flip vertically, and exchange the axes, at random."""
        img = results['img']
        if img.shape[0] != img.shape[1]:
            raise InputValueError(
                "RandomFlip(directions='all') needs square images, got "
                f'{img.shape[0]}x{img.shape[1]}: crop them first'
            )
        is_flipped, is_turned = np.random.rand(2) < self.prob
        if is_flipped:
            img = cv2.flip(img, 0)
        if is_turned:
            img = cv2.transpose(img)
        results['img'] = img.reshape(results['img'].shape)
