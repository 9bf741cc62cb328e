"""Changes to the training data of a Runner that is built already."""

from __future__ import annotations

from typing import Any

from mmengine.runner import Runner


def replace_dataset(runner: Runner, dataset: Any) -> None:
    """Let training read another dataset, of the same length and order."""
    loader = runner.train_dataloader
    # DataLoader refuses it for the sake of its samplers, which stay here.
    vars(loader)['dataset'] = dataset
    # A loop that counts iterations made its reader when it was built, before
    # any hook ran; workers have drawn from the endless sampler since.
    reader = getattr(runner.train_loop, 'dataloader_iterator', None)
    if reader is not None:
        loader._iterator = None  # of persistent workers
        if hasattr(loader.sampler, '_indices_of_rank'):
            loader.sampler.indices = loader.sampler._indices_of_rank()
        runner.train_loop.dataloader_iterator = type(reader)(loader)


class WrappedDataset:
    """Base of wrappers that change what a dataset's samples are.

    Everything but ``__getitem__`` is that of the wrapped dataset.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getattr__(self, name: str) -> Any:
        if name == 'dataset':  # while being unpickled
            raise AttributeError(name)
        return getattr(self.dataset, name)
