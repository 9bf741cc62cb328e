"""What a checkpoint may contain, and what is refused."""

import codecs
import collections
import os
import re
import resource
import time
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner.checkpoint import load_checkpoint

import bcl_mm.registry  # noqa: F401  (MMEngine loads as bcl_mm does)
from bcl_mm.utils.errors import InputValueError


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
    with pytest.raises(InputValueError, match='is refused, and nothing'):
        load_checkpoint(torch.nn.Module(), path)
    assert not mark.exists()


class Twice:
    """Pickles as calls of functions on the results of others."""

    def __init__(self, content, *functions):
        self.content, self.functions = content, functions

    def __reduce__(self):
        function, *arguments = self.functions[-1]
        content = self.content
        if len(self.functions) > 1:
            content = Twice(content, *self.functions[:-1])
        return function, (content, *arguments)


def storage(length=4):
    values = torch.zeros(length).untyped_storage()
    return torch.storage.TypedStorage(
        wrap_storage=values, dtype=torch.float32, _internal=True
    )


def nested():
    """A tuple that takes 2^60 steps to hash."""
    key = (1,)
    for _ in range(60):
        key = (key, key)
    return key


class Keyed:
    """Pickles as a dict with a key that takes long to hash."""

    def __reduce__(self):
        return OrderedDict, (), None, None, iter([(nested(), 1)])


FLOATS = storage(), 0
REBUILD = torch._utils._rebuild_tensor_v2
RECONSTRUCT = np.zeros(1).__reduce__()[0]
MANY = 8_000_000_000
GREEDY = {
    'bytes': Call(bytearray, MANY),
    'an array': Call(np.ndarray, (MANY,), 'f8'),
    'an array of objects': Call(np.ndarray, (MANY,), 'O'),
    'a part of an array': Call(RECONSTRUCT, np.ndarray, (MANY,), b'b'),
    'a large type': Call(np.dtype, f'V{MANY // 8}'),
    'a tensor': Call(torch.Tensor, MANY),
    'a typed tensor': Call(torch.FloatTensor, MANY),
    'numbers': Call(torch.UntypedStorage, MANY),
    'a text that doubles': Twice('a' * 99, *[(codecs.encode, 'hex')] * 40),
    'a repeated number': Call(
        REBUILD, *FLOATS, (MANY, MANY), (0, 0), False, OrderedDict()
    ),
    'a tensor without numbers': Call(
        REBUILD, *FLOATS, (MANY,), (1,), False, OrderedDict()
    ),
    'a key': Keyed(),
    'keys to count': Call(collections.Counter, [nested()]),
    'a history': Call(HistoryBuffer, nested(), nested()),
}


@pytest.mark.parametrize('is_old', [False, True], ids=['', 'old format'])
@pytest.mark.parametrize('content', GREEDY.values(), ids=GREEDY)
def test_sizes_are_checked_before_they_are_believed(tmp_path, content, is_old):
    path = tmp_path / 'greedy.pth'
    torch.save(
        dict(state_dict={}, meta=dict(found=content)),
        path,
        _use_new_zipfile_serialization=not is_old,
    )
    limits = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path('/proc/self/statm').read_text().split()[0]) * 4096
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**30, limits[1]))
    try:
        began = time.process_time()
        with pytest.raises(InputValueError, match='is refused, and nothing'):
            load_checkpoint(torch.nn.Module(), str(path))
        assert time.process_time() - began < 1
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def test_a_state_must_not_change_a_tensor(tmp_path):
    class Changed:
        def __reduce__(self):
            tensor = REBUILD, (*FLOATS, (4,), (1,), False, OrderedDict())
            state = storage(), 0, (MANY, MANY), (0, 0)
            return *tensor, state

    path = write(tmp_path, Changed())
    with pytest.raises(InputValueError, match='it sets the state of what'):
        load_checkpoint(torch.nn.Module(), path)


def rewritten(path, **options):
    """The same archive, written by another program."""
    other = path.with_name('other.pth')
    new = zipfile.ZipFile(other, 'w', **options)
    with zipfile.ZipFile(path) as old, new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    return other


def test_compressed_records_are_refused(tmp_path):
    path = tmp_path / 'zeros.pth'
    torch.save(dict(state_dict=dict(a=torch.zeros(10_000_000))), path)
    load_checkpoint(torch.nn.Module(), str(rewritten(path)))
    other = rewritten(path, compression=zipfile.ZIP_DEFLATED)
    assert other.stat().st_size < path.stat().st_size / 100
    with pytest.raises(InputValueError, match='its records are compressed'):
        load_checkpoint(torch.nn.Module(), str(other))


@pytest.mark.parametrize(
    ('make', 'what'),
    [
        (lambda: torch.ones(2, 2).to_sparse(), 'a sparse tensor'),
        (lambda: torch.ones(2, 2).to_sparse_csr(), 'a sparse tensor'),
        (lambda: torch.ones(2, device='meta'), 'without values'),
        (lambda: torch.ones(2).to(torch.float8_e4m3fn), 'unusual type'),
        (
            lambda: torch.quantize_per_tensor(
                torch.ones(2), 0.1, 0, torch.qint8
            ),
            'a quantised tensor',
        ),
    ],
    ids=['sparse', 'csr', 'meta', 'float8', 'quantised'],
)
@pytest.mark.filterwarnings('ignore')
def test_other_tensors_than_dense_ones_are_named(tmp_path, make, what):
    path = tmp_path / 'a.pth'
    torch.save(dict(state_dict=dict(weight=make())), path)
    with pytest.raises(InputValueError, match=what):
        load_checkpoint(torch.nn.Module(), str(path))


@pytest.mark.parametrize('is_old', [False, True], ids=['', 'old format'])
def test_usual_tensors_are_read(tmp_path, is_old):
    whole = torch.arange(12.0)
    state = dict(
        plain=whole,
        view=whole[2:8].reshape(2, 3).T,
        parameter=torch.nn.Parameter(torch.ones(2)),
        number=torch.tensor(3),
        empty=torch.empty(0, 3),
        half=torch.ones(2, dtype=torch.bfloat16),
        whole=torch.ones(2, dtype=torch.int8),
        complex=torch.ones(2, dtype=torch.complex64),
    )
    content = dict(
        state_dict=OrderedDict(state),
        optimizer=torch.optim.Adam([torch.ones(2)]).state_dict(),
        others=[collections.Counter([3, 3]), torch.Size([2]), torch.float16],
    )
    path = tmp_path / 'a.pth'
    torch.save(content, path, _use_new_zipfile_serialization=not is_old)
    loaded = load_checkpoint(torch.nn.Module(), str(path))
    assert loaded['others'] == content['others']
    for name, value in state.items():
        assert torch.equal(loaded['state_dict'][name], value)
