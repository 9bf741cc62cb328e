"""Views that share an image, and images decoded for their crops."""

from io import BytesIO

import cv2
import numpy as np
import pytest
from mmengine.dataset import Compose
from PIL import Image
from torchvision import transforms as T

from bcl_mm.datasets.transforms.encoded import EncodedImage
from bcl_mm.datasets.transforms.loading import CorruptImageError
from bcl_mm.utils.errors import InputTypeError
from tests.datasets.transforms.common import (
    PHOTOS,
    assert_same_images,
    build,
    difference,
)

CROP = dict(type='bcl_mm.RandomResizedCrop', size=64)


def jpeg(photo, orientation=None, kind='JPEG', **options):
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    content = BytesIO()
    Image.fromarray(photo).save(content, kind, exif=exif, **options)
    return content.getvalue()


@pytest.fixture
def write(tmp_path):
    def to_path(content):
        path = tmp_path / 'image'
        path.write_bytes(content)
        return str(path)

    return to_path


def load(path, for_crops=True, **options):
    loader = build('LoadImageFromFile', decode_for_crops=for_crops, **options)
    return loader(dict(img_path=path))


def crop_at(img, box, size):
    crop = build('RandomResizedCrop', size=size)
    return crop(dict(img=img, crop_box=box))['img']


@pytest.mark.parametrize('orientation', [None, *range(1, 9)])
@pytest.mark.parametrize('size', [90, 45, 22])  # of a crop of 200 x 200
def test_small_decoding_shows_the_same_crop(orientation, size, write):
    path = write(jpeg(PHOTOS[0][:400, :608], orientation, quality=95))
    whole, encoded = load(path, False), load(path)
    image, box = encoded['img'], (96, 168, 200, 200)
    assert isinstance(image, EncodedImage)
    for key in ('img_shape', 'ori_shape'):
        assert encoded[key] == whole[key]
    img, (small_box,) = image.decode_for([box], [(size, size)])
    factor = {90: 2, 45: 4, 22: 8}[size]
    assert img.shape[0] * factor == whole['img'].shape[0]
    small = crop_at(img, small_box, size)
    assert difference(small, crop_at(whole['img'], box, size)).mean() < 5


def spread(img):
    return cv2.Laplacian(img, cv2.CV_32F).std()


@pytest.mark.parametrize('photo', PHOTOS)
def test_small_decoding_is_antialiased_like_resizing(photo, write):
    path = write(jpeg(photo, quality=90))
    whole, image = load(path, False)['img'], load(path)['img']
    for side in (280, 330, 400):
        box, size = (11, 37, side, side), (127, 127)
        img, (small_box,) = image.decode_for([box], [size])
        assert len(img) == 214  # half as high
        expected = crop_at(whole, box, 127)
        ours = crop_at(img, small_box, 127)
        aliased = cv2.resize(whole[11 : 11 + side, 37 : 37 + side], size)
        assert spread(ours) == pytest.approx(spread(expected), rel=0.1)
        assert spread(aliased) > 1.5 * spread(expected)


def test_every_crop_keeps_pixels_to_be_resized():
    factors = []

    def decode(factor):
        factors.append(factor)
        return np.zeros((-(-1000 // factor), -(-1500 // factor), 3), np.uint8)

    image = EncodedImage((1000, 1500), decode)
    sizes, large = [(100, 200)] * 2, (0, 0, 1000, 1500)
    for box, factor in (
        (large, 4),
        ((0, 0, 440, 881), 4),
        ((0, 0, 439, 881), 2),
        ((0, 0, 440, 879), 2),
        ((0, 0, 221, 441), 2),
        ((0, 0, 219, 441), 1),
        ((0, 0, 50, 50), 1),
    ):
        _, boxes = image.decode_for([large, box], sizes)
        assert factors.pop() == factor
        assert boxes[0] == (0, 0, 1000 // factor, 1500 // factor)
        assert boxes[1][2:] == tuple(round(n / factor) for n in box[2:])


def test_other_files_are_decoded_at_once(write):
    photo = PHOTOS[0]
    cmyk = BytesIO()
    Image.fromarray(photo).convert('CMYK').save(cmyk, 'JPEG')
    for content in (jpeg(photo, kind='PNG'), cmyk.getvalue()):
        path = write(content)
        assert np.array_equal(load(path)['img'], load(path, False)['img'])
    path = write(jpeg(photo))
    assert load(path, to_float32=True)['img'].dtype == np.float32
    assert load(path, color_type='grayscale')['img'].ndim == 2


def test_grey_files_have_three_channels(write):
    path = write(jpeg(PHOTOS[0][..., 0]))
    for size in (64, 400):
        crop = build('RandomResizedCrop', size=size)
        assert crop(load(path))['img'].shape == (size, size, 3)


def test_small_images_keep_their_pixels(write):
    path = write(jpeg(PHOTOS[0]))
    crop = build('RandomResizedCrop', size=400)
    views = []
    for for_crops in (False, True):
        np.random.seed(0)
        views.append(crop(load(path, for_crops))['img'])
    assert np.array_equal(*views)


def test_damage_is_told_when_decoding(write, monkeypatch):
    path = write(jpeg(PHOTOS[0])[:3000] + b'\xff\xd9')
    monkeypatch.setattr(cv2, 'imdecode', lambda *_: None)
    for size in (400, 32):
        crop = build('RandomResizedCrop', size=size)
        with pytest.raises(CorruptImageError, match=f'image {path!r}'):
            crop(load(path))


def test_a_file_too_large_is_refused_before(write):
    path = write(jpeg(PHOTOS[0]))
    with pytest.raises(CorruptImageError, match='640 x 427 pixels, more than'):
        load(path, max_pixels=1000)


def multi_view(*views):
    return build('MultiView', num_views=[1] * len(views), transforms=views)


def test_views_of_a_file_are_distributed_as_torchvisions(write):
    np.random.seed(0)
    path = write(jpeg(PHOTOS[0], quality=95))
    step = multi_view([dict(CROP, size=32)], [dict(CROP, size=32)])
    theirs = T.RandomResizedCrop(32)
    image = Image.open(path).convert('RGB')
    views = [step(load(path))['img'] for _ in range(300)]
    for ours in zip(*views):
        assert_same_images(
            [view[..., ::-1] for view in ours],
            [np.asarray(theirs(image)) for _ in range(300)],
        )
    # One draws from another's numbers only if they are the same crop.
    assert all((first != second).any() for first, second in views)


def test_views_share_the_image_and_cannot_write_into_it():
    img = PHOTOS[0].copy()
    seen = []

    def note(results):
        seen.append(results['img'])
        return results

    def write_into(results):
        results['img'][0] = 0
        return results

    results = multi_view([note], [note])(dict(img=img, gt_label=3))
    assert results['gt_label'] == 3
    assert len(results['img']) == len(seen) == 2
    assert all(np.shares_memory(view, img) for view in seen)
    with pytest.raises(ValueError, match='read-only'):
        multi_view([write_into])(dict(img=img))
    assert img.flags.writeable
    # Without what MultiView adds, views are as with mmpretrain's.
    pipeline = [[CROP, dict(type='bcl_mm.RandomFlip')]]
    options = dict(num_views=[2], transforms=pipeline)
    made = []
    for step in (
        build('MultiView', **options),
        Compose([dict(type='mmpretrain.MultiView', **options)]),
    ):
        np.random.seed(0)
        made.append(step(dict(img=img))['img'])
    assert np.array_equal(*made)


def test_each_view_of_a_file_must_begin_with_its_crop(write):
    flip_first = multi_view([CROP], [dict(type='bcl_mm.RandomFlip'), CROP])
    message = 'decode_for_crops=True needs .* got RandomFlip: move it'
    with pytest.raises(InputTypeError, match=message):
        flip_first(load(write(jpeg(PHOTOS[0]))))
