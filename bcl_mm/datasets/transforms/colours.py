"""Colour transforms of the views, and conversions to a model's colours.

Images are (H, W), (H, W, 1) or (H, W, 3) uint8 arrays, as mmcv loads them.
"""

from __future__ import annotations

import math
from typing import List, Sequence, Tuple

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from bcl_mm.registry import TRANSFORMS
from bcl_mm.utils.errors import InputTypeError, InputValueError, check_number

# Weights of a pixel's level, its grey and 1.
Blend = Tuple[float, float, float]
# Weights of red, green and blue in grey (ITU-R 601).
_LUMA = np.array([0.299, 0.587, 0.114])
# Of an image that is not blended.
_UNCHANGED = 1.0, 0.0, 0.0
# Added before OpenCV rounds, it truncates instead, as PIL does.
_TRUNCATING = -0.499


def _is_colour(img: np.ndarray) -> bool:
    return img.ndim == 3 and img.shape[2] == 3


def _convert(img: np.ndarray, conversion: str) -> np.ndarray:
    return cv2.cvtColor(img, getattr(cv2, f'COLOR_{conversion.upper()}'))


def _luma(img: np.ndarray, channel_order: str) -> np.ndarray:
    """Convert to an (H, W) grey image with the weights of ITU-R 601."""
    if not _is_colour(img):
        return img.reshape(img.shape[:2])
    return _convert(img, f'{channel_order}2gray')


def _weights(img: np.ndarray, channel_order: str) -> np.ndarray:
    """Weights of an image's channels in grey."""
    if not _is_colour(img):
        return np.ones(1)
    return _LUMA if channel_order == 'rgb' else _LUMA[::-1]


def _check_channel_order(channel_order: str) -> None:
    if channel_order not in ('bgr', 'rgb'):
        raise InputValueError(
            f"channel_order must be 'bgr' or 'rgb', got {channel_order!r}"
        )


@TRANSFORMS.register_module()
class ColorJitter(BaseTransform):
    """Random brightness, contrast, saturation and hue, in random order.

    The distributions and operations are those of torchvision's
    ``ColorJitter`` on PIL images. (mmcv's ``adjust_hue`` fails under numpy 2
    for every negative hue.) Saturation and hue do not change grey images.

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
        InputTypeError: An argument must be a number, but is not.
        InputValueError: An argument is out of its range.

    Example:
        >>> jitter = ColorJitter(brightness=0.4, hue=0.1, prob=0.8)
        >>> img = np.full((8, 8, 3), 100, np.uint8)
        >>> jitter(dict(img=img))['img'].shape
        (8, 8, 3)
        >>> jitter.adjust(img, [('brightness', 0.5)])[0, 0]
        array([50, 50, 50], dtype=uint8)
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
        names = 'brightness', 'contrast', 'saturation'
        self.ranges = {}
        for name, strength in zip(names, (brightness, contrast, saturation)):
            check_number(name, strength, at_least=0)
            if strength:
                self.ranges[name] = (max(0, 1 - strength), 1 + strength)
        check_number('hue', hue, at_least=0, at_most=0.5)
        check_number('prob', prob, at_least=0, at_most=1)
        _check_channel_order(channel_order)
        self.prob = prob
        self.channel_order = channel_order
        if hue:
            self.ranges['hue'] = (-hue, hue)

    def transform(self, results: dict) -> dict:
        """Change the colours of ``results['img']``.

        Raises:
            InputTypeError: The image is not uint8.
        """
        dtype = results['img'].dtype
        if dtype != np.uint8:
            raise InputTypeError(f'img must be uint8, got {dtype}')
        results['img'] = self.adjust(results['img'], self.draw())
        return results

    def draw(self) -> List[Tuple[str, float]]:
        """Draw the adjustments of an image, in their order."""
        if self.prob < 1 and np.random.rand() >= self.prob:
            return []
        names = list(self.ranges)
        # One call for all numbers takes a fifth of the time of several.
        shares, ranks = np.random.rand(2, len(names))
        drawn = []
        for i in ranks.argsort():
            low, high = self.ranges[names[i]]
            drawn.append((names[i], low + (high - low) * shares[i]))
        return drawn

    def adjust(
        self, img: np.ndarray, adjustments: Sequence[Tuple[str, float]]
    ) -> np.ndarray:
        """Adjust an image, by names and factors, in this order.

        The factor of hue is its shift, in turns.

        All but hue turn each level into ``own * level + shared * grey +
        offset``, where grey is the pixel's, and so does a chain of them. Only
        a factor above 1 can leave the range of levels, where PIL clips. So
        the image is computed after such a factor, before hue and at the end.
        """
        blend = _UNCHANGED
        for name, factor in adjustments:
            if name in ('saturation', 'hue') and not _is_colour(img):
                continue
            if name == 'hue':
                img, blend = self._blend(img, blend), _UNCHANGED
                img = self._turn_hue(img, factor)
                continue
            own, shared, offset = blend
            if name == 'saturation':  # towards the pixel's grey
                shared += (1 - factor) * own
            else:  # towards one level: black, or the mean grey
                shared *= factor
                offset *= factor
                if name == 'contrast':
                    grey = self._mean_grey(img, blend)
                    offset += (1 - factor) * math.floor(grey + 0.5)
            blend = factor * own, shared, offset + _TRUNCATING
            if factor > 1:
                img, blend = self._blend(img, blend), _UNCHANGED
        return self._blend(img, blend)

    def _blend(self, img: np.ndarray, blend: Blend) -> np.ndarray:
        """Compute an image, rounded and clipped to uint8."""
        if blend == _UNCHANGED:
            return img
        own, shared, offset = blend
        weights = _weights(img, self.channel_order)
        mixing = np.full((len(weights), len(weights) + 1), offset)
        mixing[:, :-1] = shared * weights
        mixing.flat[:: len(weights) + 2] += own  # the diagonal
        mixed = cv2.transform(img, mixing)
        return mixed.reshape(img.shape)  # OpenCV drops a channel of one

    def _mean_grey(self, img: np.ndarray, blend: Blend) -> float:
        """Mean grey of an image that is yet to be computed."""
        own, shared, offset = blend
        weights = _weights(img, self.channel_order)
        grey = float(weights @ cv2.mean(img)[: len(weights)])
        return (own + shared) * grey + offset

    def _turn_hue(self, img: np.ndarray, shift: float) -> np.ndarray:
        """Rotate the hue of a coloured image by ``shift`` turns."""
        hsv = _convert(img, f'{self.channel_order}2hsv_full')
        # The hue is a byte that wraps around at a full turn. The shift is
        # truncated, as in torchvision.
        turn = np.array([int(shift * 255) % 256, 0, 0], np.uint8)
        rows = hsv.reshape(len(hsv), -1)
        rows += np.tile(turn, img.shape[1])  # faster than each third byte
        return _convert(hsv, f'hsv2{self.channel_order}_full')


@TRANSFORMS.register_module()
class RandomGrayscale(BaseTransform):
    """Grey with luma weights in all channels, as torchvision's transform.

    (mmpretrain's transform of this name weights the channels equally.)

    Args:
        prob: Probability. Defaults to 0.2.
        channel_order: ``'bgr'`` or ``'rgb'``. Defaults to ``'bgr'``.

    Raises:
        InputTypeError: An argument must be a number, but is not.
        InputValueError: An argument is out of its range.

    Example:
        >>> red = np.array([[[0, 0, 255]]], np.uint8)  # BGR
        >>> RandomGrayscale(prob=1.0)(dict(img=red))['img']
        array([[[76, 76, 76]]], dtype=uint8)
    """

    def __init__(self, prob: float = 0.2, channel_order: str = 'bgr') -> None:
        check_number('prob', prob, at_least=0, at_most=1)
        _check_channel_order(channel_order)
        self.prob = prob
        self.channel_order = channel_order

    def transform(self, results: dict) -> dict:
        """Make ``results['img']`` grey with probability ``prob``."""
        img = results['img']
        if _is_colour(img) and np.random.rand() < self.prob:
            grey = _luma(img, self.channel_order)
            results['img'] = _convert(grey, 'gray2bgr')
        return results


@TRANSFORMS.register_module()
class ToGrey(BaseTransform):
    """Converts any image to (H, W), for models of one channel.

    It starts a test pipeline. Image files, which are loaded as BGR, are
    weighted by luma. Grey images stay as they are.

    Example:
        >>> red = np.array([[[0, 0, 255]]], np.uint8)  # BGR
        >>> ToGrey()(dict(img=red))['img']
        array([[76]], dtype=uint8)
    """

    def transform(self, results: dict) -> dict:
        """Make ``results['img']`` grey."""
        results['img'] = _luma(results['img'], 'bgr')
        return results


@TRANSFORMS.register_module()
class FilesToRGB(BaseTransform):
    """Converts image files, which are loaded as BGR, to RGB.

    It starts the test pipeline of a data set that has RGB arrays in memory
    (CIFAR's), so that its model also takes files. An image comes from a file
    if it has the ``ori_shape`` that loading sets.

    Example:
        >>> red = np.array([[[0, 0, 255]]], np.uint8)  # BGR
        >>> FilesToRGB()(dict(img=red, ori_shape=(1, 1)))['img']
        array([[[255,   0,   0]]], dtype=uint8)
    """

    def transform(self, results: dict) -> dict:
        """Convert ``results['img']`` if it comes from a file."""
        if 'ori_shape' in results:
            results['img'] = _convert(results['img'], 'bgr2rgb')
        return results
