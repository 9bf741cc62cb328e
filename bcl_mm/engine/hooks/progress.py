"""Progress of training, for modules that depend on it."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from bcl_mm.registry import HOOKS
from bcl_mm.utils.errors import InputValueError
from bcl_mm.utils.modules import tell, tell_metrics


def require_one_batch(dataloader: DataLoader, world_size: int = 1) -> None:
    """Raise an InputValueError if an epoch would have no iteration.

    Args:
        dataloader: The training dataloader of this process.
        world_size: Number of processes. Defaults to 1.
    """
    if len(dataloader) == 0:
        raise InputValueError(
            f'the training set has {len(dataloader.dataset)} images, too few '
            f'for one batch of {dataloader.batch_size} on each of '
            f'{world_size} processes: lower train_dataloader.batch_size, use '
            'fewer processes, or set train_dataloader.drop_last=False'
        )


@HOOKS.register_module()
class ProgressHook(Hook):
    """Tells modules and metrics how far training is.

    Of every module of the model, and of every validation metric, that has
    the method, it calls

    - ``start_epoch(epoch)`` in the first iteration of an epoch (from 0),
      where ``iter % len(loader) == 0``, in every kind of loop. It is an
      event: training that resumes inside an epoch does not repeat it, and
      what a module changes by it belongs in a buffer;
    - ``set_progress(t)`` before every iteration, with t in [0, 1).
    """

    priority = 'ABOVE_NORMAL'

    def before_train(self, runner: Runner) -> None:
        """Refuse a training set without a batch."""
        require_one_batch(runner.train_dataloader, runner.world_size)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Announce a new epoch, and the progress."""
        # runner.epoch stays 0 where training counts iterations.
        epoch, position = divmod(runner.iter, len(runner.train_dataloader))
        if position == 0:
            self._tell(runner, 'start_epoch', epoch)
        self._tell(runner, 'set_progress', runner.iter / runner.max_iters)

    def _tell(self, runner: Runner, method: str, value: float) -> None:
        tell(runner.model, method, value)
        if runner.val_loop is not None:
            tell_metrics(runner.val_evaluator, method, value)
