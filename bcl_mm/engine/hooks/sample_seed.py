"""Random draws that depend only on seed, epoch and sample."""

from __future__ import annotations

import itertools
import math
from typing import Any, Iterator, Optional, Sized

import numpy as np
import torch
from mmengine.dataset import InfiniteSampler
from mmengine.dist import all_gather, get_dist_info
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import DataLoader, IterableDataset

from bcl_mm.datasets.wrapping import SampleIndex, WrappedDataset
from bcl_mm.engine.loaders import check_sampler, replace_dataset
from bcl_mm.engine.seeds import mix, seed_all
from bcl_mm.engine.streams import SeededStream
from bcl_mm.registry import HOOKS


def _repeats(indices: np.ndarray) -> np.ndarray:
    """How many equal ones precede each of the indices."""
    order = np.argsort(indices, kind='stable')
    is_first = np.diff(indices[order], prepend=-1) != 0
    positions = np.arange(len(order))
    first = np.maximum.accumulate(np.where(is_first, positions, 0))
    repeats = np.empty_like(order)
    repeats[order] = positions - first
    return repeats


def _dealt_to_all(own: np.ndarray, padding: int) -> np.ndarray:
    """The draws of all processes, (draws, processes), padded at the end."""
    lengths = all_gather(torch.tensor(len(own)))
    if not any(lengths):
        return np.empty((0, len(lengths)), np.int64)
    padded = torch.full([int(max(lengths))], padding)
    padded[: len(own)] = torch.from_numpy(own)
    return torch.stack(all_gather(padded), dim=1).numpy()


class _EpochSampler:
    """Gives the indices of a sampler their epoch and repeat.

    Repeats are counted over all processes, to which samplers deal their
    indices in turn. These must therefore iterate together.
    """

    def __init__(
        self, sampler: Any, dataset: Sized, num_epochs: int = 1
    ) -> None:
        self.sampler = sampler
        self.length = len(dataset)
        self.epoch = 0
        self.num_epochs = num_epochs

    def __iter__(self) -> Iterator[SampleIndex]:
        # MMEngine's endless sampler and torch's samplers have no epoch.
        epoch = getattr(self.sampler, 'epoch', self.epoch)
        is_endless = isinstance(self.sampler, InfiniteSampler)
        rank, world_size = get_dist_info()
        drawn = np.zeros(self.length + 1, np.int64)  # the last: padding
        draws = iter(self.sampler)
        # In blocks, because a sampler may be endless.
        block = -(-self.length // world_size)
        while True:
            own = np.fromiter(itertools.islice(draws, block), np.int64)
            everyone = _dealt_to_all(own, self.length)
            if not everyone.size:
                return
            order = everyone.ravel()
            repeats = drawn[order] + _repeats(order)
            drawn += np.bincount(order, minlength=len(drawn))
            repeats = repeats.reshape(everyone.shape)[: len(own), rank]
            for number, repeat in zip(own.tolist(), repeats.tolist()):
                index = SampleIndex(number)
                index.num_epochs = self.num_epochs
                # Each pass of the endless one is an epoch.
                index.epoch = repeat if is_endless else epoch
                index.repeat = 0 if is_endless else repeat
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

    def __getitem__(self, index: SampleIndex) -> Any:
        # Only the default generator: torch.manual_seed, which seeds devices
        # too, takes a hundred times as long.
        # The 0 of a first draw leaves the seed as it is without it.
        seed = mix(self.seed, index.epoch, index, index.repeat)
        seed_all(seed, torch.default_generator)
        return self.original(index)


@HOOKS.register_module()
class SampleSeedHook(Hook):
    """Makes a run repeatable, resumed or not, with any number of workers.

    Each sample's random draws (crops, colours) come from the run's seed, the
    epoch, the sample's index in the outermost dataset and how often a sampler
    drew that index in this epoch before; those of the training step (dropout,
    Mixup) from the seed, the iteration and the rank. MMEngine seeds a worker
    process once, and keeps no generator's state in checkpoints.

    A stream has no indices: draws come from the sample's place in it (see
    :class:`~bcl_mm.engine.streams.SeededStream`), and a warning says what
    this does not promise.

    Samplers that would silently train in the wrong way are refused:
    :func:`~bcl_mm.engine.loaders.check_sampler`.
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
        if isinstance(loader.dataset, (_SeededDataset, SeededStream)):
            return  # trained before
        if isinstance(loader.dataset, IterableDataset):
            self._seed_stream(runner, loader)
            return
        check_sampler(runner)
        batches = loader.batch_sampler
        sampler = batches.sampler
        # Without a seed in the config, the sampler was built with a new one.
        if self._resumed_seed is not None and hasattr(sampler, 'seed'):
            sampler.seed = self._resumed_seed
        length = len(loader)
        if isinstance(sampler, InfiniteSampler):  # a pass is an epoch
            images = batches.batch_size * get_dist_info()[1]
            length = len(loader.dataset) / images
        num_epochs = math.ceil(runner.max_iters / length)
        batches.sampler = _EpochSampler(sampler, loader.dataset, num_epochs)
        replace_dataset(runner, _SeededDataset(loader.dataset, runner.seed))

    def _seed_stream(self, runner: Runner, loader: DataLoader) -> None:
        stream: Any = loader.dataset
        if getattr(stream, 'seed', 0) is None:
            stream.seed = runner.seed
        replace_dataset(runner, SeededStream(loader, runner.seed))
        order = ''
        if not hasattr(stream, 'set_epoch'):
            order = (
                '; and if the stream gives each process and data worker its '
                'own samples, in the same order each time, which it has no '
                'set_epoch() for'
            )
        runner.logger.warning(
            f'{type(stream).__name__} is a stream: a run repeats, or resumes '
            'as if it had not been interrupted, only with the same numbers '
            f'of processes (here {runner.world_size}) and data workers (here '
            f'{loader.num_workers}){order}. How often an image comes in an '
            'epoch is not promised'
        )

    def before_train_epoch(self, runner: Runner) -> None:
        """Tell the sampler, or the stream, the epoch."""
        loader = runner.train_dataloader
        is_stream = isinstance(loader.dataset, SeededStream)
        owner = loader.dataset if is_stream else loader.batch_sampler.sampler
        owner.set_epoch(runner.epoch)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Seed what the training step draws."""
        seed_all(mix(runner.seed, runner.iter, runner.rank))
