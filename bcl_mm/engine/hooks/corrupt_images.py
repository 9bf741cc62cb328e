"""Training images that cannot be loaded: an error, or replaced."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

import numpy as np
from mmengine.dist import all_gather_object
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import IterableDataset

from bcl_mm.classes import labels_of
from bcl_mm.datasets.mixing import MixFirstView
from bcl_mm.datasets.transforms.loading import CorruptImageError
from bcl_mm.datasets.wrapping import SampleIndex, WrappedDataset
from bcl_mm.engine.hooks.progress import epoch_and_position
from bcl_mm.engine.loaders import replace_dataset
from bcl_mm.registry import HOOKS
from bcl_mm.utils.errors import InputValueError, counted


class _SkippingDataset(WrappedDataset):
    """Replaces images that cannot be loaded by others of their class."""

    left_out = 'left_out'  # field of a sample with its load errors

    def __init__(self, dataset: Any) -> None:
        super().__init__(dataset)
        self.labels = labels_of(dataset)
        if isinstance(dataset, MixFirstView):
            dataset.skips_corrupt = True

    def __getitem__(self, index: int) -> Any:
        try:
            return self.original(index)
        except CorruptImageError as error:
            return self._replacement(index, error)

    def _replacement(self, index: int, error: CorruptImageError) -> Any:
        label, left_out = self.labels[index], [str(error)]
        members = np.flatnonzero(self.labels == label)
        # SampleSeedHook has seeded this draw by epoch and index.
        for other in np.random.permutation(members[members != index]):
            try:
                data = self.original(_moved(index, other))
            except CorruptImageError as another:
                left_out.append(str(another))
                continue
            # The sample carries the load errors from a worker to the hook.
            sample = data['data_samples']
            sample.set_field(left_out, self.left_out, field_type='metainfo')
            return data
        raise CorruptImageError(
            f'{error}; no other image of class {label} can be loaded to take '
            'its place'
        )


def _moved(index: int, other: int) -> int:
    """Another index, of the same epoch if the first one carries it."""
    moved = type(index)(other)
    if isinstance(index, SampleIndex):
        vars(moved).update(vars(index))
    return moved


@HOOKS.register_module()
class CorruptImageHook(Hook):
    """Handles training images that cannot be loaded.

    ``'error'`` lets the error of ``bcl_mm``'s :class:`LoadImageFromFile`, in
    a data worker too, end training. ``'skip'`` takes another image of the
    same class, drawn anew each time (by the sample's own seed, with
    :class:`~bcl_mm.engine.hooks.SampleSeedHook`), so that batches and the
    balance of classes stay; at the end of each epoch a warning counts the
    samples that were replaced, on all ranks, and lists each damaged image
    once. Class counts still count them. Where no image of a class can be
    loaded, training ends. Validation and test images are never skipped: a test
    without some of its images is another test.

    Put it into ``default_hooks``: ``--cfg-options
    default_hooks.corrupt_images.on_corrupt=skip``.

    Args:
        on_corrupt: ``'error'`` or ``'skip'``. Defaults to ``'error'``.

    Raises:
        InputValueError: ``on_corrupt`` is something else.
    """

    # Before SampleSeedHook (NORMAL), which must seed what this one draws.
    priority = 'ABOVE_NORMAL'

    def __init__(self, on_corrupt: str = 'error') -> None:
        if on_corrupt not in ('error', 'skip'):
            raise InputValueError(
                f"on_corrupt must be 'error' or 'skip', got {on_corrupt!r}"
            )
        self.on_corrupt = on_corrupt
        self._left_out: List[str] = []
        self._num_replaced = 0

    def before_train(self, runner: Runner) -> None:
        """Let the training dataset replace images, with ``'skip'``."""
        dataset = runner.train_dataloader.dataset
        trained_before = hasattr(dataset, 'left_out')
        if self.on_corrupt == 'skip' and not trained_before:
            if isinstance(dataset, IterableDataset):
                raise InputValueError(
                    "on_corrupt must be 'error' for a stream, which has no "
                    'other image of a class at hand: leave damaged images '
                    'out of it'
                )
            replace_dataset(runner, _SkippingDataset(dataset))

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Optional[Dict] = None,
    ) -> None:
        """Collect the load errors of the batch; report after an epoch."""
        if self.on_corrupt == 'error':
            return
        for sample in data_batch['data_samples']:
            # More than one, where its first substitutes failed as well.
            left_out = sample.get(_SkippingDataset.left_out, [])
            self._left_out += left_out
            self._num_replaced += bool(left_out)
        epoch, position = epoch_and_position(runner, batch_idx)
        is_last = position + 1 == len(runner.train_dataloader)
        if is_last or runner.iter + 1 == runner.max_iters:
            self._report(runner, epoch + 1)

    def _report(self, runner: Runner, epoch: int) -> None:
        parts = all_gather_object((set(self._left_out), self._num_replaced))
        self._left_out, self._num_replaced = [], 0
        errors = sorted(set().union(*(errors for errors, _ in parts)))
        if errors:
            replaced = sum(number for _, number in parts)
            runner.logger.warning(
                f'Epoch {epoch}: {counted(len(errors), "image")} could not be '
                f'loaded; in place of {counted(replaced, "sample")}, others '
                'of the class were taken:\n' + '\n'.join(errors)
            )
