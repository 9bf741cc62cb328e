"""Colour transforms against torchvision's, on real photographs."""

from collections import Counter

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.dataset import Compose
from PIL import Image
from torchvision import transforms as T
from torchvision.transforms import functional as F

from bcl_mm import config_path
from bcl_mm.datasets.transforms import ColorJitter
from tests.datasets.transforms.common import (
    PHOTOS,
    SMALL,
    assert_same_draws,
    assert_same_images,
    build,
    difference,
)

NAMES = ['brightness', 'contrast', 'saturation', 'hue']


@pytest.mark.parametrize('factor', [0.6, 1.0, 1.4])
@pytest.mark.parametrize('name', ['brightness', 'contrast', 'saturation'])
@pytest.mark.parametrize('order', ['rgb', 'bgr'])
def test_colours_are_pils(name, factor, order):
    jitter = ColorJitter(channel_order=order)
    for photo in PHOTOS:
        img = photo if order == 'rgb' else photo[..., ::-1].copy()
        ours = jitter.adjust(img, [(name, factor)])
        ours = ours if order == 'rgb' else ours[..., ::-1]
        adjust = getattr(F, f'adjust_{name}')
        wrong = difference(ours, adjust(Image.fromarray(photo), factor))
        assert wrong.max() <= 1
        assert wrong.mean() < (0.3 if name == 'saturation' else 0.01)


@pytest.mark.parametrize('shift', [-0.5, -0.1, -0.003, 0.0, 0.1, 0.5])
@pytest.mark.parametrize('order', ['rgb', 'bgr'])
def test_hue_is_pils(shift, order):
    jitter = ColorJitter(channel_order=order)
    for photo in PHOTOS:
        img = photo if order == 'rgb' else photo[..., ::-1].copy()
        ours = jitter.adjust(img, [('hue', shift)])
        ours = ours if order == 'rgb' else ours[..., ::-1]
        wrong = difference(ours, F.adjust_hue(Image.fromarray(photo), shift))
        # The hue has 256 steps, which the two libraries round differently.
        assert wrong.mean() < 0.6
        assert np.quantile(wrong, 0.99) <= 5
        assert wrong.max() <= 16


def test_grey_images_keep_their_shape():
    jitter = build(
        'ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1
    )
    for img in (PHOTOS[0][..., 0], PHOTOS[0][..., :1]):
        assert jitter(dict(img=img))['img'].shape == img.shape
        for name in ('hue', 'saturation'):
            assert jitter.adjust(img, [(name, 0.3)]) is img


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
    # Brightness first or contrast first: both orders occur.
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


@pytest.mark.parametrize('options', [{name: 0.4} for name in NAMES])
@pytest.mark.long
def test_each_adjustment_is_distributed_as_torchvisions(options):
    np.random.seed(0)
    assert_same_images(
        *both_views(
            build('ColorJitter', channel_order='rgb', **options),
            T.ColorJitter(**options),
        )
    )


@pytest.mark.long
def test_all_adjustments_are_distributed_as_torchvisions():
    np.random.seed(0)
    strengths = dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)
    ours = build('ColorJitter', channel_order='rgb', prob=0.8, **strengths)
    grey = build('RandomGrayscale', channel_order='rgb')
    theirs = [
        T.RandomApply([T.ColorJitter(**strengths)], p=0.8),
        T.RandomGrayscale(0.2),
    ]
    assert_same_images(*both_views(Compose([ours, grey]), T.Compose(theirs)))


def both_views(ours, theirs):
    image = Image.fromarray(SMALL)
    return (
        [ours(dict(img=SMALL))['img'] for _ in range(1000)],
        [np.asarray(theirs(image)) for _ in range(1000)],
    )


def test_factors_and_order_are_distributed_as_torchvisions():
    np.random.seed(0)
    strengths = dict(brightness=0.4, contrast=0.6, saturation=1.5, hue=0.1)
    jitter = build('ColorJitter', **strengths)
    drawn = [one for _ in range(2400) for one in jitter.draw()]
    theirs = T.ColorJitter(**strengths)
    expected = np.array(
        [
            theirs.get_params(
                theirs.brightness,
                theirs.contrast,
                theirs.saturation,
                theirs.hue,
            )[1:]
            for _ in range(2400)
        ]
    )
    for i, name in enumerate(NAMES):
        factors = [factor for kind, factor in drawn if kind == name]
        assert len(factors) == 2400
        assert_same_draws(factors, expected[:, i])
    # Each of the 24 orders in 1/24 of the draws: 100 times, +- 5 sigma.
    kinds = [kind for kind, _ in drawn]
    orders = Counter(tuple(kinds[i : i + 4]) for i in range(0, 9600, 4))
    assert len(orders) == 24
    assert all(50 < times < 150 for times in orders.values())


@pytest.mark.parametrize('order', ['rgb', 'bgr'])
@pytest.mark.long
def test_adjustments_in_one_pass_are_as_one_by_one(order):
    np.random.seed(0)
    strengths = dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)
    jitter = build('ColorJitter', channel_order=order, **strengths)
    for img in (PHOTOS[0], PHOTOS[1], PHOTOS[0][..., :1], PHOTOS[1][..., 0]):
        wrong = []
        for _ in range(50):
            drawn, expected = jitter.draw(), img
            for adjustment in drawn:
                expected = jitter.adjust(expected, [adjustment])
            wrong.append(difference(jitter.adjust(img, drawn), expected))
            assert expected.shape == img.shape
        # Levels are rounded less often.
        assert np.mean(wrong) < 0.6
        assert np.quantile(wrong, 0.999) <= 4


@pytest.mark.parametrize('view', ['classification_view', 'sim_view'])
@pytest.mark.long
def test_views_of_imagenet_lt_are_distributed_as_torchvisions(view):
    np.random.seed(0)
    steps = Config.fromfile(config_path('bcl_resnext50_imagenet_lt'))[view]
    theirs = [T.RandomResizedCrop(224), T.RandomHorizontalFlip()]
    if view == 'sim_view':
        theirs += [
            T.RandomApply([T.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
            T.RandomGrayscale(0.2),
        ]
    else:
        steps = steps[:-1]  # torchvision's RandAugment differs
        theirs.append(T.ColorJitter(0.4, 0.4, 0.4))
    ours, theirs = Compose(steps), T.Compose(theirs)
    bgr, image = SMALL[..., ::-1].copy(), Image.fromarray(SMALL)
    assert_same_images(
        [ours(dict(img=bgr))['img'][::4, ::4, ::-1] for _ in range(500)],
        [np.asarray(theirs(image))[::4, ::4] for _ in range(500)],
    )


@pytest.mark.parametrize(
    ('name', 'options', 'message'),
    [
        ('ColorJitter', dict(contrast=-1), 'contrast must be >= 0, got -1'),
        ('ColorJitter', dict(hue=0.6), r'hue must be in \[0, 0.5\], got 0.6'),
        ('ColorJitter', dict(prob=2), r'prob must be in \[0, 1\], got 2'),
        ('RandomGrayscale', dict(channel_order='x'), 'channel_order must be'),
    ],
)
def test_wrong_arguments(name, options, message):
    with pytest.raises(ValueError, match=message):
        build(name, **options)


def test_only_bytes_are_taken():
    with pytest.raises(TypeError, match='img must be uint8, got float32'):
        build('ColorJitter')(dict(img=PHOTOS[0].astype(np.float32)))


def test_one_channel_models_take_any_image():
    to_grey = build('ToGrey')
    for photo in PHOTOS:
        grey = to_grey(dict(img=photo[..., ::-1]))['img']
        expected = np.asarray(Image.fromarray(photo).convert('L'))
        assert difference(grey, expected).max() <= 1
    for shape in ((64, 96), (64, 96, 1)):  # grey images stay as they are
        img = SMALL[..., 0].reshape(shape)
        assert (to_grey(dict(img=img))['img'] == SMALL[..., 0]).all()


def test_only_files_become_rgb():
    to_rgb = build('FilesToRGB')
    assert (
        to_rgb(dict(img=SMALL))['img'] is SMALL
    )  # an array from the data set
    results = dict(img=SMALL[..., ::-1], ori_shape=SMALL.shape[:2])
    assert (to_rgb(results)['img'] == SMALL).all()
