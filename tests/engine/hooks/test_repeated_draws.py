"""Repeated draws of an image are different views, the same in every run."""

import itertools
import time
from collections import Counter

import numpy as np
import pytest
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmpretrain.datasets import RepeatAugSampler
from torch.utils.data import RandomSampler

from bcl_mm.datasets.samplers import ClassBalancedSampler
from bcl_mm.engine.hooks.sample_seed import _EpochSampler, _SeededDataset
from bcl_mm.engine.seeds import mix
from tests.distributed.common import on_ranks
from tests.engine.hooks.common import make
from tests.engine.hooks.test_sample_seed import HOOKS, noisy, same, weights
from tests.test_classes import Labelled

LABELS = [0] * 30 + [1] * 8 + [2] * 2
SAMPLERS = {
    'balanced': lambda data: ClassBalancedSampler(data, seed=3),
    'repeated': lambda data: RepeatAugSampler(data, seed=3),
    'default': lambda data: DefaultSampler(data, seed=3),
    'endless': lambda data: InfiniteSampler(data, seed=3),
    'padded': lambda data: DefaultSampler(range(5), seed=3),
}


class Draws:
    """Each sample is the random number that it is given."""

    def __len__(self):
        return len(LABELS)

    def __getitem__(self, index):
        return index, np.random.rand()


def views(sampler, epochs=(0, 1), length=None):
    """The views of each epoch; of an endless sampler, the first ones."""
    wrapped = _EpochSampler(sampler, Draws())
    dataset = _SeededDataset(Draws(), seed=7)
    found = []
    for epoch in epochs:
        wrapped.set_epoch(epoch)
        drawn = itertools.islice(wrapped, length or len(sampler))
        found.append([dataset[index] for index in drawn])
    return found


def views_of_all(rank, world_size, folder):
    data = Labelled(LABELS)
    lengths = dict(endless=2 * len(LABELS) // world_size)
    return {
        name: views(make_sampler(data), (0, 1), lengths.get(name))
        for name, make_sampler in SAMPLERS.items()
    }


@pytest.fixture(scope='module')
def by_processes(tmp_path_factory):
    return on_ranks(views_of_all, [1, 2], tmp_path_factory.mktemp('ranks'))


def merged(ranks, name, epoch):
    return [view for rank in ranks for view in rank[name][epoch]]


@pytest.mark.parametrize('name', ['balanced', 'default', 'endless'])
@pytest.mark.long
def test_any_number_of_processes_draws_the_same_views(by_processes, name):
    for epoch in range(1 if name == 'endless' else 2):
        alone, shared = (
            Counter(merged(by_processes[number], name, epoch))
            for number in (1, 2)
        )
        assert alone == shared
        assert max(alone.values()) == 1


@pytest.mark.parametrize('name', SAMPLERS)
@pytest.mark.parametrize('processes', [1, 2])
def test_no_view_comes_twice(by_processes, name, processes):
    drawn = merged(by_processes[processes], name, 0)
    if name != 'endless':  # begins where it is made
        drawn += merged(by_processes[processes], name, 1)
    assert len(set(drawn)) == len(drawn)
    if name == 'repeated':
        assert max(Counter(i for i, _ in drawn).values()) > 2


def test_the_first_draw_keeps_its_seed():
    first = [4, 2, 4, 4, 2, 0]
    repeats = [i.repeat for i in _EpochSampler(first, Draws())]
    assert repeats == [0, 0, 1, 2, 1, 0]
    assert mix(7, 2, 4, 0) == mix(7, 2, 4) != mix(7, 2, 4, 1)


def test_passes_over_the_data_share_no_view_with_the_next_epoch():
    sampler = RandomSampler(LABELS, num_samples=3 * len(LABELS))
    drawn = sum(views(sampler), [])
    assert len(set(drawn)) == len(drawn) == 6 * len(LABELS)


def test_an_endless_sampler_that_repeats_is_read_as_it_is_used():
    drawn = itertools.islice(_EpochSampler(itertools.cycle([1]), Draws()), 99)
    assert [index.repeat for index in drawn] == list(range(99))


def test_two_million_draws_are_counted_within_seconds():
    draws = np.random.RandomState(0).randint(2_000_000, size=2_000_000)
    start = time.process_time()
    next(iter(_EpochSampler(draws, draws)))
    assert time.process_time() - start < 5


def test_training_draws_each_view_once(tmp_path):
    runner = make(tmp_path, train=noisy(), default_hooks=HOOKS)
    runner._train_dataloader['sampler'] = dict(
        type='bcl_mm.ClassBalancedSampler'
    )
    seen = []
    runner.train()
    loader = runner.train_dataloader
    for index in loader.batch_sampler.sampler:
        seen.append(loader.dataset[index]['inputs'].numpy().tobytes())
    assert len(set(seen)) > 0.99 * len(seen) == 0.99 * 331


@pytest.mark.long
def test_workers_change_nothing_for_repeats(tmp_path):
    sampler = dict(type='bcl_mm.ClassBalancedSampler', seed=1)
    options = dict(sampler=sampler)
    alone = weights(tmp_path / 'alone', epochs=1, loader=options)
    options.update(num_workers=2)
    assert same(alone, weights(tmp_path / 'two', epochs=1, loader=options))
