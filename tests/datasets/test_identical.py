"""Files with the same content."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bcl_mm.datasets import identical
from bcl_mm.datasets.identical import find_identical


@pytest.fixture(autouse=True)
def nothing_found(monkeypatch):
    monkeypatch.setattr(identical, '_FOUND', {})


def write(folder, contents):
    paths = [str(folder / f'{i}') for i in range(len(contents))]
    for path, content in zip(paths, contents):
        Path(path).write_bytes(content)
    return paths


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0, 1, 4096, 4097, 12_345]),  # size
            st.integers(0, 1),  # first byte
            st.integers(0, 1),  # last byte
            st.integers(0, 1),  # in the middle
        ),
        max_size=12,
    )
)
@settings(deadline=None, max_examples=30)
def test_exactly_the_identical_files_are_found(tmp_path_factory, kinds):
    contents = []
    for size, first, last, middle in kinds:
        content = bytearray(size)
        for place, value in ((0, first), (-1, last), (size // 2, middle)):
            if size:
                content[place] = value
        contents.append(bytes(content))
    paths = write(tmp_path_factory.mktemp('files'), contents)
    expected = {}
    for i, content in enumerate(contents):
        if content:
            expected.setdefault(content, []).append(i)
    groups = [group for group in expected.values() if len(group) > 1]
    assert sorted(find_identical(paths)) == sorted(groups)


def test_special_and_missing_files_are_passed_over(tmp_path):
    paths = write(tmp_path, [b'x', b'x'])
    os.mkfifo(tmp_path / 'pipe')  # reading it would wait
    others = ['pipe', 'pipe', 'missing', 'missing', '.', '.', 'a\0b']
    paths += [os.path.join(tmp_path, name) for name in others]
    assert find_identical(paths) == [[0, 1]]
    assert find_identical([]) == []


def test_files_are_read_once_while_they_stay_the_same(tmp_path, monkeypatch):
    paths = write(tmp_path, [b'abc', b'abd', b'abc'])
    assert find_identical(paths) == [[0, 2]]
    read = []
    sample = identical._sample
    monkeypatch.setattr(
        identical, '_sample', lambda path: read.append(path) or sample(path)
    )
    assert find_identical(paths) == [[0, 2]]
    assert read == []
    Path(paths[2]).write_bytes(b'abd')
    os.utime(paths[2], ns=(1, 1))
    assert find_identical(paths) == [[1, 2]]
    assert read == paths
