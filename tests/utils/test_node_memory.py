import os
import re
import signal
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from bcl_mm.utils.node_memory import once_a_node
from tests.forks import FORK, kept, on_processes


@pytest.fixture(autouse=True)
def job(tmp_path, monkeypatch):
    """The variables of a job of three processes, and a folder of its own."""
    monkeypatch.setenv('WORLD_SIZE', '3')
    monkeypatch.setenv('MASTER_PORT', '29500')
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path / 'temporary'))
    (tmp_path / 'temporary').mkdir()
    return tmp_path


def value_of(folder):
    """A value, which notes that it was made."""
    with open(folder / 'made', 'a') as file:
        file.write('x')
    time.sleep(0.1)
    return dict(a=np.arange(100_000), b=np.ones(3, np.uint8), text='é')


def times_made(folder):
    path = folder / 'made'
    return len(path.read_text()) if path.exists() else 0


def notes(folder):
    return list((folder / 'temporary').iterdir())


def mapped():
    """Inodes of the shared memory that this process has mapped."""
    maps = Path('/proc/self/maps').read_text()
    return set(re.findall(r'(\d+) +/memfd:[0-9a-f]{32} ', maps))


def test_one_process_makes_and_all_map_the_same_memory(job):
    def ask(rank):
        value = once_a_node('key', lambda: value_of(job))
        kept.append(value)
        assert value['text'] == 'é'
        assert (value['a'] == np.arange(100_000)).all()
        assert (value['b'] == 1).all()
        assert not value['a'].flags.writeable
        (inode,) = mapped()
        return inode

    inodes = on_processes(ask)
    assert all(isinstance(inode, str) for inode in inodes), inodes
    assert len(set(inodes)) == 1
    assert times_made(job) == 1


def test_memory_is_freed_with_the_value(job):
    def ask(rank):
        value = once_a_node('key', lambda: value_of(job))
        part = value['a'][10:20]
        del value
        held = len(mapped())
        del part
        return held, len(mapped())

    assert on_processes(ask) == [(1, 0)] * 3


def test_each_time_is_made_anew(job):
    def ask(rank):
        for _ in range(2):
            kept.append(once_a_node('key', lambda: np.array([time.time()])))
        return [value.item() for value in kept]

    first, *others = on_processes(ask)
    assert first[0] != first[1]
    assert others == [first, first]
    assert on_processes(ask)[0] != first  # the makers have ended


def test_other_keys_and_other_jobs_share_nothing(job):
    def ask(rank):
        os.environ['MASTER_PORT'] = str(rank // 2)
        once_a_node(rank % 2, lambda: value_of(job))

    on_processes(ask, 4)
    assert times_made(job) == 4


def test_every_process_gets_the_error(job):
    def fail():
        value_of(job)
        raise ValueError('line 3')

    errors = on_processes(lambda rank: once_a_node('key', fail))
    assert [str(error) for error in errors] == ['line 3'] * 3
    assert times_made(job) == 3


@pytest.mark.parametrize('moment', ['before', 'after'])
def test_a_killed_process_leaves_nothing_that_harms(job, moment):
    def die():
        value_of(job)
        os.kill(os.getpid(), signal.SIGKILL)

    def ask():
        make = die if moment == 'before' else lambda: np.array([1])
        kept.append(once_a_node('key', make))
        os.kill(os.getpid(), signal.SIGKILL)

    process = FORK.Process(target=ask)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    (note,) = notes(job)
    assert note.stat().st_size < 200
    values = on_processes(
        lambda rank: once_a_node('key', lambda: np.array([2])).item()
    )
    assert values == [2] * 3


def test_what_cannot_be_shared_is_made_by_each(job):
    def ask(rank):
        once_a_node(open, lambda: value_of(job) and (lambda: 0))
        once_a_node(lambda: 0, lambda: value_of(job))  # no pickle of the key

    assert on_processes(ask) == [None] * 3
    assert times_made(job) == 6


def replace_by_link(note):
    note.rename(note.with_suffix('.other'))
    note.symlink_to(note.with_suffix('.other'))


def replace_by_fifo(note):
    note.unlink()
    os.mkfifo(note)


def give_away(note):
    os.chown(note, 12345, 12345)


@pytest.mark.parametrize(
    'change', [replace_by_link, replace_by_fifo, give_away]
)
def test_a_note_of_another_kind_or_user_is_not_believed(job, change):
    if change is give_away and os.geteuid():
        pytest.skip('needs root')
    gate = FORK.Barrier(2)

    def ask(rank):
        if rank:
            gate.wait()
        value = once_a_node('key', lambda: value_of(job) and rank)
        if not rank:
            change(*notes(job))
            gate.wait()
        return value

    assert on_processes(ask, 2) == [0, 1]


def test_a_single_process_shares_nothing(job, monkeypatch):
    monkeypatch.setenv('WORLD_SIZE', '1')
    value = value_of(job)
    assert once_a_node('key', lambda: value) is value
    assert not notes(job)
