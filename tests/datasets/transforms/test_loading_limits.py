"""Files that never end or take too much memory are refused unread."""

import os
import socket
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from bcl_mm.datasets.fingerprints import check_image
from bcl_mm.datasets.transforms.loading import (
    CorruptImageError,
    LoadImageFromFile,
)


def load(path, **options):
    return LoadImageFromFile(**options)(dict(img_path=str(path)))['img']


def png_of(width, height):
    """A small PNG, correct or not, whose header promises much."""

    def chunk(name, content):
        checksum = struct.pack('>I', zlib.crc32(name + content))
        return struct.pack('>I', len(content)) + name + content + checksum

    header = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    parts = chunk(b'IHDR', header), chunk(b'IDAT', b''), chunk(b'IEND', b'')
    return b'\x89PNG\r\n\x1a\n' + b''.join(parts)


def encoded(kind, **options):
    """A grey image of 200 x 100 pixels."""
    stream = BytesIO()
    image = Image.fromarray(np.zeros((100, 200), np.uint8))
    image.save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize('kind', ['fifo', 'zero', 'socket'])
def test_only_regular_files_are_opened(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as server:
        make = dict(
            fifo=os.mkfifo,
            zero=lambda path: os.symlink('/dev/zero', path),
            socket=server.bind,
        )
        make[kind]('x.png')
        message = "image 'x.png' is not a regular file"
        with pytest.raises(CorruptImageError, match=message):
            load('x.png')
        for fast in (False, True):
            assert check_image('x.png', fast)[0] == 'is not a regular file'


@pytest.mark.parametrize(
    ('name', 'content'),
    [
        ('x.png', png_of(30_000, 30_000)),
        ('x.jpg', png_of(10**9, 10**9)),
        ('x.pgm', b'P5 30000 30000 255\n'),
        (
            'x.gif',
            b'GIF89a'
            + struct.pack('<HHxxx', 60_000, 60_000)
            + struct.pack('<cHHHHx', b',', 0, 0, 60_000, 60_000)
            + b'\2\1\0\0;',
        ),
    ],
)
def test_a_bomb_is_refused_by_its_header(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    message = r'000 pixels, more than max_pixels=178,956,970: shrink it, or r'
    with pytest.raises(CorruptImageError, match=message):
        load(path)
    assert 'more than max_pixels' in check_image(str(path))[0]


@pytest.mark.parametrize(
    ('kind', 'options'),
    [
        ('PNG', {}),
        ('JPEG', {}),
        ('TIFF', dict(compression='tiff_lzw')),
        ('WEBP', {}),
        ('GIF', {}),
        ('BMP', {}),
        ('PPM', {}),
        ('PNG', dict(save_all=True, append_images=[Image.new('L', (200, 9))])),
        ('GIF', dict(save_all=True, append_images=[Image.new('L', (9, 9))])),
    ],
)
def test_the_limit_is_an_option(tmp_path, kind, options):
    path = tmp_path / 'x.png'
    path.write_bytes(encoded(kind, **options))
    assert load(path, max_pixels=20_000).shape == (100, 200, 3)
    message = 'has 200 x 100 pixels, more than max_pixels=19,999'
    with pytest.raises(CorruptImageError, match=message):
        load(path, max_pixels=19_999)


def test_pils_limit_does_not_matter(tmp_path, monkeypatch):
    path = tmp_path / 'x.png'
    path.write_bytes(encoded('PNG'))
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 10)
    assert load(path).shape == (100, 200, 3)
    assert Image.MAX_IMAGE_PIXELS == 10


def test_metadata_that_pil_refuses_do_no_harm(tmp_path):
    path = tmp_path / 'x.png'
    info = PngInfo()
    info.add_text('workflow', 'x' * 2_000_000, zip=True)
    path.write_bytes(encoded('PNG', pnginfo=info))
    with pytest.raises(ValueError, match='Decompressed data too large'):
        Image.open(path)
    assert load(path).shape == (100, 200, 3)


def test_a_huge_file_is_not_read(tmp_path):
    path = tmp_path / 'x.png'
    with open(path, 'wb') as file:
        file.truncate(2**40)  # sparse
    with pytest.raises(CorruptImageError, match='has 1,099,511,627,776 byte'):
        load(path)


def test_what_only_opencv_knows_is_refused(tmp_path):
    """Its size could not be told before it is decoded."""
    path = tmp_path / 'x.png'
    path.write_bytes(b'#?RADIANCE\n\n-Y 30000 +X 30000\n' + bytes(99))
    with pytest.raises(CorruptImageError, match='is not an image'):
        load(path)


@pytest.mark.parametrize('value', [0, -1])
def test_the_limit_is_positive(value):
    with pytest.raises(ValueError, match='max_pixels must be .*, got'):
        LoadImageFromFile(max_pixels=value)


def test_threads_leave_the_limit_of_pil_as_it_was(tmp_path):
    path = str(tmp_path / 'image.jpg')
    Image.new('RGB', (8, 8)).save(path)
    limit = Image.MAX_IMAGE_PIXELS
    load = LoadImageFromFile()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(load.read, [path] * 2000))
    assert limit == Image.MAX_IMAGE_PIXELS
