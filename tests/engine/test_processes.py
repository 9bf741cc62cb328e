"""Processes that wait for one another at a store, forked."""

import os
from collections import Counter

import pytest
import torch.distributed as dist

from bcl_mm.engine import processes
from bcl_mm.utils.errors import LaunchError
from tests.forks import on_processes


class CountingStore:
    """Counts what is asked of a store."""

    def __init__(self, prefix, store):
        self.store = dist.PrefixStore(prefix, store)

    def __getattr__(self, name):
        asked[name] += 1
        return getattr(self.store, name)


asked = Counter()


@pytest.fixture
def wait(monkeypatch):
    """Lets processes await ``world_size``; what each asked, or its error."""
    counting = type('dist', (), dict(vars(dist), PrefixStore=CountingStore))
    monkeypatch.setattr(processes, 'dist', counting)

    def on(number, world_size, timeout_s, nodes=lambda rank: '1'):
        server = dist.TCPStore(
            '127.0.0.1', 0, is_master=True, wait_for_workers=False
        )

        def await_ranks(rank):
            os.environ.update(
                RANK=str(rank),
                WORLD_SIZE=str(world_size),
                MASTER_ADDR='127.0.0.1',
                MASTER_PORT=str(server.port),
                NNODES=nodes(rank),
            )
            try:
                processes.await_ranks(timeout_s)
            except LaunchError as error:
                return asked, str(error)
            return asked, ''

        return on_processes(await_ranks, number)

    return on


def test_each_process_asks_as_often_whatever_their_number(wait):
    few, many = wait(2, 2, 60), wait(12, 12, 60)
    assert all(not error for _, error in few + many)
    most = max(counts.total() for counts, _ in few)
    assert max(counts.total() for counts, _ in many) <= most <= 6


def test_all_tell_which_did_not_start(wait):
    found = wait(3, 6, 1)
    message = 'of 6 processes 3, 4, 5 did not start within 1 s'
    assert all(message in error for _, error in found)
    # Only one asks for each of them.
    assert sorted(counts['check'] for counts, _ in found) == [0, 0, 6]


def test_all_tell_different_numbers_of_nodes(wait):
    found = wait(3, 3, 60, lambda rank: '12'[rank > 1])
    (error,) = {error for _, error in found}
    assert 'NNODES=1' in error
    assert 'process 2' in error
    assert 'NNODES=2' in error
