"""What a checkpoint may contain, and what is refused."""

import os
import pickle
import re
import zipfile

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner.checkpoint import load_checkpoint

import bcl_mm  # noqa: F401  (allows what Runners write)


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def write(tmp_path, content):
    path = tmp_path / 'checkpoint.pth'
    torch.save(dict(state_dict={}, meta=dict(found=content)), path)
    return str(path)


def test_what_a_runner_writes_is_read(tmp_path):
    history = HistoryBuffer()
    for value in (1.0, 2.0, 4):
        history.update(value)
    arrays = [
        np.array([1, 2], dtype=dtype)
        for dtype in ('int64', 'float32', 'float64', 'bool', 'uint8')
    ]
    scalars = [np.float64(0.5), np.float32(2), np.int64(3)]
    path = write(tmp_path, [history, arrays, scalars])
    model = torch.nn.Module()
    loaded, others, numbers = load_checkpoint(model, path)['meta']['found']
    assert loaded.current() == 4
    assert loaded.mean() == history.mean()
    assert loaded.statistics('max') == 4
    for ours, theirs in zip(arrays, others):
        assert np.array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype
    assert numbers == scalars


@pytest.mark.parametrize('package', ['numpy.core', 'numpy._core'])
def test_both_spellings_of_numpy_are_read(tmp_path, package):
    """What numpy 1 wrote is read on numpy 2, and the other way round."""
    history = HistoryBuffer()
    history.update(2.0)
    found = [history, np.array([1, 2]), np.float64(0.5)]
    path = write(tmp_path, found)
    other = tmp_path / 'other.pth'
    spellings = re.compile(rb'cnumpy\._?core\.')
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(other, 'w') as new:
        for name in old.namelist():
            content = old.read(name)
            if name.endswith('data.pkl'):
                assert len(spellings.findall(content)) == 2
                spelling = b'c' + package.encode() + b'.'
                content = spellings.sub(spelling, content)
            new.writestr(name, content)
    checkpoint = load_checkpoint(torch.nn.Module(), str(other))
    loaded, array, number = checkpoint['meta']['found']
    assert loaded.mean() == 2
    assert array.tolist() == [1, 2]
    assert number == 0.5


@pytest.mark.parametrize(
    'make',
    [
        lambda mark: Call(os.system, f'touch {mark}'),
        lambda mark: Call(eval, f'open({str(mark)!r}, "w")'),
        lambda mark: Call(getattr, HistoryBuffer, '__init__'),
        lambda mark: Call(getattr, HistoryBuffer, '__globals__'),
        lambda mark: Call(getattr, np.ndarray, 'tofile'),
        lambda mark: np.array([Call(os.system, f'touch {mark}')]),
        lambda mark: np.array([1, 'a', None], dtype=object),
    ],
    ids=[
        'os.system',
        'eval',
        'a method of HistoryBuffer',
        'a getattr chain',
        'an attribute of an array',
        'an object array that calls',
        'an object array',
    ],
)
def test_code_is_refused_and_not_run(tmp_path, make):
    mark = tmp_path / 'was_run'
    path = write(tmp_path, make(mark))
    with pytest.raises((pickle.UnpicklingError, ValueError)):
        load_checkpoint(torch.nn.Module(), path)
    assert not mark.exists()
