"""The same draws for any number of workers, and after a resumption."""

import itertools
import random

import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform
from mmengine.dataset import InfiniteSampler
from torch.utils.data import RandomSampler

from bcl_mm.engine.hooks.sample_seed import _EpochSampler
from bcl_mm.registry import TRANSFORMS
from tests.engine.hooks.common import DIGITS, INFO_HOOKS, make

HOOKS = dict(
    logger=dict(type='LoggerHook'),
    **INFO_HOOKS,
    sample_seed=dict(type='bcl_mm.SampleSeedHook'),
)


@TRANSFORMS.register_module()
class DrawFromAll(BaseTransform):
    """Noise from each of the three generators that transforms use."""

    def transform(self, results):
        shape = results['img'].shape
        noise = [np.random.rand(*shape), torch.rand(shape).numpy()]
        noise.append(np.full(shape, random.random()))
        results['img'] = (results['img'] * sum(noise) / 3).astype(np.uint8)
        return results


def noisy():
    pipeline = [
        dict(type='bcl_mm.DrawFromAll'),
        dict(type='mmpretrain.PackInputs'),
    ]
    return dict(DIGITS, dataset=dict(DIGITS['dataset'], pipeline=pipeline))


def weights(work_dir, epochs=3, loader={}, **options):
    settings = dict(
        train=noisy(),
        default_hooks=dict(HOOKS, checkpoint=dict(type='CheckpointHook')),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
    )
    runner = make(work_dir, **{**settings, **options})
    runner._train_dataloader['sampler'] = dict(type='DefaultSampler')
    for name, value in loader.items():
        runner._train_dataloader[name] = value
    runner.model.head.pre_logits = lambda feats: torch.dropout(
        feats[-1], 0.5, runner.model.training
    )
    runner.train()
    return runner.model.state_dict()


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.long
def test_a_resumed_run_ends_as_an_uninterrupted_one(tmp_path):
    whole = weights(tmp_path / 'whole')
    weights(tmp_path / 'parts', epochs=1)
    resumed = weights(tmp_path / 'parts', resume=True, randomness=dict(seed=0))
    assert same(whole, resumed)
    other = weights(tmp_path / 'other', randomness=dict(seed=1))
    assert not same(whole, other)


@pytest.mark.parametrize(
    ('sampler', 'by_epoch', 'workers', 'randomness'),
    [
        ('DefaultSampler', True, {}, dict(seed=None)),
        ('DefaultSampler', True, {}, dict(seed=0, diff_rank_seed=True)),
        ('bcl_mm.ClassBalancedSampler', True, {}, dict(seed=None)),
        ('DefaultSampler', False, dict(num_workers=1), dict(seed=None)),
        ('InfiniteSampler', False, {}, dict(seed=None)),
        (
            'InfiniteSampler',
            False,
            dict(num_workers=1, persistent_workers=True),
            dict(seed=None),
        ),
    ],
)
@pytest.mark.long
def test_a_seed_that_was_drawn_is_kept(
    tmp_path, sampler, by_epoch, workers, randomness
):
    unit = dict(by_epoch=by_epoch)
    # Of 4 iterations an epoch: the last checkpoint is in the second epoch.
    unit.update(dict(max_epochs=2) if by_epoch else dict(max_iters=6))
    hook = dict(type='bcl_mm.SafeCheckpointHook', by_epoch=by_epoch)
    settings = dict(
        train_cfg=unit,
        loader=dict(sampler=dict(type=sampler), **workers),
        default_hooks=dict(HOOKS, checkpoint=dict(hook, interval=1)),
        randomness=randomness,
    )
    whole = weights(tmp_path, **settings)
    first = tmp_path / ('epoch_1.pth' if by_epoch else 'iter_2.pth')
    settings.update(resume=True, load_from=str(first))
    assert same(whole, weights(tmp_path / 'resumed', **settings))


@pytest.mark.parametrize('persistent', [False, True])
@pytest.mark.long
def test_workers_change_nothing(tmp_path, persistent):
    loader = dict(num_workers=2, persistent_workers=persistent)
    alone = weights(tmp_path / 'alone', epochs=2)
    assert same(alone, weights(tmp_path / 'two', epochs=2, loader=loader))


@pytest.mark.long
def test_epochs_draw_anew(tmp_path):
    runner = make(tmp_path, train=noisy(), default_hooks=HOOKS)
    runner.train()
    dataset = runner.train_dataloader.dataset
    sampler = runner.train_dataloader.batch_sampler.sampler
    seen = []
    for epoch in (0, 1, 0):
        sampler.set_epoch(epoch)
        index = next(iter(sampler))
        seen.append(dataset[index]['inputs'])
    assert torch.equal(seen[0], seen[2])
    assert not torch.equal(seen[0], seen[1])
    # A copy of the image at another index is another sample.
    assert len(dataset) == len(dataset.dataset) == 331
    assert dataset.get_gt_labels()[0] == 0


@pytest.mark.long
def test_training_that_counts_iterations_is_seeded_from_the_start(tmp_path):
    """Its loop reads from the dataloader before any hook runs."""
    loader = dict(num_workers=2, persistent_workers=True)
    found = [
        weights(
            tmp_path / name,
            train_cfg=dict(by_epoch=False, max_iters=3, val_interval=3),
            loader=options,
        )
        for name, options in (('alone', dict()), ('workers', loader))
    ]
    assert same(*found)


def test_samplers_without_epoch_get_one():
    data = list(range(5))
    sampler = _EpochSampler(RandomSampler(data), data)
    sampler.set_epoch(3)
    assert [index.epoch for index in sampler] == [3] * 5
    endless = _EpochSampler(InfiniteSampler(data), data)
    indices = list(itertools.islice(endless, 10))
    assert [index.epoch for index in indices] == [0] * 5 + [1] * 5
    assert [index.repeat for index in indices] == [0] * 10
