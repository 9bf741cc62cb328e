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


@pytest.mark.parametrize(
    ('name', 'options', 'most'),
    [
        ('Invert', {}, 0),
        ('Posterize', dict(magnitude_range=(-0.9999, 3.0001)), 0),
        ('Solarize', dict(magnitude_range=(0, 256)), 0),
        ('SolarizeAdd', dict(magnitude_range=(0, 110)), 0),
        ('Brightness', dict(magnitude_range=(-0.9, 0.9)), 1),
        ('Contrast', dict(magnitude_range=(-0.9, 0.9)), 1),
        ('ColorTransform', dict(magnitude_range=(-0.9, 0.9)), 1),
        ('Contrast', dict(magnitude=0.4), 1),
    ],
)
def test_operations_draw_and_do_what_mmpretrains_do(name, options, most):
    if 'magnitude_range' in options:
        options = dict(options, magnitude_level=6, magnitude_std='inf')
    ours = build(name, **options)
    theirs = getattr(mmpretrain_transforms, name)(**options)
    changed = 0
    for seed in range(20):
        results = []
        for operation in (ours, theirs):
            np.random.seed(seed)
            results.append(operation(dict(img=PHOTOS[0]))['img'])
        assert results[0].dtype == np.uint8
        assert difference(*results).max() <= most
        changed += results[0] is not PHOTOS[0]
    assert 0 < changed < 20


def test_policies_are_drawn_with_replacement_and_in_order():
    np.random.seed(0)
    levels = dict(prob=1.0, magnitude=0.5, random_negative_prob=0.0)
    augment = build(
        'RandAugment',
        policies=[
            dict(type='bcl_mm.Invert', prob=1.0),
            dict(type='bcl_mm.Brightness', **levels),
        ],
        num_policies=2,
        magnitude_level=1,
    )
    img = np.full((2, 2, 3), 100, np.uint8)
    seen = [augment(dict(img=img))['img'][0, 0, 0] for _ in range(400)]
    # Twice inverted, twice 1.5 times as bright, and both orders.
    values, counts = np.unique(seen, return_counts=True)
    assert values.tolist() == [100, 105, 225, 232]
    assert (counts > 60).all()


@pytest.mark.parametrize('name', OPERATIONS)
def test_operations_are_applied_with_their_probability(name):
    np.random.seed(0)
    operation = build(name, prob=0.3)
    results = [operation(dict(img=SMALL))['img'] for _ in range(1000)]
    applied = np.mean([result is not SMALL for result in results])
    assert applied == pytest.approx(0.3, abs=0.05)


@pytest.mark.parametrize('options', [{}, dict(fill=0)])
def test_cifar_auto_augment_is_torchvisions(options):
    ours = build('CIFARAutoAugment', **options)
    fill = options.get('fill', 128)  # as in the reprinted recipes
    theirs = AutoAugment(AutoAugmentPolicy.CIFAR10, fill=[fill] * 3)
    seen = set()
    for seed in range(100):
        img = np.ascontiguousarray(PHOTOS[seed % 2][seed:][:32, :32])
        torch.manual_seed(seed)
        view = ours(dict(img=img))['img']
        torch.manual_seed(seed)
        assert np.array_equal(view, theirs(Image.fromarray(img)))
        seen.add(view.tobytes())
    assert len(seen) > 50
