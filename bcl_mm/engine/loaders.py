"""Changes to the training data of a Runner that is built already."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.dataset import InfiniteSampler
from mmengine.dist import all_gather
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch.utils.data import SequentialSampler

from bcl_mm.utils.errors import InputValueError


def check_sampler(runner: Runner) -> None:
    """Refuse samplers that would silently train in the wrong way.

    Raises:
        InputValueError: Training has a sampler that never ends an epoch, does
            not shuffle because none was given, gives every process all
            images, or gives them unequal numbers.
    """
    loader = runner.train_dataloader
    sampler = loader.batch_sampler.sampler
    name = f'train_dataloader.sampler must not be {type(sampler).__name__}'
    remedy = "use dict(type='DefaultSampler', shuffle=True)"
    if isinstance(sampler, SequentialSampler):
        raise InputValueError(
            f'{name} (that of sampler=None), which does not shuffle: {remedy}'
            ' (shuffle=False, if you mean it)'
        )
    # The module of torch's samplers, which know of no processes.
    if runner.world_size > 1 and type(sampler).__module__ == (
        SequentialSampler.__module__
    ):
        raise InputValueError(
            f'{name} on {runner.world_size} processes, each of which would '
            f'read all images: {remedy}'
        )
    loop = runner.train_loop
    if isinstance(sampler, InfiniteSampler):
        if isinstance(loop, EpochBasedTrainLoop):
            raise InputValueError(
                f'{name}, which never ends an epoch: {remedy}, or '
                'train_cfg=dict(by_epoch=False, max_iters=...)'
            )
        return
    if getattr(sampler, 'shuffle', True) is False:
        runner.logger.warning('Training images are not shuffled.')
    if runner.world_size == 1:
        return
    rows = len(loader if loader.drop_last else sampler)
    numbers = [int(number) for number in all_gather(torch.tensor(rows))]
    if len(set(numbers)) > 1:
        raise InputValueError(
            f'all processes must have equally many '
            f'{"batches" if loader.drop_last else "images"} in an epoch, got '
            f'{numbers}: set train_dataloader.sampler.round_up=True'
        )


def replace_dataset(runner: Runner, dataset: Any) -> None:
    """Let training read another dataset, of the same length and order."""
    loader = runner.train_dataloader
    # DataLoader forbids this, since samplers may depend on the dataset.
    vars(loader)['dataset'] = dataset
    # A loop that counts iterations made its reader when it was built, before
    # any hook ran; workers have drawn from the endless sampler since.
    reader = getattr(runner.train_loop, 'dataloader_iterator', None)
    if reader is not None:
        loader._iterator = None  # of persistent workers
        if hasattr(loader.sampler, '_indices_of_rank'):
            loader.sampler.indices = loader.sampler._indices_of_rank()
        runner.train_loop.dataloader_iterator = type(reader)(loader)
