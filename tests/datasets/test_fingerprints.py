import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from bcl_mm.datasets.fingerprints import (
    FINGERPRINT,
    check_image,
)
from bcl_mm.datasets.transforms.loading import (
    CorruptImageError,
    LoadImageFromFile,
)

NONE = np.zeros((), FINGERPRINT)


def test_check_image(tmp_path):
    photo = load_sample_images().images[0][:64, :64]
    image = Image.fromarray(photo)
    for name in ('a.png', 'b.jpg', 'c.bmp'):
        image.save(tmp_path / name)
        problem, content = check_image(str(tmp_path / name))
        assert not problem
        assert content['known']
    assert check_image(str(tmp_path)) == ('is a folder', NONE)
    assert check_image(str(tmp_path / 'no.png')) == ('is missing', NONE)
    for name in ('a.png', 'b.jpg'):
        content = (tmp_path / name).read_bytes()
        cut = tmp_path / f'cut_{name}'
        cut.write_bytes(content[: len(content) // 2])
        size = len(content) // 2
        problem = f'is cut short: it ends after {size} bytes'
        assert check_image(str(cut)) == (problem, NONE)
        assert check_image(str(cut), fast=True) == ('', NONE)
        if name == 'a.png':  # complete, but its checksums are wrong
            middle = slice(len(content) // 2, len(content) // 2 + 50)
            damaged = bytearray(content)
            damaged[middle] = bytes(50)
            cut.write_bytes(damaged)
            problem, _ = check_image(str(cut))
            assert problem.startswith('cannot be decoded: ')


@pytest.mark.parametrize(
    ('name', 'mode', 'kind'),
    [
        ('a.tif', 'I', 'TIFF of mode I'),
        ('a.tif', 'F', 'TIFF of mode F'),
        ('a.tga', 'RGB', 'TGA of mode RGB'),
        ('a.ico', 'RGB', 'ICO of mode RGB'),
    ],
)
def test_images_that_only_training_refuses(tmp_path, name, mode, kind):
    path = str(tmp_path / name)
    Image.new(mode, (16, 16)).save(path)
    with pytest.raises(CorruptImageError):
        LoadImageFromFile().transform(dict(img_path=path))
    problem, content = check_image(path)
    assert problem.startswith(f'is {kind}')
    assert problem.endswith('which training cannot decode: convert it')
    assert content == NONE
