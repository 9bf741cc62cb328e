"""Identical images and near-duplicates, in splits made of arrays."""

import cv2
import numpy as np
import pytest

from bcl_mm.datasets.audit import Split
from bcl_mm.datasets.fingerprints import FINGERPRINT, fingerprint
from bcl_mm.datasets.mirrored import mirrored_classes
from bcl_mm.datasets.near_duplicates import (
    hamming_distances,
    look_alike,
    near_pairs,
)
from bcl_mm.datasets.same_images import (
    check_near_duplicates,
    check_same_images,
)
from tests.trees import random_image


def split_of(name, images, published=()):
    """A split of (image, label, path)."""
    pixels, labels, paths = zip(*images)
    rows = [
        np.zeros((), FINGERPRINT) if p is None else fingerprint(p)
        for p in pixels
    ]
    counts = np.bincount(labels)
    names = [f'c{i}' for i in range(len(counts))]
    return Split(
        name,
        np.array(labels),
        list(paths),
        np.array(rows, FINGERPRINT),
        counts,
        names,
        dict(published),
    )


def texts(findings):
    return [finding.text for finding in findings]


def test_every_kind_of_identical_images():
    images = [random_image(seed) for seed in range(8)]
    train = split_of(
        'train',
        [
            (images[0], 0, '/a'),
            (images[0], 1, '/b'),  # a conflict in training
            (images[1], 0, '/c'),
            (images[1], 0, '/d'),
            (images[1], 0, '/e'),  # twice too often
            (images[2], 1, '/f'),  # also for validation
            (images[3], 2, '/g'),  # a conflict with the test
            (images[4], 2, '/h'),
            (None, 0, '/broken'),
            (None, 1, '/broken too'),
        ],
    )
    val = split_of(
        'val',
        [
            (images[2], 1, '/v'),
            (images[2], 1, '/w'),
            (images[5], 0, '/x'),
            (images[6], 0, '/y'),
            (images[6], 2, '/z'),  # a conflict in validation
        ],
    )
    test = split_of('test', [(images[3], 0, '/t'), (images[5], 0, '/u')])
    found = check_same_images([train, val, test])
    assert texts(found.problems) == [
        'train: /a (c0) is the same image as train: /b (c1)',
        'train: /f (c1) is the same image as val: /v (c1) and val: /w (c1)',
        'train: /g (c2) is the same image as test: /t (c0)',
        'val: /y (c0) is the same image as val: /z (c2)',
    ]
    assert texts(found.warnings) == [
        'train: /c (c0) is the same image as train: /d (c0) and train: /e '
        '(c0)',
        'val: /x (c0) is the same image as test: /u (c0)',
    ]
    assert list(map(tuple, found.exclusions)) == [
        ('/a', 'c0', 'train', 'label conflict', '/b'),
        ('/b', 'c1', 'train', 'label conflict', '/a'),
        ('/d', 'c0', 'train', 'duplicate', '/c'),
        ('/e', 'c0', 'train', 'duplicate', '/c'),
        ('/f', 'c1', 'train', 'training image in val', '/v'),
        ('/w', 'c1', 'val', 'duplicate', '/v'),
        ('/g', 'c2', 'train', 'label conflict', '/t'),
        ('/t', 'c0', 'test', 'label conflict', '/g'),
        ('/y', 'c0', 'val', 'label conflict', '/z'),
        ('/z', 'c2', 'val', 'label conflict', '/y'),
    ]


def test_classes_are_the_same_if_their_names_are():
    image = random_image(0)
    train = split_of('train', [(image, 1, '/a'), (random_image(1), 0, '/b')])
    val = split_of('val', [(image, 0, '/c')])
    (problem,) = texts(check_same_images([train, val]).problems)
    assert '/a (c1) is the same image as val: /c (c0)' in problem
    val.classes = ['c1']
    (finding,) = check_same_images([train, val]).problems
    assert finding.kind == 'images of training and testing'
    val.classes = None  # then the labels count
    (finding,) = check_same_images([train, val]).problems
    assert finding.kind == 'identical images of different classes'


def test_a_known_data_set_is_as_it_is():
    image = random_image(0)
    for published, path in ((dict(images=2), '/a'), ({}, '')):
        train = split_of(
            'train', [(image, 0, path), (image, 1, path and '/b')], published
        )
        found = check_same_images([train])
        assert len(found.warnings) == 1
        assert not (found.problems or found.exclusions)


def test_clean_data_have_no_findings():
    train, val = (
        split_of(
            name,
            [
                (random_image(seed), seed % 3, f'/{seed}')
                for seed in range(start, start + 150)
            ],
        )
        for name, start in (('train', 0), ('val', 150))
    )
    for check in (check_same_images, check_near_duplicates):
        found = check([train, val])
        assert not (found.problems or found.warnings or found.notes)


def test_near_duplicates_are_found_across_classes_and_splits():
    image = random_image(0, size=(90, 120))
    jpeg = cv2.imdecode(
        cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, 75])[1], 1
    )
    small = cv2.resize(image, (60, 45), interpolation=cv2.INTER_AREA)
    other_colour = image[..., ::-1]
    flat = np.full((30, 30, 3), 7, np.uint8)
    train = split_of(
        'train',
        [
            (image, 0, '/a'),
            (jpeg, 0, '/usual in a class'),
            (small, 1, '/b'),
            (other_colour, 2, '/c'),
            (flat, 0, '/d'),
            (flat + 1, 1, '/e'),
            (image[:7, :7], 2, '/tiny'),
        ],
    )
    val = split_of('val', [(image // 1 + (image < 9), 0, '/v')])
    found = check_near_duplicates([train, val])
    assert texts(found.warnings) == [
        'train: /a (c0) looks almost like train: /b (c1)',
        'train: /b (c1) looks almost like val: /v (c0)',
        'train: /a (c0) looks almost like val: /v (c0)',
    ]
    assert not found.problems
    (note,) = texts(found.notes)
    assert note.startswith('3 images smaller than 8 x 8 pixels or nearly')


def test_near_pairs_are_those_of_a_loop():
    random = np.random.RandomState(0)
    centres = random.randint(0, 2**63, 40, dtype=np.uint64)
    flips = np.array(
        [
            sum(1 << int(b) for b in random.choice(64, random.randint(9)))
            if random.rand() < 0.9
            else 0
            for _ in range(400)
        ],
        dtype=np.uint64,
    )
    hashes = np.repeat(centres, 10) ^ flips
    groups = random.randint(0, 3, 400)
    for most in (0, 2, 4, 6):
        expected = {
            (i, j)
            for i in range(400)
            for j in range(i + 1, 400)
            if groups[i] != groups[j]
            and bin(int(hashes[i] ^ hashes[j])).count('1') <= most
        }
        pairs = near_pairs(hashes, groups, most)
        found = {
            pair for i, j in pairs for pair in zip(i.tolist(), j.tolist())
        }
        assert {tuple(sorted(pair)) for pair in found} == expected
        assert expected
    a, b = np.array([0, 2**64 - 1, 5], np.uint64), np.zeros(3, np.uint64)
    assert hamming_distances(a, b).tolist() == [0, 64, 2]


def test_thumbnails_may_differ_by_as_much():
    a = np.full((2, 8, 8, 3), 250, np.uint8)
    b = a.copy()
    b[0, 0, 0, 0] -= 20
    b[1, 7, 7, 2] -= 21
    assert look_alike(a, b).tolist() == [True, False]


def letters(number, shear):
    """Fingerprints of b-like shapes, their mirror images, and crosses."""
    random = np.random.RandomState(3)
    rows, labels = [], []
    for _ in range(number):
        x, y = random.randint(-2, 3, 2)
        b = np.full((64, 64), 250, np.uint8)
        cv2.line(b, (22 + x, 10 + y), (22 + x + shear, 54 + y), 5, 5)
        cv2.circle(b, (34 + x, 42 + y), 11, 5, 5)
        cross = np.full((64, 64), 250, np.uint8)
        cv2.line(cross, (14 + x, 14 + y), (50 + x, 50 + y), 5, 5)
        cv2.line(cross, (50 + x, 14 + y), (14 + x, 50 + y), 5, 5)
        for label, image in enumerate((b, b[:, ::-1], cross, cross, ~b)):
            rows.append(fingerprint(np.ascontiguousarray(image)))
            labels.append(label)
    return np.array(rows, FINGERPRINT), np.array(labels)


@pytest.mark.parametrize('number', [12, 150])
def test_mirrored_classes(number):
    rows, labels = letters(number, shear=0)
    pairs = mirrored_classes(rows['hash'], rows['mirrored'], labels)
    assert [(pair.first, pair.second) for pair in pairs] == [(0, 1)]
    assert pairs[0].mirrored_share > 0.9
    assert pairs[0].plain_share == 0
    # The crosses of two classes resemble each other without a flip, too.
    few = labels < 2
    assert not mirrored_classes(
        rows['hash'][few], rows['hash'][few], labels[few]
    )


@pytest.mark.parametrize(('number', 'is_found'), [(4, False), (5, True)])
def test_too_few_images_are_not_compared(number, is_found):
    rows, labels = letters(number, shear=0)
    pairs = mirrored_classes(rows['hash'], rows['mirrored'], labels)
    assert bool(pairs) == is_found


def nearest_oracle(hashes, mirrored, labels):
    """Shares (C, C) of images that resemble each class most, flipped."""
    shares = np.zeros((labels.max() + 1,) * 2)
    for own, flipped in zip(labels, mirrored):
        bits = [bin(int(flipped) ^ int(other)).count('1') for other in hashes]
        near = [c for c, b in zip(labels, bits) if b == min(bits)]
        for label in near:
            shares[own, label] += 1 / len(near) / (labels == own).sum()
    return shares


def test_shares_of_mirrored_classes():
    # Some of the flipped images of each resemble the other; a few bits of
    # noise, and unsorted labels.
    random = np.random.RandomState(5)
    prototypes = random.randint(0, 2**62, 4).astype(np.uint64)
    labels = random.permutation(np.repeat(np.arange(3), [9, 12, 15]))
    goals = np.where(random.rand(36) < 0.7, np.array([1, 0, 2])[labels], 3)
    noise = [np.uint64(1 << random.randint(62)) for _ in range(72)]
    hashes = prototypes[labels] ^ noise[:36]
    mirrored = prototypes[goals] ^ noise[36:]
    (pair,) = mirrored_classes(hashes, mirrored, labels)
    shares = nearest_oracle(hashes, mirrored, labels)
    assert (pair.first, pair.second, pair.plain_share) == (0, 1, 0)
    expected = (shares[0, 1] + shares[1, 0]) / 2
    assert 0.5 < pair.mirrored_share < 1
    np.testing.assert_allclose(pair.mirrored_share, expected, rtol=1e-6)


def test_no_images_have_no_mirrored_classes():
    nothing = np.zeros(0, np.uint64)
    assert mirrored_classes(nothing, nothing, np.zeros(0, int)) == []
