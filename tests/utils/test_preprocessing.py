"""The pixels of training and testing, without torch."""

import json
import subprocess
import sys
from io import BytesIO

import cv2
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from bcl_mm.datasets.transforms.loading import (
    CorruptImageError,
    LoadImageFromFile,
)
from bcl_mm.utils import preprocessing
from bcl_mm.utils.preprocessing import load_rgb, preprocess, to_grey

PHOTO = load_sample_images().images[0][200:267, 250:343]  # RGB
ALPHA = np.arange(93, dtype=np.uint8)[None].repeat(67, axis=0)
LEVELS = np.random.RandomState(0).randint(0, 2**16, (67, 93, 4), np.uint16)


def encode(image, kind, **options):
    stream = BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def odd_images():
    """Files of all kinds, by name."""
    photo = Image.fromarray(PHOTO)
    grey, palette = photo.convert('L'), photo.quantize(64)
    clear = photo.copy()
    clear.putalpha(Image.fromarray(ALPHA))
    files = {}
    for turn in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = turn
        for kind in ('JPEG', 'PNG', 'TIFF', 'WEBP'):
            files[f'{kind} turned {turn}'] = encode(photo, kind, exif=exif)
    for kind in ('PNG', 'TIFF', 'WEBP', 'BMP'):
        files[f'{kind} RGBA'] = encode(clear, kind)
    for kind in ('PNG', 'TIFF'):
        files[f'{kind} LA'] = encode(clear.convert('LA'), kind)
        files[f'{kind} 1'] = encode(photo.convert('1'), kind)
        files[f'{kind} P'] = encode(palette, kind)
        files[f'{kind} I;16'] = encode(Image.fromarray(LEVELS[..., 0]), kind)
        for depth in (1, 3, 4):
            content = cv2.imencode(f'.{kind.lower()}', LEVELS[..., :depth])[1]
            files[f'{kind} {depth} x 16'] = content.tobytes()
    files['PNG P clear'] = encode(palette, 'PNG', transparency=bytes(range(9)))
    for kind in ('JPEG', 'TIFF'):
        files[f'{kind} CMYK'] = encode(photo.convert('CMYK'), kind)
        files[f'{kind} grey'] = encode(grey, kind)
    files['JPEG half'] = encode(photo, 'JPEG', subsampling=2, progressive=True)
    files['PGM'] = encode(grey, 'PPM')
    files['PPM'] = encode(photo, 'PPM')
    levels = LEVELS[..., 0]
    files['PGM 16'] = b'P5 93 67 65535\n' + levels.astype('>u2').tobytes()
    levels = (levels % 101).astype(np.uint8)
    files['PGM of 100'] = b'P5 93 67 100\n' + levels.tobytes()
    return files


ODD = odd_images()


@pytest.mark.parametrize('kind', ODD)
@pytest.mark.filterwarnings('error')
def test_pixels_are_those_of_the_loader(tmp_path, kind):
    path = tmp_path / 'image'
    path.write_bytes(ODD[kind])
    expected = LoadImageFromFile()(dict(img_path=str(path)))['img']
    assert np.array_equal(load_rgb(path), expected[..., ::-1])
    assert np.array_equal(load_rgb(ODD[kind]), expected[..., ::-1])


def test_what_is_stored():
    """Not only alike, but right."""
    for kind in ('PNG RGBA', 'TIFF RGBA', 'BMP RGBA', 'PNG 1', 'TIFF 1'):
        is_black = kind.endswith('1')
        expected = Image.fromarray(PHOTO).convert('1') if is_black else PHOTO
        expected = np.asarray(expected).astype(np.uint8)
        if is_black:
            expected = np.repeat(255 * expected[..., None], 3, axis=2)
        assert np.array_equal(load_rgb(ODD[kind]), expected), kind
    for kind in ('PNG I;16', 'TIFF I;16', 'PGM 16'):
        assert np.array_equal(load_rgb(ODD[kind])[..., 1], LEVELS[..., 0] >> 8)
    brightest = load_rgb(ODD['PGM of 100']).max()
    assert brightest == 255
    # Orientation 6: the camera was turned by a quarter.
    assert np.array_equal(load_rgb(ODD['PNG turned 6']), np.rot90(PHOTO, -1))


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'no image', 'the image cannot be used: cannot identify image'),
        (ODD['JPEG turned 1'][:-2], 'cannot be used: it is cut short'),
        (ODD['TIFF turned 1'][:999], 'the image cannot be used: '),
        (
            encode(Image.fromarray(np.float32(ALPHA)), 'TIFF'),
            'it has samples of 32 bits: convert it to 8 or 16 bits',
        ),
    ],
)
def test_what_cannot_be_loaded_is_told(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        load_rgb(content)
    path = tmp_path / 'image.tif'
    path.write_bytes(content)
    name = f"image PosixPath('{path}') cannot be used: "
    with pytest.raises(ValueError, match='cannot be used') as raised:
        load_rgb(path)
    assert str(raised.value).startswith(name)
    with pytest.raises(CorruptImageError):
        LoadImageFromFile()(dict(img_path=str(path)))
    with pytest.raises(ValueError, match='cannot be used: it is not a file'):
        load_rgb(tmp_path)


def test_grey_is_that_of_opencv():
    colours = np.random.RandomState(0).randint(0, 256, (999, 333, 3), np.uint8)
    expected = cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY)
    assert np.array_equal(to_grey(colours, {}), expected)


def test_metadata_are_checked():
    with pytest.raises(ValueError, match='must have "preprocessing", got onl'):
        preprocess(ODD['PNG 1'], dict(classes='[]'))
    problem = dict(preprocessing=json.dumps(dict(problem='it is odd')))
    message = 'this model needs other preprocessing: it is odd'
    with pytest.raises(ValueError, match=message):
        preprocess(ODD['PNG 1'], problem)


def test_the_file_stands_alone(tmp_path):
    """Copied to another folder, with NumPy and Pillow alone."""
    with open(preprocessing.__file__) as file:
        (tmp_path / 'preprocessing.py').write_text(file.read())
    code = (
        'import json, sys, preprocessing\n'
        'steps = [dict(step="resize", size=[8, 8], filter="bilinear")]\n'
        'metadata = dict(preprocessing=json.dumps(dict(steps=steps)))\n'
        'image = preprocessing.preprocess(sys.stdin.buffer.read(), metadata)\n'
        'assert image.shape == (3, 8, 8) and image.dtype.name == "float32"\n'
        'assert not {"torch", "cv2", "bcl_mm", "mmcv"} & set(sys.modules)\n'
    )
    subprocess.run(
        [sys.executable, '-c', code],
        input=ODD['PNG 1'],
        cwd=tmp_path,
        env=dict(PYTHONPATH=str(tmp_path)),
        check=True,
    )
