"""Random draws that depend only on seed, epoch and sample."""

from __future__ import annotations

import random
from typing import Any, Iterator, Optional, Sized

import numpy as np
import torch
from mmengine.dist import get_dist_info
from mmengine.hooks import Hook
from mmengine.runner import Runner

from bcl_mm.engine.loaders import WrappedDataset, replace_dataset
from bcl_mm.engine.seeds import mix
from bcl_mm.registry import HOOKS


def _seed_all(seed: int, generator: Any = torch) -> None:
    random.seed(seed)
    np.random.seed(seed)
    generator.manual_seed(seed)


class _SampleIndex(int):
    """An index that carries its epoch to the worker processes."""

    epoch = 0


class _EpochSampler:
    """Gives the indices of a sampler their epoch."""

    def __init__(self, sampler: Any, dataset: Sized) -> None:
        self.sampler = sampler
        self.length = len(dataset)
        self.epoch = 0

    def __iter__(self) -> Iterator[_SampleIndex]:
        rank, world_size = get_dist_info()
        for position, number in enumerate(self.sampler):
            index = _SampleIndex(number)
            # MMEngine's endless sampler and torch's samplers have no epoch.
            # The endless one deals its indices to the processes in turn.
            passed = (position * world_size + rank) // self.length
            index.epoch = getattr(self.sampler, 'epoch', self.epoch + passed)
            yield index

    def __len__(self) -> int:
        return len(self.sampler)

    def set_epoch(self, epoch: int) -> None:
        """Take the epoch, for the sampler too."""
        self.epoch = epoch
        if hasattr(self.sampler, 'set_epoch'):
            self.sampler.set_epoch(epoch)


class _SeededDataset(WrappedDataset):
    """Seeds the random generators anew for each sample of a dataset."""

    def __init__(self, dataset: Any, seed: int) -> None:
        super().__init__(dataset)
        self.seed = seed

    def __getitem__(self, index: _SampleIndex) -> Any:
        # Only the default generator: torch.manual_seed, which seeds devices
        # too, takes a hundred times as long.
        _seed_all(mix(self.seed, index.epoch, index), torch.default_generator)
        return self.dataset[int(index)]


@HOOKS.register_module()
class SampleSeedHook(Hook):
    """Makes a run repeatable, resumed or not, with any number of workers.

    Each sample's random draws (crops, colours) come from the run's seed, the
    epoch and the sample's index in the outermost dataset; those of the
    training step (dropout, Mixup) from the seed, the iteration and the rank.
    MMEngine seeds a worker process once, and keeps no generator's state in
    checkpoints.
    """

    def __init__(self) -> None:
        self._resumed_seed: Optional[int] = None

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Write the sampler's seed into the checkpoint's ``meta``."""
        sampler = runner.train_dataloader.batch_sampler.sampler
        if isinstance(sampler, _EpochSampler):
            sampler = sampler.sampler
        seed = getattr(sampler, 'seed', None)
        if seed is not None:
            checkpoint['meta']['sampler_seed'] = int(seed)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Read the sampler's seed, if training is resumed."""
        if runner._resume:
            self._resumed_seed = checkpoint['meta'].get('sampler_seed')

    def before_train(self, runner: Runner) -> None:
        """Let the training dataloader seed its samples."""
        loader = runner.train_dataloader
        if isinstance(loader.dataset, _SeededDataset):
            return  # trained before
        batches = loader.batch_sampler
        sampler = batches.sampler
        # Without a seed in the config, the sampler was built with a new one.
        if self._resumed_seed is not None and hasattr(sampler, 'seed'):
            sampler.seed = self._resumed_seed
        batches.sampler = _EpochSampler(sampler, loader.dataset)
        replace_dataset(runner, _SeededDataset(loader.dataset, runner.seed))

    def before_train_epoch(self, runner: Runner) -> None:
        """Tell the sampler the epoch."""
        runner.train_dataloader.batch_sampler.sampler.set_epoch(runner.epoch)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Seed what the training step draws."""
        _seed_all(mix(runner.seed, runner.iter, runner.rank))
