"""Crops and flips against torchvision's, on real photographs."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from PIL import Image
from torchvision import transforms as T
from torchvision.transforms import functional as F

from bcl_mm import config_path
from bcl_mm.datasets.transforms import resize
from tests.datasets.transforms.common import (
    PHOTOS,
    SMALL,
    assert_same_draws,
    assert_same_images,
    build,
    difference,
)


@pytest.mark.parametrize('size', [(224, 224), (64, 100), (500, 700)])
def test_resize_is_pils(size):
    for photo in PHOTOS:
        expected = Image.fromarray(photo).resize(
            size[::-1], Image.Resampling.BILINEAR
        )
        wrong = difference(resize(photo, size), expected)
        assert wrong.max() <= 2
        assert wrong.mean() < 0.3


def test_resize_keeps_the_number_of_dimensions():
    grey = PHOTOS[0][..., 0]
    assert resize(grey, (32, 48)).shape == (32, 48)
    assert resize(grey[..., None], (32, 48)).shape == (32, 48, 1)
    assert np.array_equal(
        resize(grey, (32, 48)), resize(PHOTOS[0], (32, 48))[..., 0]
    )


@pytest.mark.parametrize(
    'box', [(0, 0, 427, 640), (3, 50, 301, 227), (100, 7, 90, 120)]
)
def test_crop_at_given_parameters(box, monkeypatch):
    crop = build('RandomResizedCrop', size=224)
    monkeypatch.setattr(crop, 'draw', lambda height, width: box)
    for photo in PHOTOS:
        ours = crop(dict(img=photo))['img']
        expected = F.resized_crop(Image.fromarray(photo), *box, [224, 224])
        wrong = difference(ours, expected)
        assert wrong.max() <= 2
        assert wrong.mean() < 0.3


@pytest.mark.parametrize('scale', [(0.08, 1.0), (0.5, 0.6)])
@pytest.mark.parametrize('shape', [(375, 500), (28, 28), (20, 400)])
def test_crops_are_distributed_as_torchvisions(shape, scale):
    np.random.seed(0)
    ratio = (3 / 4, 4 / 3)
    crop = build('RandomResizedCrop', size=224, scale=scale, ratio=ratio)
    ours = np.array([crop.draw(*shape) for _ in range(4000)])
    image = torch.zeros(1, *shape)
    theirs = np.array(
        [T.RandomResizedCrop.get_params(image, scale, ratio) for _ in ours]
    )
    top, left, height, width = ours.T
    assert (top + height <= shape[0]).all()
    assert (left + width <= shape[1]).all()
    assert (np.minimum(height, width) > 0).all()
    for ours_, theirs_ in zip(ours.T, theirs.T):
        assert_same_draws(ours_, theirs_)
    assert_same_draws(height * width, theirs[:, 2] * theirs[:, 3])
    assert_same_draws(width / height, theirs[:, 3] / theirs[:, 2])
    spread = theirs.std(0) + 1e-9
    assert (np.abs(ours.mean(0) - theirs.mean(0)) < 0.1 * spread).all()
    assert (np.abs(ours.std(0) - theirs.std(0)) < 0.1 * spread).all()


def test_cropped_images_are_distributed_as_torchvisions():
    np.random.seed(0)
    ours, theirs = (
        build('RandomResizedCrop', size=32),
        T.RandomResizedCrop(32),
    )
    image = Image.fromarray(SMALL)
    assert_same_images(
        [ours(dict(img=SMALL))['img'] for _ in range(500)],
        [np.asarray(theirs(image)) for _ in range(500)],
    )


def test_crop_of_a_sample():
    crop = build('RandomResizedCrop', size=(30, 40))
    for img in (PHOTOS[0], PHOTOS[0][..., 0], PHOTOS[0][..., :1]):
        results = crop(dict(img=img))
        assert results['img'].shape == (30, 40, *img.shape[2:])
        assert results['img'].dtype == np.uint8
        assert results['img_shape'] == (30, 40)


def test_flip():
    always = build('RandomFlip', prob=1.0)
    for img in (PHOTOS[0], PHOTOS[0][..., 0], PHOTOS[0][..., :1]):
        results = always(dict(img=img))
        assert np.array_equal(results['img'], img[:, ::-1])
        assert results['img'].flags.c_contiguous
        assert results['flip'] and results['flip_direction'] == 'horizontal'
    results = build('RandomFlip', prob=0.0)(dict(img=PHOTOS[0]))
    assert results['img'] is PHOTOS[0]
    assert not results['flip'] and results['flip_direction'] is None
    np.random.seed(0)
    flip = build('RandomFlip')
    flipped = [flip(dict(img=SMALL))['flip'] for _ in range(2000)]
    assert np.mean(flipped) == pytest.approx(0.5, abs=0.04)


SQUARE = np.ascontiguousarray(PHOTOS[0][:5, :5])


def test_flips_in_all_directions():
    np.random.seed(0)
    flip = build('RandomFlip', directions='all')
    for img in (SQUARE, SQUARE[..., 0], SQUARE[..., :1]):
        turned = [
            np.rot90(one, k) for one in (img, img[:, ::-1]) for k in range(4)
        ]
        found = [flip(dict(img=img))['img'] for _ in range(800)]
        times = [
            sum(np.array_equal(one, other) for one in found)
            for other in turned
        ]
        assert sum(times) == 800
        assert min(times) > 60
    never = build('RandomFlip', prob=0.0, directions='all')
    assert np.array_equal(never(dict(img=SQUARE))['img'], SQUARE)
    with pytest.raises(ValueError, match='needs square images, got 30x40'):
        flip(dict(img=PHOTOS[0][:30, :40]))


@pytest.mark.parametrize(
    ('name', 'options', 'message'),
    [
        ('RandomFlip', dict(directions='up'), "directions must be .*'up'"),
        ('RandomResizedCrop', dict(size=0), 'size must be .*, got 0'),
        ('RandomResizedCrop', dict(size=8, scale=(0.5, 0.1)), 'scale must'),
        ('RandomResizedCrop', dict(size=8, ratio=(0, 1)), 'ratio must be'),
        ('RandomFlip', dict(prob=-1), r'prob must be in \[0, 1\], got -1'),
    ],
)
def test_wrong_arguments(name, options, message):
    with pytest.raises(ValueError, match=message):
        build(name, **options)


@pytest.mark.parametrize(
    'shape', [(427, 640), (427, 301), (257, 255), (227, 225), (301, 301)]
)
def test_test_images_are_torchvisions(tmp_path, shape):
    cfg = Config.fromfile(config_path('bcl_resnext50_imagenet_lt'))
    *steps, _ = cfg.test_dataloader.dataset.pipeline  # without packing
    image = Image.fromarray(PHOTOS[0][: shape[0], : shape[1]])
    image.save(tmp_path / 'photo.png')
    results = Compose(steps)(dict(img_path=str(tmp_path / 'photo.png')))
    expected = T.CenterCrop(224)(T.Resize(256, antialias=True)(image))
    assert np.array_equal(results['img'][..., ::-1], expected)
