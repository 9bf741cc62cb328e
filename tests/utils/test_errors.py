import math
import re

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from bcl_mm.utils.errors import (
    check_flag,
    check_number,
    described,
    place_of,
)


@pytest.mark.parametrize(
    ('value', 'rule', 'message'),
    [
        (0, dict(above=0), '> 0, got 0'),
        (-1, dict(at_least=0), '>= 0, got -1'),
        (2.0, dict(below=2), '< 2, got 2.0'),
        (3, dict(at_most=2), '<= 2, got 3'),
        (1, dict(at_least=0, below=1), 'in [0, 1), got 1'),
        (0, dict(above=0, at_most=1), 'in (0, 1], got 0'),
        (math.nan, dict(above=0), 'finite, got nan'),
        (np.float32('inf'), {}, 'finite, got inf'),
        (10**400, dict(whole=True), 'finite, got 1000'),
    ],
)
def test_numbers_out_of_range(value, rule, message):
    with pytest.raises(ValueError, match=re.escape(f'x must be {message}')):
        check_number('x', value, **rule)


@pytest.mark.parametrize(
    ('value', 'whole'),
    [
        *((value, False) for value in ('0.1', None, [1], True, 1j)),
        *((value, False) for value in (torch.ones(()), np.True_)),
        *((value, True) for value in (2.0, '2', None, False)),
    ],
)
def test_no_numbers(value, whole):
    kind = 'a whole number' if whole else 'a number'
    message = re.escape(f'x must be {kind}, got {value!r}')
    with pytest.raises(TypeError, match=f'^{message}$'):
        check_number('x', value, whole=whole)


class Refusing:
    """A data set of which no image can be loaded."""

    def __init__(self, *words):
        self.words = words

    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise FileNotFoundError(*self.words)


def caught(function, *args):
    with pytest.raises(Exception) as error:  # noqa: PT011
        function(*args)
    return error.value


@pytest.mark.parametrize('workers', [0, 1])
def test_errors_without_a_message_are_described_by_their_place(workers):
    """Errors of data workers, too, which hold their traceback as text."""

    def load(*words):
        next(iter(DataLoader(Refusing(*words), num_workers=workers)))

    place = r'test_errors.py, line \d+: raise FileNotFoundError.\*self.words.'
    error = caught(load)
    assert re.fullmatch(f'FileNotFoundError in {place}', described(error))
    error = caught(load, ' a\n b: c ')
    assert described(error) == 'FileNotFoundError: a b: c'
    assert re.fullmatch(place, place_of(error))


def test_descriptions_of_errors():
    error = caught(exec, 'raise KeyError')
    assert re.match(r'KeyError in test_errors.py, line \d+', described(error))
    assert described(KeyError()) == 'KeyError without a message'
    assert place_of(KeyError()) == ''
    assert described(KeyError('a')) == "KeyError: 'a'"
    assert described(ValueError('x' * 501)) == f'ValueError: {"x" * 500} ...'


def test_what_passes():
    for value in (0, 1.5, np.float32(2), np.int64(3), 10**300):
        check_number('x', value, at_least=0)
    for value in (2, np.uint8(2)):
        check_number('x', value, above=1, at_most=2, whole=True)
    for value in (True, False, np.True_):
        check_flag('x', value)
    with pytest.raises(ValueError, match='finite, got an integer of thousa'):
        check_number('x', 10**9999)
    with pytest.raises(TypeError, match=r'got \[0, 0.* \.\.\.$'):
        check_number('x', [0] * 1000)


@pytest.mark.parametrize('value', ['no', 1, None])
def test_no_flags(value):
    message = f'x must be True or False, got {value!r}'
    with pytest.raises(TypeError, match=message):
        check_flag('x', value)
