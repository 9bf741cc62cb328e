"""Automatic augmentation that is slow or missing elsewhere."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Callable

import cv2
import mmpretrain.datasets.transforms as mmpretrain_transforms
import numpy as np
from mmcv.transforms import BaseTransform
from PIL import Image, ImageOps
from torchvision.transforms import AutoAugment, AutoAugmentPolicy

from bcl_mm.datasets.transforms.colours import ColorJitter
from bcl_mm.registry import TRANSFORMS
from bcl_mm.utils.errors import check_number

_JITTER = ColorJitter()


def _apply(operation: Callable, results: dict) -> dict:
    """Apply an operation on PIL images to ``results['img']``."""
    image = Image.fromarray(results['img'])
    results['img'] = np.asarray(operation(image))
    return results


@TRANSFORMS.register_module()
class AutoContrast(mmpretrain_transforms.AutoContrast):
    """mmpretrain's transform, computed by PIL: five times as fast.

    Example:
        >>> img = np.array([[50, 100, 152]], np.uint8)
        >>> AutoContrast(prob=1.0)(dict(img=img))['img']
        array([[  0, 125, 255]], dtype=uint8)
    """

    def transform(self, results: dict) -> dict:
        """Stretch each channel of ``results['img']`` to the full range."""
        disabled = self.random_disable()
        return results if disabled else _apply(ImageOps.autocontrast, results)


@TRANSFORMS.register_module()
class Equalize(mmpretrain_transforms.Equalize):
    """mmpretrain's transform, computed by PIL: five times as fast.

    Example:
        >>> img = np.repeat(np.array([[100, 101]], np.uint8), 255, axis=0)
        >>> Equalize(prob=1.0)(dict(img=img))['img'][0]
        array([  0, 255], dtype=uint8)
    """

    def transform(self, results: dict) -> dict:
        """Flatten the histogram of each channel of ``results['img']``."""
        disabled = self.random_disable()
        return results if disabled else _apply(ImageOps.equalize, results)


@TRANSFORMS.register_module()
class RandAugment(mmpretrain_transforms.RandAugment):
    """mmpretrain's transform, that builds no pipeline for each image.

    Example:
        >>> policies = [dict(type='bcl_mm.Invert', prob=1.0)]
        >>> augment = RandAugment(policies, num_policies=1, magnitude_level=10)
        >>> augment(dict(img=np.array([[0, 100]], np.uint8)))['img']
        array([[255, 155]], dtype=uint8)
    """

    def transform(self, results: dict) -> dict:
        """Apply operations that are drawn with replacement."""
        count = len(self.transforms)
        for share in np.random.rand(self.num_policies).tolist():
            results = self.transforms[int(share * count)](results)
        return results


class _OfLevels(mmpretrain_transforms.BaseAugTransform):
    """An operation on each level by itself: it is done on 256, not on all."""

    def transform(self, results: dict) -> dict:
        """Look the levels of ``results['img']`` up in a table."""
        levels = np.arange(256, dtype=np.uint8)
        table = super().transform(dict(img=levels))['img']
        if table is not levels:
            img = results['img']
            rows = img.reshape(len(img), -1)  # faster than three channels
            results['img'] = cv2.LUT(rows, table).reshape(img.shape)
        return results


@TRANSFORMS.register_module()
class Invert(_OfLevels, mmpretrain_transforms.Invert):
    """mmpretrain's transform, by a table.

    Example:
        >>> img = np.array([[100, 150, 200]], np.uint8)
        >>> Invert(prob=1.0)(dict(img=img))['img']
        array([[155, 105,  55]], dtype=uint8)
    """


@TRANSFORMS.register_module()
class Posterize(_OfLevels, mmpretrain_transforms.Posterize):
    """mmpretrain's transform, by a table.

    Example:
        >>> img = np.array([[100, 150, 200]], np.uint8)
        >>> Posterize(bits=1, prob=1.0)(dict(img=img))['img']
        array([[  0, 128, 128]], dtype=uint8)
    """


@TRANSFORMS.register_module()
class Solarize(_OfLevels, mmpretrain_transforms.Solarize):
    """mmpretrain's transform, by a table.

    Example:
        >>> img = np.array([[100, 150, 200]], np.uint8)
        >>> Solarize(thr=128, prob=1.0)(dict(img=img))['img']
        array([[100, 105,  55]], dtype=uint8)
    """


@TRANSFORMS.register_module()
class SolarizeAdd(_OfLevels, mmpretrain_transforms.SolarizeAdd):
    """mmpretrain's transform, by a table.

    Example:
        >>> img = np.array([[100, 150, 200]], np.uint8)
        >>> SolarizeAdd(magnitude=50, thr=128, prob=1.0)(dict(img=img))['img']
        array([[150, 150, 200]], dtype=uint8)
    """


class _Enhancement(mmpretrain_transforms.BaseAugTransform):
    """An adjustment of ColorJitter, whose factor is 1 + magnitude."""

    name: str

    def transform(self, results: dict) -> dict:
        """Adjust ``results['img']``, which is BGR."""
        if self.random_disable():
            return results
        magnitude = self.magnitude
        if magnitude is None:
            magnitude = self.random_magnitude()
        factor = 1 + self.random_negative(magnitude)
        adjustment = [(self.name, factor)]
        results['img'] = _JITTER.adjust(results['img'], adjustment)
        return results


@TRANSFORMS.register_module()
class Brightness(_Enhancement, mmpretrain_transforms.Brightness):
    """mmpretrain's transform, in uint8.

    Example:
        >>> change = Brightness(0.2, random_negative_prob=0.0, prob=1.0)
        >>> img = np.array([[100, 150, 200]], np.uint8)
        >>> change(dict(img=img))['img']
        array([[120, 180, 240]], dtype=uint8)
    """

    name = 'brightness'


@TRANSFORMS.register_module()
class Contrast(_Enhancement, mmpretrain_transforms.Contrast):
    """mmpretrain's transform, in uint8.

    Example:
        >>> change = Contrast(1.0, random_negative_prob=0.0, prob=1.0)
        >>> img = np.array([[100, 150, 200]], np.uint8)
        >>> change(dict(img=img))['img']
        array([[ 50, 150, 250]], dtype=uint8)
    """

    name = 'contrast'


@TRANSFORMS.register_module()
class ColorTransform(_Enhancement, mmpretrain_transforms.ColorTransform):
    """mmpretrain's transform, in uint8.

    Example:
        >>> change = ColorTransform(-1.0, random_negative_prob=0.0, prob=1.0)
        >>> img = np.array([[[100, 150, 200]]], np.uint8)
        >>> change(dict(img=img))['img']
        array([[[159, 159, 159]]], dtype=uint8)
    """

    name = 'saturation'


class _CIFARPolicy(AutoAugment):
    """Caches the tables that torchvision makes for each image.

    They take a third of its time on images of 32x32.
    """

    @lru_cache(maxsize=8)  # noqa: B019 (one object for a whole run)
    def _augmentation_space(self, *args: Any) -> Any:
        return super()._augmentation_space(*args)


@TRANSFORMS.register_module()
class CIFARAutoAugment(BaseTransform):
    """torchvision's AutoAugment with the CIFAR-10 policy, on RGB arrays.

    Cubuk et al., CVPR 2019. (mmpretrain has only the ImageNet policy, and a
    config cannot name torchvision's enum.)

    Args:
        fill: Grey level, in [0, 255], of what rotation, shear and
            translation uncover. Defaults to 128.

    Raises:
        InputTypeError: It is not a whole number.
        InputValueError: It is out of range.

    Example:
        >>> augment = CIFARAutoAugment()
        >>> augment(dict(img=np.zeros((32, 32, 3), np.uint8)))['img'].shape
        (32, 32, 3)
    """

    def __init__(self, fill: int = 128) -> None:
        check_number('fill', fill, at_least=0, at_most=255, whole=True)
        self.augment = _CIFARPolicy(
            AutoAugmentPolicy.CIFAR10, fill=[float(fill)] * 3
        )

    def transform(self, results: dict) -> dict:
        """Augment ``results['img']``."""
        return _apply(self.augment, results)
