"""Samplers that would train otherwise than anyone means."""

import logging
from types import SimpleNamespace

import pytest
from mmengine.dataset import DefaultSampler
from torch.utils.data import DataLoader, RandomSampler

from bcl_mm.engine.loaders import check_sampler
from tests.distributed.common import on_ranks
from tests.engine.hooks.common import make
from tests.engine.hooks.test_sample_seed import HOOKS


@pytest.mark.parametrize(
    ('sampler', 'message'),
    [
        (
            None,
            r'must not be SequentialSampler \(that of sampler=None\), whic',
        ),
        (dict(type='InfiniteSampler'), 'InfiniteSampler, which never ends an'),
    ],
)
def test_a_training_that_no_one_means_is_refused(tmp_path, sampler, message):
    runner = make(tmp_path, default_hooks=HOOKS)
    runner._train_dataloader['sampler'] = sampler
    with pytest.raises(ValueError, match=message):
        runner.train()
    assert runner.iter == 0


def runner_of(loader, world_size=1):
    return SimpleNamespace(
        train_dataloader=loader,
        train_loop=None,
        world_size=world_size,
        logger=logging.getLogger('loaders'),
    )


def test_no_shuffling_on_purpose_is_said(caplog):
    for shuffle in (True, False):
        data = range(5)
        sampler = DefaultSampler(data, shuffle=shuffle)
        check_sampler(runner_of(DataLoader(data, sampler=sampler)))
        assert ('are not shuffled' in caplog.text) == (not shuffle)


def test_each_process_must_not_read_all_images():
    loader = DataLoader(range(5), sampler=RandomSampler(range(5)))
    check_sampler(runner_of(loader))
    message = 'RandomSampler on 2 processes, each of which would read all'
    with pytest.raises(ValueError, match=message):
        check_sampler(runner_of(loader, world_size=2))


def refusals(rank, world_size, folder):
    found = []
    for drop_last, size in ((False, 4), (False, 5), (True, 5), (True, 3)):
        sampler = DefaultSampler(range(size), round_up=False)
        loader = DataLoader(
            range(size), 2, sampler=sampler, drop_last=drop_last
        )
        try:
            check_sampler(runner_of(loader, world_size))
        except ValueError as error:
            found.append(str(error))
        else:
            found.append('')
    return found


@pytest.mark.long
def test_unequal_numbers_of_images_are_refused_at_the_start(tmp_path):
    for found in on_ranks(refusals, [2], tmp_path)[2]:
        assert [bool(message) for message in found] == [0, 1, 0, 1]
        rule = 'all processes must have equally many'
        remedy = ': set train_dataloader.sampler.round_up=True'
        assert found[1] == f'{rule} images in an epoch, got [3, 2]{remedy}'
        assert found[3] == f'{rule} batches in an epoch, got [1, 0]{remedy}'
