"""Automatic augmentation against PIL and torchvision."""

import mmpretrain.datasets.transforms as mmpretrain_transforms
import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torchvision.transforms import AutoAugment, AutoAugmentPolicy

from tests.datasets.transforms.common import PHOTOS, SMALL, build, difference

OPERATIONS = dict(
    AutoContrast=ImageOps.autocontrast, Equalize=ImageOps.equalize
)


@pytest.mark.parametrize('name', OPERATIONS)
def test_operations_are_pils_and_mmpretrains(name):
    ours = build(name, prob=1.0)
    theirs = getattr(mmpretrain_transforms, name)(prob=1.0)
    flat = np.full((8, 8, 3), 77, np.uint8)
    # Only the levels 40 to 191, so that there is something to stretch.
    narrow = (PHOTOS[0] * 0.6 + 40).astype(np.uint8)
    for photo in (*PHOTOS, narrow, flat, narrow[:, ::-1, ::-1]):
        image = ours(dict(img=photo))['img']
        assert image.dtype == np.uint8
        expected = OPERATIONS[name](Image.fromarray(photo))
        assert np.array_equal(image, expected)
        assert difference(image, theirs(dict(img=photo))['img']).max() <= 1


@pytest.mark.parametrize('name', OPERATIONS)
def test_operations_are_applied_with_their_probability(name):
    np.random.seed(0)
    operation = build(name, prob=0.3)
    results = [operation(dict(img=SMALL))['img'] for _ in range(1000)]
    applied = np.mean([result is not SMALL for result in results])
    assert applied == pytest.approx(0.3, abs=0.05)


def test_cifar_auto_augment_is_torchvisions():
    ours = build('CIFARAutoAugment')
    theirs = AutoAugment(AutoAugmentPolicy.CIFAR10)
    seen = set()
    for seed in range(100):
        img = np.ascontiguousarray(PHOTOS[seed % 2][seed:][:32, :32])
        torch.manual_seed(seed)
        view = ours(dict(img=img))['img']
        torch.manual_seed(seed)
        assert np.array_equal(view, theirs(Image.fromarray(img)))
        seen.add(view.tobytes())
    assert len(seen) > 50
