"""Changes to the training dataloader of a Runner that was built."""

from __future__ import annotations

from typing import Any

from mmengine.runner import Runner


def replace_dataset(runner: Runner, dataset: Any) -> None:
    """Let training read another dataset, of the same length and order."""
    loader = runner.train_dataloader
    # DataLoader refuses it, for its samplers' sake: here they stay.
    vars(loader)['dataset'] = dataset
    # A loop that counts iterations made its reader when it was built, before
    # any hook could run; workers have drawn from the endless sampler since.
    reader = getattr(runner.train_loop, 'dataloader_iterator', None)
    if reader is not None:
        loader._iterator = None  # of persistent workers
        if hasattr(loader.sampler, '_indices_of_rank'):
            loader.sampler.indices = loader.sampler._indices_of_rank()
        runner.train_loop.dataloader_iterator = type(reader)(loader)
