"""Automatic augmentation that is slow or missing elsewhere."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Callable

import mmpretrain.datasets.transforms as mmpretrain_transforms
import numpy as np
from mmcv.transforms import BaseTransform
from PIL import Image, ImageOps
from torchvision.transforms import AutoAugment, AutoAugmentPolicy

from bcl_mm.registry import TRANSFORMS


def _apply(operation: Callable, results: dict) -> dict:
    """Apply an operation on PIL images to ``results['img']``."""
    image = Image.fromarray(results['img'])
    results['img'] = np.asarray(operation(image))
    return results


@TRANSFORMS.register_module()
class AutoContrast(mmpretrain_transforms.AutoContrast):
    """mmpretrain's transform, computed by PIL: five times as fast."""

    def transform(self, results: dict) -> dict:
        """Stretch each channel of ``results['img']`` to the full range."""
        disabled = self.random_disable()
        return results if disabled else _apply(ImageOps.autocontrast, results)


@TRANSFORMS.register_module()
class Equalize(mmpretrain_transforms.Equalize):
    """mmpretrain's transform, computed by PIL: five times as fast."""

    def transform(self, results: dict) -> dict:
        """Flatten the histogram of each channel of ``results['img']``."""
        disabled = self.random_disable()
        return results if disabled else _apply(ImageOps.equalize, results)


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
    """

    def __init__(self) -> None:
        self.augment = _CIFARPolicy(AutoAugmentPolicy.CIFAR10)

    def transform(self, results: dict) -> dict:
        """Augment ``results['img']``."""
        return _apply(self.augment, results)
