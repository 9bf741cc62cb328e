"""Streams in torch's loader: length, seeds, and what is read."""

import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from bcl_mm.engine import streams
from bcl_mm.engine.streams import SeededStream
from bcl_mm.registry import DATASETS
from tests.engine.hooks.common import COUNTS, make
from tests.engine.hooks.test_sample_seed import HOOKS, noisy


class Numbers(IterableDataset):
    """``available`` numbers, dealt to workers; each with three draws."""

    def __init__(self, available, length):
        self.available, self.length = available, length

    def __len__(self):
        return self.length

    def __iter__(self):
        worker = get_worker_info()
        start, step = (worker.id, worker.num_workers) if worker else (0, 1)
        for number in range(start, self.available, step):
            draws = random.random(), np.random.rand(), torch.rand(()).item()
            yield number, *draws


def loader_of(dataset, seed=3, **options):
    loader = DataLoader(dataset, collate_fn=list, **options)
    vars(loader)['dataset'] = SeededStream(loader, seed)
    return loader


@pytest.mark.parametrize('num_workers', [0, 1, 2, 3])
@pytest.mark.parametrize('drop_last', [False, True])
@pytest.mark.parametrize('available', [7, 17, 40])
def test_an_epoch_has_its_length(num_workers, drop_last, available):
    options = dict(num_workers=num_workers, drop_last=drop_last)
    loader = loader_of(Numbers(available, 17), batch_size=4, **options)
    sizes = [len(batch) for batch in loader]
    assert sorted(sizes) == [4] * 4 if drop_last else [1, 4, 4, 4, 4]
    assert len(sizes) == len(loader)


def test_a_short_stream_is_read_again():
    loader = loader_of(Numbers(3, 8), batch_size=4)
    numbers = [sample[0] for batch in loader for sample in batch]
    assert numbers == [0, 1, 2, 0, 1, 2, 0, 1]
    draws = [sample[1:] for batch in loader for sample in batch]
    assert len(set(draws)) == 8


@pytest.mark.parametrize('num_workers', [0, 2])
@pytest.mark.parametrize('persistent', [False, True])
def test_draws_depend_on_seed_epoch_and_place(num_workers, persistent):
    if persistent and not num_workers:
        pytest.skip('no workers')

    def epochs(seed, first, rank=0):
        options = dict(num_workers=num_workers, persistent_workers=persistent)
        loader = loader_of(Numbers(8, 8), seed, batch_size=2, **options)
        loader.dataset.rank = rank
        for epoch in range(first, 2):
            loader.dataset.set_epoch(epoch)
            yield [tuple(sample) for batch in loader for sample in batch]

    first, second = epochs(3, 0)
    assert [n for n, *_ in first] == [n for n, *_ in second]
    assert not set(first) & set(second)
    assert list(epochs(3, 1)) == [second]  # resumed
    assert list(epochs(4, 1)) != [second]
    assert not set(next(epochs(3, 0, rank=1))) & set(first)


def test_the_stream_hears_the_epoch():
    class Told(Numbers):
        def set_epoch(self, epoch):
            told.append(epoch)

    told = []
    loader = loader_of(Told(4, 4), batch_size=2)
    loader.dataset.set_epoch(5)
    list(loader)
    assert told == [5]


def test_a_worker_without_a_sample_is_an_error():
    loader = loader_of(Numbers(1, 8), batch_size=2, num_workers=2)
    with pytest.raises(ValueError, match='Numbers has no sample for a data'):
        list(loader)


def test_the_stream_keeps_its_other_attributes():
    dataset = Numbers(4, 4)
    dataset.metainfo = dict(classes=('a',))
    assert streams.SeededStream(
        DataLoader(dataset, batch_size=2), 0
    ).metainfo == dict(classes=('a',))


class DigitStream(IterableDataset):
    """Digits of somebody's own stream, which tells only its length."""

    def __init__(self, length):
        self.images = DATASETS.build(noisy())
        self.length = length

    def __iter__(self):
        yield from self.images

    def __len__(self):
        return self.length


def train(folder, by_epoch=True, end=3, hooks={}, **options):
    """Train two batches an epoch; returns the warnings, and the weights."""
    name = 'max_epochs' if by_epoch else 'max_iters'
    checkpoint = dict(type='CheckpointHook', interval=1, by_epoch=by_epoch)
    runner = make(
        folder,
        train=dict(type=DigitStream, length=150),
        head=dict(class_counts=COUNTS),
        default_hooks=dict(HOOKS, checkpoint=checkpoint, **hooks),
        train_cfg={'by_epoch': by_epoch, name: end},
        **options,
    )
    runner._train_dataloader['sampler'] = None
    warnings = []
    runner.logger.warning = warnings.append
    runner.train()
    assert runner.iter == (2 * end if by_epoch else end)
    return warnings, runner.model.state_dict()


@pytest.mark.parametrize('by_epoch', [True, False])
@pytest.mark.long
def test_a_stream_trains_and_resumes(by_epoch, tmp_path):
    warnings, expected = train(tmp_path / 'whole', by_epoch)
    (warning,) = (text for text in warnings if 'is a stream' in text)
    assert 'the same numbers of processes (here 1) and data work' in warning
    assert 'which it has no set_epoch() for' in warning
    name = 'epoch_1.pth' if by_epoch else 'iter_1.pth'
    path = str(tmp_path / 'whole' / name)
    _, resumed = train(
        tmp_path / 'resumed', by_epoch, resume=True, load_from=path
    )
    for name, weight in resumed.items():
        assert torch.equal(weight, expected[name]), name


def test_a_stream_cannot_replace_images(tmp_path):
    hook = dict(type='bcl_mm.CorruptImageHook', on_corrupt='skip')
    with pytest.raises(ValueError, match="must be 'error' for a stream"):
        train(tmp_path, hooks=dict(corrupt_images=hook))
