"""The views' crop and colours: antialiased, right under numpy 2, fast.

Images are (H, W), (H, W, 1) or (H, W, 3) uint8 arrays, as mmcv loads them.
"""

from __future__ import annotations

import math
from typing import Sequence, Tuple, Union

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from mmcv.transforms import BaseTransform
from PIL import Image
from torchvision.transforms import AutoAugment, AutoAugmentPolicy

from bcl_mm.registry import TRANSFORMS

_LEVELS = np.arange(256, dtype=np.float32)


def _is_colour(img: np.ndarray) -> bool:
    return img.ndim == 3 and img.shape[2] == 3


def _luma(img: np.ndarray, channel_order: str) -> np.ndarray:
    """(H, W) grey image with the weights of ITU-R 601."""
    if not _is_colour(img):
        return img.reshape(img.shape[:2])
    code = cv2.COLOR_BGR2GRAY if channel_order == 'bgr' else cv2.COLOR_RGB2GRAY
    return cv2.cvtColor(img, code)


def _check_channel_order(channel_order: str) -> None:
    if channel_order not in ('bgr', 'rgb'):
        raise ValueError(
            f"channel_order must be 'bgr' or 'rgb', got {channel_order!r}"
        )


def _check_prob(prob: float) -> None:
    if not 0 <= prob <= 1:
        raise ValueError(f'prob must be in [0, 1], got {prob}')


def resize(img: np.ndarray, size: Tuple[int, int]) -> np.ndarray:
    """Bilinear resize with antialiasing, as PIL does it.

    Args:
        img: (H, W) or (H, W, channels) uint8.
        size: (height, width) of the result.

    Returns:
        Image of the same number of dimensions, uint8.
    """
    if img.shape[:2] == tuple(size):
        return img
    # A copy where torch could not take it: read-only, or flipped.
    tensor = torch.from_numpy(np.require(img, requirements=['C', 'W']))
    tensor = tensor.reshape(1, *img.shape[:2], -1).permute(0, 3, 1, 2)
    tensor = F.interpolate(
        tensor, size, mode='bilinear', antialias=True, align_corners=False
    )
    return tensor.permute(0, 2, 3, 1).reshape(*size, *img.shape[2:]).numpy()


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
        ValueError: A range is empty or not positive.
    """

    def __init__(
        self,
        size: Union[int, Sequence[int]],
        scale: Tuple[float, float] = (0.08, 1.0),
        ratio: Tuple[float, float] = (3 / 4, 4 / 3),
    ) -> None:
        self.size = (size, size) if isinstance(size, int) else tuple(size)
        if len(self.size) != 2 or min(self.size) < 1:
            raise ValueError(f'size must be one or two sides >= 1, got {size}')
        for name, (low, high) in dict(scale=scale, ratio=ratio).items():
            if not 0 < low <= high:
                raise ValueError(
                    f'{name} must be 0 < low <= high, got {(low, high)}'
                )
        self.scale = scale
        self.ratio = ratio

    def draw(self, height: int, width: int) -> Tuple[int, int, int, int]:
        """Draw a crop (top, left, height, width) of an image."""
        area = height * width
        log_ratio = math.log(self.ratio[0]), math.log(self.ratio[1])
        for _ in range(10):
            target = area * np.random.uniform(*self.scale)
            ratio = math.exp(np.random.uniform(*log_ratio))
            w = round(math.sqrt(target * ratio))
            h = round(math.sqrt(target / ratio))
            if 0 < w <= width and 0 < h <= height:
                top = np.random.randint(height - h + 1)
                left = np.random.randint(width - w + 1)
                return top, left, h, w
        # No crop fits: the largest central one within the ratios.
        ratio = min(max(width / height, self.ratio[0]), self.ratio[1])
        w = min(width, max(1, round(height * ratio)))
        h = min(height, max(1, round(width / ratio)))
        return (height - h) // 2, (width - w) // 2, h, w

    def transform(self, results: dict) -> dict:
        """Crop and resize ``results['img']``."""
        img = results['img']
        top, left, height, width = self.draw(*img.shape[:2])
        crop = img[top : top + height, left : left + width]
        results['img'] = resize(crop, self.size)
        results['img_shape'] = self.size
        return results


@TRANSFORMS.register_module()
class ColorJitter(BaseTransform):
    """Random brightness, contrast, saturation and hue, in random order.

    The distributions and operations are those of torchvision's
    ``ColorJitter`` on PIL images. (mmcv's ``adjust_hue`` fails under numpy 2
    for every negative hue.) Saturation and hue leave grey images as they
    are.

    Args:
        brightness: b; the factor is uniform in [max(0, 1 - b), 1 + b].
            Defaults to 0.
        contrast: Like ``brightness``. Defaults to 0.
        saturation: Like ``brightness``. Defaults to 0.
        hue: h <= 0.5; the shift is uniform in [-h, h] turns. Defaults to 0.
        prob: Probability that the image is changed at all. Defaults to 1.
        channel_order: ``'bgr'`` (mmcv's) or ``'rgb'`` (CIFAR's arrays).
            Defaults to ``'bgr'``.

    Raises:
        ValueError: An argument is out of its range.
    """

    def __init__(
        self,
        brightness: float = 0.0,
        contrast: float = 0.0,
        saturation: float = 0.0,
        hue: float = 0.0,
        prob: float = 1.0,
        channel_order: str = 'bgr',
    ) -> None:
        strengths = dict(
            brightness=brightness, contrast=contrast, saturation=saturation
        )
        for name, strength in strengths.items():
            if strength < 0:
                raise ValueError(f'{name} must be >= 0, got {strength}')
        if not 0 <= hue <= 0.5:
            raise ValueError(f'hue must be in [0, 0.5], got {hue}')
        _check_prob(prob)
        _check_channel_order(channel_order)
        self.prob = prob
        self.channel_order = channel_order
        self.ranges = {
            name: (max(0, 1 - strength), 1 + strength)
            for name, strength in strengths.items()
            if strength
        }
        if hue:
            self.ranges['hue'] = (-hue, hue)

    def transform(self, results: dict) -> dict:
        """Change the colours of ``results['img']``."""
        if self.prob < 1 and np.random.rand() >= self.prob:
            return results
        names = list(self.ranges)
        for i in np.random.permutation(len(names)):
            value = np.random.uniform(*self.ranges[names[i]])
            adjust = getattr(self, f'adjust_{names[i]}')
            results['img'] = adjust(results['img'], value)
        return results

    def adjust_brightness(self, img: np.ndarray, factor: float) -> np.ndarray:
        """Scale towards black."""
        return self._look_up(img, _LEVELS * factor)

    def adjust_contrast(self, img: np.ndarray, factor: float) -> np.ndarray:
        """Blend with the image's mean grey."""
        mean = math.floor(_luma(img, self.channel_order).mean() + 0.5)
        return self._look_up(img, _LEVELS * factor + mean * (1 - factor))

    def adjust_saturation(self, img: np.ndarray, factor: float) -> np.ndarray:
        """Blend with the grey image."""
        if not _is_colour(img):
            return img
        grey = cv2.cvtColor(_luma(img, self.channel_order), cv2.COLOR_GRAY2BGR)
        return cv2.addWeighted(img, factor, grey, 1 - factor, 0)

    def adjust_hue(self, img: np.ndarray, shift: float) -> np.ndarray:
        """Turn the hue by ``shift`` turns."""
        if not _is_colour(img):
            return img
        is_bgr = self.channel_order == 'bgr'
        hsv = cv2.cvtColor(
            img, cv2.COLOR_BGR2HSV_FULL if is_bgr else cv2.COLOR_RGB2HSV_FULL
        )
        # Hue is a byte that wraps around at a full turn; the shift is
        # truncated, as torchvision's.
        turned = (np.arange(256) + int(shift * 255)) % 256
        hsv[..., 0] = cv2.LUT(hsv[..., 0], turned.astype(np.uint8))
        return cv2.cvtColor(
            hsv, cv2.COLOR_HSV2BGR_FULL if is_bgr else cv2.COLOR_HSV2RGB_FULL
        )

    @staticmethod
    def _look_up(img: np.ndarray, levels: np.ndarray) -> np.ndarray:
        # Truncated, not rounded, as PIL blends.
        table = np.clip(levels, 0, 255).astype(np.uint8)
        return cv2.LUT(img, table).reshape(img.shape)


@TRANSFORMS.register_module()
class RandomGrayscale(BaseTransform):
    """Grey with luma weights, in all channels, as torchvision's.

    (mmpretrain's transform of this name weights the channels equally.)

    Args:
        prob: Probability. Defaults to 0.2.
        channel_order: ``'bgr'`` or ``'rgb'``. Defaults to ``'bgr'``.

    Raises:
        ValueError: An argument is out of its range.
    """

    def __init__(self, prob: float = 0.2, channel_order: str = 'bgr') -> None:
        _check_prob(prob)
        _check_channel_order(channel_order)
        self.prob = prob
        self.channel_order = channel_order

    def transform(self, results: dict) -> dict:
        """Grey ``results['img']`` with probability ``prob``."""
        img = results['img']
        if _is_colour(img) and np.random.rand() < self.prob:
            grey = _luma(img, self.channel_order)
            results['img'] = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
        return results


@TRANSFORMS.register_module()
class CIFARAutoAugment(BaseTransform):
    """torchvision's AutoAugment with the CIFAR-10 policy, on RGB arrays.

    Cubuk et al., CVPR 2019. (mmpretrain has the ImageNet policy only, and a
    config cannot name torchvision's enumeration.)
    """

    def __init__(self) -> None:
        self.augment = AutoAugment(AutoAugmentPolicy.CIFAR10)

    def transform(self, results: dict) -> dict:
        """Augment ``results['img']``."""
        image = Image.fromarray(results['img'])
        results['img'] = np.asarray(self.augment(image))
        return results
