"""Images that cannot be loaded, and all kinds of images that can."""

import os
from io import BytesIO

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import TRANSFORMS, DefaultScope
from mmpretrain.datasets import remove_transform
from PIL import Image
from sklearn.datasets import load_sample_images

from bcl_mm.datasets.transforms.loading import (
    CorruptImageError,
    LoadImageFromFile,
    is_cut_short,
)
from tests.conftest import ROOT

PHOTO = load_sample_images().images[0][:120, :160]  # RGB
LOAD = dict(type='LoadImageFromFile', _scope_='bcl_mm')


def encode(image, kind, **options):
    stream = BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def jpeg(**options):
    return encode(Image.fromarray(PHOTO), 'JPEG', quality=90, **options)


def png(array):
    return cv2.imencode('.png', array)[1].tobytes()


def load(path):
    return LoadImageFromFile()(dict(img_path=str(path)))['img']


BGR = PHOTO[..., ::-1]
GREY = cv2.cvtColor(BGR, cv2.COLOR_BGR2GRAY)
ALPHA = np.full_like(GREY, 7)
KINDS = {
    # content, expected pixels, mean difference that is allowed
    'jpeg': (jpeg(), BGR, 3),
    'progressive.jpeg': (jpeg(progressive=True), BGR, 3),
    'grey.jpeg': (encode(Image.fromarray(GREY), 'JPEG'), GREY, 3),
    'cmyk.jpeg': (
        encode(Image.fromarray(PHOTO).convert('CMYK'), 'JPEG'),
        BGR,
        6,
    ),
    'png': (png(BGR), BGR, 0),
    'grey.png': (png(GREY), GREY, 0),
    'rgba.png': (png(np.dstack([BGR, ALPHA])), BGR, 0),
    'grey_alpha.png': (
        encode(
            Image.merge('LA', list(map(Image.fromarray, (GREY, ALPHA)))), 'PNG'
        ),
        GREY,
        0,
    ),
    '16_bits.png': (png(BGR.astype(np.uint16) * 257), BGR, 0),
    '16_bits_grey.png': (png(GREY.astype(np.uint16) * 257), GREY, 0),
    'palette.png': (
        encode(Image.fromarray(PHOTO).quantize(256), 'PNG'),
        BGR,
        10,
    ),
    '1_bit.png': (
        encode(
            Image.fromarray(GREY).point(lambda v: 255 * (v > 99), '1'), 'PNG'
        ),
        np.where(GREY > 99, 255, 0),
        0,
    ),
    '1x1.png': (png(BGR[:1, :1]), BGR[:1, :1], 0),
    'bmp': (encode(Image.fromarray(PHOTO), 'BMP'), BGR, 0),
    'webp': (encode(Image.fromarray(PHOTO), 'WEBP', lossless=True), BGR, 0),
}


@pytest.mark.parametrize('kind', KINDS)
def test_every_kind_of_image_comes_out_alike(tmp_path, kind):
    content, expected, tolerance = KINDS[kind]
    path = tmp_path / f'image.{kind}'
    path.write_bytes(content)
    img = load(path)
    assert img.dtype == np.uint8
    assert img.shape == (*expected.shape[:2], 3)
    if expected.ndim == 2:
        expected = expected[..., None]
    difference = np.abs(img.astype(int) - expected).mean()
    assert difference <= tolerance


def test_the_name_of_a_file_need_not_be_text(tmp_path):
    path = os.fsencode(tmp_path) + b'/caf\xe9.jpg'
    with open(path, 'wb') as file:
        file.write(jpeg())
    assert load(os.fsdecode(path)).shape == (120, 160, 3)
    with open(path, 'wb') as file:
        file.write(jpeg()[:1000])
    with pytest.raises(CorruptImageError, match=r'caf\\udce9\.jpg') as raised:
        load(os.fsdecode(path))
    str(raised.value).encode()  # can be printed


def with_thumbnail():
    """A JPEG whose metadata hold another, complete JPEG."""
    small = jpeg()
    segment = b'Exif\0\0' + small
    length = (len(segment) + 2).to_bytes(2, 'big')
    return small[:2] + b'\xff\xe1' + length + segment + small[2:]


def damaged(content):
    """Zeros in the middle, as after a bad copy."""
    middle = len(content) // 2
    return content[:middle] + bytes(100) + content[middle + 100 :]


BAD = {
    'empty.jpg': (b'', 'is empty'),
    'text.jpg': (b'Not found\n' * 9, 'is not an image'),
    'page.jpg': (b'<!DOCTYPE html><html>404</html>', 'is not an image'),
    'half.jpg': (jpeg()[: len(jpeg()) // 2], 'is cut short: it ends after'),
    'almost.jpg': (jpeg()[:-2], 'is cut short'),
    'header.jpg': (jpeg()[:20], 'is cut short'),
    'two_bytes.jpg': (b'\xff\xd8', 'is cut short'),
    'progressive.jpg': (jpeg(progressive=True)[:-500], 'is cut short'),
    'thumbnail.jpg': (with_thumbnail()[:-500], 'is cut short'),
    'zeros_at_end.jpg': (jpeg()[:-999] + bytes(999), 'is cut short'),
    'half.png': (png(BGR)[:999], 'is cut short'),
    'damaged.png': (damaged(png(BGR)), 'is not an image, or is too damaged'),
    'half.webp': (
        KINDS['webp'][0][:999],
        'is not an image, or is too damaged',
    ),
    'half.bmp': (KINDS['bmp'][0][:999], 'is not an image, or is too damaged'),
    'random.jpg': (np.random.RandomState(0).bytes(999), 'is not an image'),
}


@pytest.mark.parametrize('name', BAD)
def test_what_is_no_image_is_named(tmp_path, name):
    content, cause = BAD[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(CorruptImageError) as raised:
        load(path)
    assert str(raised.value).startswith(f'image {str(path)!r} {cause}')
    assert '\n' not in str(raised.value)


def test_what_is_no_file_is_named(tmp_path):
    for path, cause in (
        (tmp_path, 'cannot be read: Is a directory'),
        (tmp_path / 'no.jpg', 'cannot be read: No such file'),
        (f'{tmp_path}/a\0b', 'cannot be read: embedded null byte'),
    ):
        with pytest.raises(CorruptImageError) as raised:
            load(path)
        assert str(raised.value).startswith(f'image {str(path)!r} {cause}')


def test_a_whole_image_is_not_cut_short():
    for content in (
        with_thumbnail(),
        jpeg() + bytes(512),  # padded
        jpeg() + b'camera data',
        jpeg().replace(b'\xff\xdb', b'\xff\xff\xdb', 1),  # a fill byte
        png(BGR) + b'\n',
        KINDS['webp'][0][:99],  # an unknown format
        b'text',
    ):
        assert not is_cut_short(content)


def test_options():
    assert LoadImageFromFile(color_type='grayscale').color_type == 'grayscale'
    with pytest.raises(ValueError, match='ignore_empty must be False'):
        LoadImageFromFile(ignore_empty=True)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        assert isinstance(TRANSFORMS.build(LOAD), LoadImageFromFile)
    # mmpretrain's inferencer removes it, and loads images itself.
    assert remove_transform([LOAD], 'LoadImageFromFile') == []


def test_every_pipeline_takes_an_image_of_one_pixel(tmp_path):
    path = tmp_path / '1x1.png'
    path.write_bytes(png(BGR[:1, :1]))
    cfg = Config.fromfile(ROOT / 'configs/_base_/datasets/imagenet_lt.py')
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        for name in ('one_view', 'three_views_rand_rand', 'test_view'):
            data = dict(img_path=str(path), gt_label=0)
            for step in cfg[name]:
                data = TRANSFORMS.build(step)(data)
            inputs = data['inputs']
            for view in inputs if isinstance(inputs, list) else [inputs]:
                assert view.shape == (3, 224, 224)
