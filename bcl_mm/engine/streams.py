"""Training data without indices."""

from __future__ import annotations

from typing import Any, Iterator

import torch
from mmengine.dist import get_dist_info
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from bcl_mm.datasets.wrapping import WrappedDataset
from bcl_mm.engine.seeds import mix, seed_all
from bcl_mm.utils.errors import InputValueError


class SeededStream(WrappedDataset, IterableDataset):
    """Seeds a stream's samples, and gives each epoch its length.

    The draws of a sample come from the seed, the epoch, the process, its data
    worker and the number of the sample there. The stream's length is that of
    an epoch in one process: its workers read their part of the stream again
    if it is shorter, and leave out the rest if it is longer, so that all
    processes have equally many batches.

    Args:
        loader: The loader of the stream.
        seed: Seed of the run.
    """

    def __init__(self, loader: DataLoader, seed: int) -> None:
        super().__init__(loader.dataset)
        self.seed = seed
        self.epoch = 0
        self.rank, _ = get_dist_info()
        data: Any = loader.dataset
        length, size = len(data), loader.batch_size or 1
        self._batches = [size] * (length // size)  # their sizes
        if length % size and not loader.drop_last:
            self._batches.append(length % size)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next pass."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Any]:
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        epoch = self.epoch
        self.epoch += 1  # where workers persist
        if hasattr(self.dataset, 'set_epoch'):
            self.dataset.set_epoch(epoch)
        samples = self._repeated()
        part = self.rank * workers + number
        # The loader takes batches from its workers in turn.
        for position in range(sum(self._batches[number::workers])):
            seed = mix(self.seed, epoch, part, position)
            seed_all(seed, torch.default_generator)
            yield next(samples)

    def _repeated(self) -> Iterator[Any]:
        while True:
            is_empty = True
            for sample in self.dataset:
                is_empty = False
                yield sample
            if is_empty:
                raise InputValueError(
                    f'{type(self.dataset).__name__} has no sample for a data '
                    f'worker of process {self.rank}: it needs more shards, or '
                    'fewer num_workers'
                )
