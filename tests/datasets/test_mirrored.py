"""Mirrored classes among rendered letters and handwritten digits."""

from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from sklearn.datasets import load_digits

from bcl_mm.datasets.fingerprints import FINGERPRINT, fingerprint
from bcl_mm.datasets.mirrored import mirrored_classes

FONTS = Path(matplotlib.get_data_path(), 'fonts', 'ttf')


def letter(text, random):
    """One of four fonts, in some size, place and colours."""
    faces = (
        'DejaVuSans',
        'DejaVuSans-Bold',
        'DejaVuSans-Oblique',
        'DejaVuSerif',
    )
    path = FONTS / f'{random.choice(faces)}.ttf'
    font = ImageFont.truetype(str(path), int(random.integers(30, 40)))
    paper, ink = random.integers(200, 256, 3), random.integers(0, 90, 3)
    image = Image.new('RGB', (48, 48), tuple(paper.tolist()))
    place = (24 + random.integers(-4, 5, 2)).tolist()
    ImageDraw.Draw(image).text(
        place, text, font=font, anchor='mm', fill=tuple(ink.tolist())
    )
    return np.asarray(image)


def pairs_of(images, labels):
    rows = np.array([fingerprint(image) for image in images], FINGERPRINT)
    found = mirrored_classes(rows['hash'], rows['mirrored'], np.array(labels))
    return [(pair.first, pair.second) for pair in found]


@pytest.mark.parametrize('number', [8, 30])
def test_of_letters_b_and_d_are_found(number):
    random = np.random.default_rng(0)
    labels = [label for label in range(6) for _ in range(number)]
    images = [letter('bdxOTk'[label], random) for label in labels]
    assert pairs_of(images, labels) == [(0, 1)]


def test_no_pair_of_handwritten_digits_is_found():
    digits = load_digits()
    pixels = (digits.images[:600] * 15).astype(np.uint8)
    large = [np.kron(image, np.ones((4, 4), np.uint8)) for image in pixels]
    assert pairs_of(large, digits.target[:600]) == []
