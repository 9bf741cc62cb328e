"""The thresholds of near-duplicates, on real images."""

import cv2
import numpy as np
from sklearn.datasets import load_digits, load_sample_images

from bcl_mm.datasets.fingerprints import FINGERPRINT, fingerprint
from bcl_mm.datasets.near_duplicates import (
    MAX_BITS,
    hamming_distances,
    look_alike,
    near_pairs,
)


def fingerprints(images):
    return np.array([fingerprint(image) for image in images], FINGERPRINT)


def are_near(a, b):
    distances = hamming_distances(
        np.ascontiguousarray(a['hash']), np.ascontiguousarray(b['hash'])
    )
    return (distances <= MAX_BITS) & look_alike(a['thumbnail'], b['thumbnail'])


def count_near(rows, groups):
    pairs = set()
    for i, j in near_pairs(np.ascontiguousarray(rows['hash']), groups):
        near = look_alike(rows['thumbnail'][i], rows['thumbnail'][j])
        pairs.update(zip(i[near].tolist(), j[near].tolist()))
    return len(pairs)


def crops(number):
    """Parts of two photographs that show different things, or shifted."""
    random = np.random.RandomState(0)
    photos = load_sample_images().images
    for i in range(number):
        height, width = random.randint(120, 250), random.randint(160, 400)
        top = random.randint(427 - height)
        left = random.randint(640 - width)
        crop = photos[i % 2][top : top + height, left : left + width]
        yield np.ascontiguousarray(crop)


def test_nothing_is_invented():
    digits = load_digits()
    images = (digits.images * (255 / 16)).astype(np.uint8)
    assert count_near(fingerprints(images), digits.target) == 0
    assert count_near(fingerprints(crops(200)), np.arange(200)) == 0


def test_compressed_and_smaller_copies_are_found():
    images = list(crops(100))
    rows = fingerprints(images)
    jpeg = [cv2.IMWRITE_JPEG_QUALITY, 50]
    for change in (
        lambda image: cv2.imdecode(cv2.imencode('.jpg', image, jpeg)[1], 1),
        lambda image: cv2.resize(
            image, None, fx=0.4, fy=0.4, interpolation=cv2.INTER_AREA
        ),
        lambda image: np.minimum(image, 255 / 1.05) * 1.05,
    ):
        copies = [change(image).astype(np.uint8) for image in images]
        assert are_near(rows, fingerprints(copies)).mean() >= 0.95
    # Another colour is another image.
    copies = [np.ascontiguousarray(image[..., ::-1]) for image in images]
    assert are_near(rows, fingerprints(copies)).mean() < 0.3
