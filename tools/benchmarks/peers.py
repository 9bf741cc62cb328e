"""Other libraries, and plain code, that do the same work.

Each peer is optional: where one is missing, its rows are left out, and a
sentence says what to install.
"""

from __future__ import annotations

import shutil
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any, Callable, Dict, List, Optional

import cv2
import numpy as np
import torch
from torch import Tensor
from torchvision.io import decode_jpeg
from torchvision.transforms import InterpolationMode, v2

ANTIALIASED = 'albumentations, INTER_AREA'
LINEAR = 'albumentations, INTER_LINEAR'


@cache  # so that it is said once
def find(module: str, package: str) -> Optional[ModuleType]:
    """Import a library; None if that fails, which is said."""
    try:
        return import_module(module)
    except Exception as error:  # its own dependencies, of other versions
        cause = str(error) or type(error).__name__
        print(f'{package} is left out ({cause}): pip install {package}')
        return None


def naive_loss(
    features: Tensor, labels: Tensor, prototypes: Tensor, temperature: float
) -> Tensor:
    """The balanced contrastive loss, written plainly, without a loop."""
    num_anchors, num_classes = len(labels), len(prototypes)
    classes = torch.arange(num_classes, device=labels.device)
    key_labels = torch.cat([labels, classes])
    logits = features @ torch.cat([features, prototypes]).T / temperature
    rows = torch.arange(num_anchors, device=labels.device)
    columns = torch.arange(len(key_labels), device=labels.device)
    is_other = rows[:, None] != columns
    is_positive = (labels[:, None] == key_labels) & is_other
    counts = torch.zeros(num_classes, device=labels.device)
    counts.scatter_add_(0, key_labels, torch.ones_like(columns).float())
    sizes = counts[key_labels] - is_positive.float()
    weighted = (logits - sizes.log()).masked_fill(~is_other, -torch.inf)
    log_prob = logits - weighted.logsumexp(1, keepdim=True)
    means = (log_prob * is_positive).sum(1) / is_positive.sum(1)
    return -means.mean()


def compiled_loss(device: torch.device) -> Optional[Callable[..., Tensor]]:
    """The naive loss compiled by inductor; None without a C++ compiler."""
    compilers = 'c++', 'g++', 'clang++'
    if device.type == 'cpu' and not any(map(shutil.which, compilers)):
        print('The compiled loss is left out: install a C++ compiler, as g++')
        return None
    torch._dynamo.reset()
    return torch.compile(naive_loss, dynamic=False)


def supcon_loss(temperature: float) -> Optional[Callable[..., Tensor]]:
    """pytorch-metric-learning's SupConLoss over the same keys.

    A similar loss, not the same: classes are not averaged, and an anchor is
    a positive of itself.
    """
    losses = find('pytorch_metric_learning.losses', 'pytorch-metric-learning')
    if losses is None:
        return None
    supcon = losses.SupConLoss(temperature)

    def loss(features: Tensor, labels: Tensor, prototypes: Tensor) -> Tensor:
        classes = torch.arange(len(prototypes), device=labels.device)
        keys = torch.cat([features, prototypes])
        key_labels = torch.cat([labels, classes])
        return supcon(features, labels, ref_emb=keys, ref_labels=key_labels)

    return loss


def views_of(name: str) -> Optional[Callable[[str], List[Any]]]:
    """A function that makes three uint8 views of a JPEG; None if missing."""
    if name == 'torchvision v2':
        return _torchvision_views()
    return _albumentations_views(name)


def _torchvision_views() -> Callable[[str], List[Any]]:
    """The recent transforms of torchvision, of uint8 tensors."""
    # Of tensors, geometry is bilinear only, which is cheaper than bicubic.
    bilinear = v2.RandAugment(1, 30, 31, InterpolationMode.BILINEAR)
    rand_augment = v2.RandomApply([bilinear], p=0.5)
    crop = v2.RandomResizedCrop(224, (0.08, 1.0), antialias=True)
    first = [crop, v2.RandomHorizontalFlip(), v2.ColorJitter(0.4, 0.4, 0.4)]
    other = [
        *first[:2],
        v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
        v2.RandomGrayscale(0.2),
    ]
    view = v2.Compose([*first, rand_augment, rand_augment])
    views = [view, v2.Compose(other), v2.Compose(other)]

    def make(path: str) -> List[Any]:
        content = torch.from_numpy(np.fromfile(path, np.uint8))
        image = decode_jpeg(content)
        return [view(image) for view in views]

    return make


def _albumentations_views(name: str) -> Optional[Callable[[str], List[Any]]]:
    """The views of albumentations, whose resize does not antialias.

    INTER_AREA, an average of what a pixel covers, comes closest.
    """
    a = find('albumentations', 'albumentations')
    if a is None:
        return None
    flags: Dict[str, int] = {
        ANTIALIASED: cv2.INTER_AREA,
        LINEAR: cv2.INTER_LINEAR,
    }
    crop = a.RandomResizedCrop((224, 224), interpolation=flags[name])
    some = dict(p=1.0)

    def geometry(flag: int) -> List[Any]:
        options = dict(interpolation=flag, **some)
        shift = (
            dict(x=(-0.45, 0.45), y=(0, 0)),
            dict(x=(0, 0), y=(-0.45, 0.45)),
        )
        shear = dict(x=(-17, 17), y=(0, 0)), dict(x=(0, 0), y=(-17, 17))
        return [
            a.Rotate(30, **options),
            *[a.Affine(translate_percent=one, **options) for one in shift],
            *[a.Affine(shear=one, **options) for one in shear],
        ]

    level = dict(brightness=(1, 1), contrast=(1, 1), saturation=(1, 1))
    level.update(hue=(0, 0))
    enhance = 'brightness', 'contrast', 'saturation'
    colours = [
        a.AutoContrast(**some),
        a.Equalize(by_channels=True, **some),
        a.InvertImg(**some),
        a.Posterize((4, 7), **some),
        a.Solarize((0, 1), **some),
        a.RandomBrightnessContrast(0.4, 0, **some),
        *[a.ColorJitter(**{**level, e: (0.1, 1.9)}, **some) for e in enhance],
        a.Sharpen(**some),
    ]
    linear, cubic = (
        a.OneOf([*colours, *geometry(flag)], p=0.5)
        for flag in (cv2.INTER_LINEAR, cv2.INTER_CUBIC)
    )
    jitter = dict(brightness=0.4, contrast=0.4, saturation=0.4)
    flip = a.HorizontalFlip(p=0.5)
    first = [crop, flip, a.ColorJitter(**jitter, hue=0, p=1.0)]
    other = [crop, flip, a.ColorJitter(**jitter, hue=0.1, p=0.8)]
    other = a.Compose([*other, a.ToGray(p=0.2)])
    views = [a.Compose([*first, linear, cubic]), other, other]

    def make(path: str) -> List[Any]:
        image = cv2.imread(path, cv2.IMREAD_COLOR_RGB)
        images = [view(image=image)['image'] for view in views]
        return [torch.from_numpy(i.transpose(2, 0, 1).copy()) for i in images]

    return make
