"""The choices of bcl-mm try."""

import numpy as np
import pytest
import torch

from bcl_mm.apis.data_check import CheckResult
from bcl_mm.apis.timing import Timing
from bcl_mm.apis.trial import (
    Trial,
    check_methods,
    choose_epochs,
    choose_size,
    digest_of,
    read_trial,
    total_seconds,
)
from bcl_mm.datasets.audit import Split
from bcl_mm.datasets.fingerprints import FINGERPRINT, fingerprint
from bcl_mm.utils.errors import InputValueError

BLACK, WHITE = np.zeros((2, 2), np.uint8), np.ones((2, 2), np.uint8)


def split(labels=(0, 1), images=(BLACK, WHITE), names=('x.png', 'y.png')):
    prints = np.array([fingerprint(image) for image in images], FINGERPRINT)
    counts = np.bincount(labels)
    return Split(
        'train', np.array(labels), list(names), prints, counts, None, {}
    )


def test_the_most_epochs_that_fit():
    # 2 + E and 2 + 3 E seconds, a validation of 1 s each; the report: 2 + 4.
    timings = Timing(2, 1, 1), Timing(2, 3, 1)
    assert total_seconds(timings, 5, 5) == 8 + 18 + 2 + 4
    for seconds, epochs in (
        (total_seconds(timings, 9, 5), 9),
        (total_seconds(timings, 9, 5) - 0.1, 8),
        (10_000, 30),
        (1, 0),
    ):
        assert choose_epochs(timings, seconds, 30, 5) == epochs
    # Side by side: as long as the longest.
    assert total_seconds(timings, 5, 5, jobs=2) == 18 + 2 + 4


@pytest.mark.parametrize(
    ('has_gpu', 'side', 'size', 'why'),
    [
        (False, 300, 'small', 'this machine has no GPU'),
        (True, 300, 'large', 'has 300 pixels'),
        (True, 65, 'large', 'has 65 pixels'),
        (True, 64, 'small', 'has 64 pixels'),
    ],
)
def test_the_size(monkeypatch, has_gpu, side, size, why):
    monkeypatch.setattr(torch.accelerator, 'is_available', lambda: has_gpu)
    parts = [split((0,), [np.zeros((n, 10))], 'x') for n in (side, side, 999)]
    found, reason = choose_size(CheckResult(splits=parts))
    assert found == size
    assert why in reason


def test_unknown_methods_are_told_the_known_ones():
    check_methods(['ce', 'la', 'bcl'], 'large')
    message = "'bxl' for own data of --size small; similar are bcl; there are"
    with pytest.raises(InputValueError, match=f'no method {message} .*ce, la'):
        check_methods(['ce', 'bxl'], 'small')


def test_what_makes_other_data():
    same = digest_of(CheckResult(splits=[split()]))
    assert digest_of(CheckResult(splits=[split()])) == same
    for other in (
        split(labels=(1, 0)),
        split(images=(BLACK, BLACK)),
        split(names=('x.png', 'z.png')),
    ):
        assert digest_of(CheckResult(splits=[other])) != same
    # In another order, they are the same.
    turned = split((1, 0), (WHITE, BLACK), ('y.png', 'x.png'))
    assert digest_of(CheckResult(splits=[turned])) == same


def test_written_and_read(tmp_path):
    assert read_trial(tmp_path) is None
    one = Trial('/a', 'a', 'd', 'small', ['x=1'], 2.5, 9)
    one.timings['ce'] = Timing(1, 2, 3)
    one.write(tmp_path)
    assert read_trial(tmp_path) == one
    (tmp_path / 'try.json').write_text('{"timings": {}, "other": 1}')
    with pytest.raises(InputValueError, match=r'try.json is damaged .*other'):
        read_trial(tmp_path)
    (tmp_path / 'try.json').write_bytes(b'\xff\xfe{')  # not even text
    with pytest.raises(InputValueError, match='try.json is damaged'):
        read_trial(tmp_path)
