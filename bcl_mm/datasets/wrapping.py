"""Base class of wrappers around data sets."""

from __future__ import annotations

from typing import Any


class SampleIndex(int):
    """An index that carries its draw to the worker processes."""

    epoch = 0
    num_epochs = 0  # of the whole training
    repeat = 0  # how often it came in this epoch before


class WrappedDataset:
    """Base of wrappers that change what a dataset's samples are.

    Everything but ``__getitem__`` is that of the wrapped dataset.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def original(self, index: int) -> Any:
        """The sample of the wrapped dataset.

        An index that carries more than its number, such as the epoch, goes
        down to wrappers of this kind, and no further.
        """
        is_wrapper = isinstance(self.dataset, WrappedDataset)
        return self.dataset[index if is_wrapper else int(index)]

    def __len__(self) -> int:
        return len(self.dataset)

    def __getattr__(self, name: str) -> Any:
        if name == 'dataset':  # while being unpickled
            raise AttributeError(name)
        return getattr(self.dataset, name)
