"""The views' transforms against torchvision's, on real photographs."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import TRANSFORMS
from PIL import Image
from sklearn.datasets import load_sample_images
from torchvision.transforms import CenterCrop, RandomResizedCrop, Resize
from torchvision.transforms import functional as F

from bcl_mm import config_path
from bcl_mm.transforms import ColorJitter, resize

PHOTOS = load_sample_images().images  # RGB, 427 x 640


def build(name, **options):
    return TRANSFORMS.build(dict(type=f'bcl_mm.{name}', **options))


def difference(ours, image):
    return np.abs(ours.astype(int) - np.asarray(image).astype(int))


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


@pytest.mark.parametrize('shape', [(427, 640), (28, 28), (20, 400)])
def test_crops_are_distributed_as_torchvisions(shape):
    np.random.seed(0)
    scale, ratio = (0.08, 1.0), (3 / 4, 4 / 3)
    crop = build('RandomResizedCrop', size=224, scale=scale, ratio=ratio)
    ours = np.array([crop.draw(*shape) for _ in range(4000)])
    image = torch.zeros(1, *shape)
    theirs = np.array(
        [RandomResizedCrop.get_params(image, scale, ratio) for _ in ours]
    )
    top, left, height, width = ours.T
    assert (top + height <= shape[0]).all()
    assert (left + width <= shape[1]).all()
    assert (np.minimum(height, width) > 0).all()
    spread = theirs.std(0) + 1e-9
    assert (np.abs(ours.mean(0) - theirs.mean(0)) < 0.1 * spread).all()
    assert (np.abs(ours.std(0) - theirs.std(0)) < 0.1 * spread).all()


def test_crop_of_a_sample():
    crop = build('RandomResizedCrop', size=(30, 40))
    for img in (PHOTOS[0], PHOTOS[0][..., 0], PHOTOS[0][..., :1]):
        results = crop(dict(img=img))
        assert results['img'].shape == (30, 40, *img.shape[2:])
        assert results['img'].dtype == np.uint8
        assert results['img_shape'] == (30, 40)


@pytest.mark.parametrize('factor', [0.6, 1.0, 1.4])
@pytest.mark.parametrize('name', ['brightness', 'contrast', 'saturation'])
@pytest.mark.parametrize('order', ['rgb', 'bgr'])
def test_colours_are_pils(name, factor, order):
    jitter = ColorJitter(channel_order=order)
    for photo in PHOTOS:
        img = photo if order == 'rgb' else photo[..., ::-1].copy()
        ours = getattr(jitter, f'adjust_{name}')(img, factor)
        ours = ours if order == 'rgb' else ours[..., ::-1]
        adjust = getattr(F, f'adjust_{name}')
        wrong = difference(ours, adjust(Image.fromarray(photo), factor))
        assert wrong.max() <= 2


@pytest.mark.parametrize('shift', [-0.5, -0.1, -0.003, 0.0, 0.1, 0.5])
@pytest.mark.parametrize('order', ['rgb', 'bgr'])
def test_hue_is_pils(shift, order):
    jitter = ColorJitter(channel_order=order)
    for photo in PHOTOS:
        img = photo if order == 'rgb' else photo[..., ::-1].copy()
        ours = jitter.adjust_hue(img, shift)
        ours = ours if order == 'rgb' else ours[..., ::-1]
        wrong = difference(ours, F.adjust_hue(Image.fromarray(photo), shift))
        # Hue is one of 256 steps, which the two libraries round differently.
        assert wrong.mean() < 2
        assert np.quantile(wrong, 0.99) <= 10


def test_grey_images_keep_their_shape():
    jitter = build(
        'ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1
    )
    for img in (PHOTOS[0][..., 0], PHOTOS[0][..., :1]):
        assert jitter(dict(img=img))['img'].shape == img.shape
        assert jitter.adjust_hue(img, 0.3) is img
        assert jitter.adjust_saturation(img, 0.3) is img


def test_strength_probability_and_order():
    np.random.seed(0)
    img = np.full((2, 2, 3), 100, np.uint8)
    jitter = build('ColorJitter', brightness=0.4, prob=0.8)
    seen = np.array(
        [jitter(dict(img=img))['img'][0, 0, 0] for _ in range(4000)]
    )
    changed = seen[seen != 100]
    assert len(changed) / len(seen) == pytest.approx(0.8, abs=0.03)
    assert (changed.min(), changed.max()) == (60, 139)
    assert changed.mean() == pytest.approx(99.5, abs=1)
    # Brightness first or contrast first: both orders come up.
    photo = PHOTOS[0]
    both = build('ColorJitter', brightness=1.0, contrast=1.0)
    both.ranges = dict(brightness=(1.5, 1.5), contrast=(0.5, 0.5))
    results = {both(dict(img=photo))['img'].tobytes() for _ in range(20)}
    assert len(results) == 2


def test_grayscale_is_luma():
    grey = build('RandomGrayscale', prob=1.0, channel_order='rgb')
    expected = F.rgb_to_grayscale(Image.fromarray(PHOTOS[0]), 3)
    ours = grey(dict(img=PHOTOS[0]))['img']
    assert difference(ours, expected).max() <= 1
    never = build('RandomGrayscale', prob=0.0)
    assert never(dict(img=PHOTOS[0]))['img'] is PHOTOS[0]


def test_cifar_auto_augment():
    torch.manual_seed(0)
    augment = build('CIFARAutoAugment')
    img = np.ascontiguousarray(PHOTOS[0][:32, :32])
    views = [augment(dict(img=img))['img'] for _ in range(20)]
    assert all(v.shape == img.shape and v.dtype == np.uint8 for v in views)
    assert len({v.tobytes() for v in views}) > 5


@pytest.mark.parametrize(
    ('name', 'options', 'message'),
    [
        ('RandomResizedCrop', dict(size=0), 'size must be .*, got 0'),
        ('RandomResizedCrop', dict(size=8, scale=(0.5, 0.1)), 'scale must'),
        ('RandomResizedCrop', dict(size=8, ratio=(0, 1)), 'ratio must be'),
        ('ColorJitter', dict(contrast=-1), 'contrast must be >= 0, got -1'),
        ('ColorJitter', dict(hue=0.6), r'hue must be in \[0, 0.5\], got 0.6'),
        ('ColorJitter', dict(prob=2), r'prob must be in \[0, 1\], got 2'),
        ('RandomGrayscale', dict(channel_order='x'), 'channel_order must be'),
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
    *steps, _ = cfg.test_dataloader.dataset.pipeline  # but for packing
    image = Image.fromarray(PHOTOS[0][: shape[0], : shape[1]])
    image.save(tmp_path / 'photo.png')
    results = Compose(steps)(dict(img_path=str(tmp_path / 'photo.png')))
    expected = CenterCrop(224)(Resize(256, antialias=True)(image))
    assert np.array_equal(results['img'][..., ::-1], expected)
