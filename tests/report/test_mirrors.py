"""Confused classes that a flip turns into each other."""

import cv2
import numpy as np
import pytest
from PIL import Image

from bcl_mm.report.mirrors import confused_pairs, flips, mirror_notes
from bcl_mm.report.summary import Method
from tests.report.common import evaluation, trained_run

FLIP = dict(type='mmpretrain.RandomFlip', prob=0.5, direction='horizontal')
# b, d, a cross and a box, with 12 test images each; the d are taken for b,
# and a few boxes for crosses.
LABELS = np.repeat(np.arange(4), 12)
PREDICTIONS = np.where(LABELS == 1, 0, LABELS)
PREDICTIONS[-2:] = 2


def picture(index):
    label, random = LABELS[index], np.random.RandomState(index)
    x, y = random.randint(-2, 3, 2)
    image = np.full((64, 64), 250, np.uint8)
    if label < 2:
        cv2.line(image, (22 + x, 10 + y), (22 + x, 54 + y), 5, 5)
        cv2.circle(image, (34 + x, 42 + y), 11, 5, 5)
    elif label == 2:
        cv2.line(image, (14 + x, 14 + y), (50 + x, 50 + y), 5, 5)
        cv2.line(image, (50 + x, 14 + y), (14 + x, 50 + y), 5, 5)
    else:
        cv2.rectangle(image, (14 + x, 20 + y), (50 + x, 44 + y), 5, 5)
    return Image.fromarray(image[:, ::-1] if label == 1 else image)


def method(predictions=PREDICTIONS, pipeline=(FLIP,), classes='bdx#'):
    loader = dict(dataset=dict(dataset=dict(pipeline=list(pipeline))))
    run = trained_run(train_dataloader=loader)
    one = evaluation(predictions, LABELS, classes=list(classes))
    return Method('BCL', [run], [one])


def test_a_pair_is_named():
    (note,) = mirror_notes([method()], picture)
    assert note.startswith(
        'b and d look like mirror images of each other and are confused (12 '
        'times), and the training flips images'
    )
    assert 'augmentation=symbols' in note


def test_no_warning_without_a_reason():
    # Not confused; no flips; no images.
    assert mirror_notes([method(LABELS)], picture) == []
    assert mirror_notes([method(pipeline=[dict(FLIP, prob=0)])], picture) == []
    assert mirror_notes([method()], lambda index: None) == []
    # Mirror images, but confused with others.
    others = np.array([2, 3, 2, 3])[LABELS]
    assert mirror_notes([method(others)], picture) == []


def test_confusions_in_both_directions():
    methods = [method(), method(np.where(LABELS == 0, 1, LABELS))]
    assert confused_pairs(methods) == {(0, 1): 24, (2, 3): 2}


@pytest.mark.parametrize(
    ('settings', 'expected'),
    [
        (FLIP, True),
        (dict(type='bcl_mm.RandomFlip'), True),
        (dict(type='RandomHorizontalFlip', p=0), False),
        (dict(type='MultiView', transforms=[[dict(type='a'), FLIP]]), True),
        (dict(type='Resize'), False),
        (None, False),
    ],
)
def test_transforms_that_flip(settings, expected):
    assert flips(settings) == expected
