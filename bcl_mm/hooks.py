"""Class-complement's switch and book-keeper."""

from __future__ import annotations

from typing import Any, Iterable, Optional

import numpy as np
from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from bcl_mm.class_counts import (
    check_class_counts,
    class_names_of,
    count_classes,
)
from bcl_mm.registry import HOOKS


def require_one_batch(dataloader: DataLoader, world_size: int = 1) -> None:
    """Raise a ValueError if an epoch would have no iteration at all.

    Args:
        dataloader: The training dataloader of this process.
        world_size: Number of processes. Defaults to 1.
    """
    if len(dataloader) == 0:
        raise ValueError(
            f'the training set has {len(dataloader.dataset)} images, too few '
            f'for one batch of {dataloader.batch_size} on each of '
            f'{world_size} processes: lower train_dataloader.batch_size, use '
            'fewer processes, or set train_dataloader.drop_last=False'
        )


def _modules(runner: Runner) -> Iterable[nn.Module]:
    model = runner.model
    return (model.module if is_model_wrapper(model) else model).modules()


@HOOKS.register_module()
class ClassComplementHook(Hook):
    """Counts the classes, and says which of them are complemented.

    Before training it counts the images of each class, through any dataset
    wrapper, and hands the counts to every module of the model and every
    metric that has ``set_class_counts``. The counts are written into
    checkpoints, so that testing needs no training set. Before each iteration
    it tells the head whether to complement the classes.

    Put it into ``default_hooks``, so that a user's ``custom_hooks`` do not
    drop it.

    Args:
        begin_epoch: First epoch (from 0) with class-complement. Defaults
            to 0.

    Raises:
        ValueError: ``begin_epoch`` is negative.
    """

    # Before EMAHook and CheckpointHook (NORMAL and later).
    priority = 'ABOVE_NORMAL'

    def __init__(self, begin_epoch: int = 0) -> None:
        if begin_epoch < 0:
            raise ValueError(f'begin_epoch must be >= 0, got {begin_epoch}')
        self.begin_epoch = begin_epoch
        self.class_counts: Optional[np.ndarray] = None

    def before_train(self, runner: Runner) -> None:
        """Count the training set and hand the counts to the model.

        Raises:
            ValueError: The training set has no batch, a class without image
                or another number of classes than the head, or contradicts
                the counts in the config.
        """
        require_one_batch(runner.train_dataloader, runner.world_size)
        dataset = runner.train_dataloader.dataset
        names = class_names_of(dataset)
        self.class_counts = check_class_counts(
            count_classes(dataset), class_names=names
        )
        for module in _modules(runner):
            if hasattr(module, 'set_class_counts'):
                module.set_class_counts(self.class_counts)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Tell the head whether to complement the classes."""
        enabled = runner.epoch >= self.begin_epoch
        for module in _modules(runner):
            if hasattr(module, 'set_class_complement'):
                module.set_class_complement(enabled)

    def before_val(self, runner: Runner) -> None:
        """Hand the counts to the validation metrics."""
        self._inform(runner, runner.val_evaluator)

    def before_test(self, runner: Runner) -> None:
        """Hand the counts to the test metrics."""
        self._inform(runner, runner.test_evaluator)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Write the counts into the checkpoint's ``meta``."""
        if self.class_counts is not None:
            checkpoint['meta']['class_counts'] = self.class_counts.tolist()

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Read the counts, unless the training set has been counted."""
        counts = checkpoint.get('meta', {}).get('class_counts')
        if counts is not None and self.class_counts is None:
            self.class_counts = check_class_counts(counts)

    def _inform(self, runner: Runner, evaluator: Evaluator) -> None:
        counts = self.class_counts
        if counts is None:  # a checkpoint that another hook wrote
            for module in _modules(runner):
                found = getattr(module, 'class_counts', None)
                if found is not None and found.any():
                    counts = found.cpu().numpy()
        if counts is None:
            return  # a metric that needs them says how to give them
        for metric in evaluator.metrics:
            if hasattr(metric, 'set_class_counts'):
                metric.set_class_counts(counts)
