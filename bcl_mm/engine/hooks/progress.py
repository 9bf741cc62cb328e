"""Progress of training, for modules that depend on it."""

from __future__ import annotations

from typing import Any, List, Tuple, Type, TypeVar

from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch.utils.data import DataLoader

from bcl_mm.registry import HOOKS
from bcl_mm.utils.distributed import require_equal
from bcl_mm.utils.errors import InputValueError
from bcl_mm.utils.modules import metrics_of, parts_of, training_state
from bcl_mm.utils.protocols import StartsEpochs, TakesProgress

_Contract = TypeVar('_Contract')


def require_one_batch(dataloader: DataLoader, world_size: int = 1) -> None:
    """Raise an InputValueError if an epoch would have no iteration.

    Args:
        dataloader: The training dataloader of this process.
        world_size: Number of processes. Defaults to 1.
    """
    if len(dataloader) == 0:
        data: Any = dataloader.dataset
        raise InputValueError(
            f'the training set has {len(data)} images, too few '
            f'for one batch of {dataloader.batch_size} on each of '
            f'{world_size} processes: lower train_dataloader.batch_size, use '
            'fewer processes, or set train_dataloader.drop_last=False'
        )


def epoch_and_position(runner: Runner, batch_idx: int) -> Tuple[int, int]:
    """Epoch (from 0) of the iteration, and its position in that epoch.

    An epoch-based loop that resumes inside an epoch starts it again:
    ``runner.iter`` then exceeds the iterations of the epochs, to the end.
    """
    length = len(runner.train_dataloader)
    if isinstance(runner.train_loop, EpochBasedTrainLoop):
        return divmod(runner.epoch * length + batch_idx, length)
    return divmod(runner.iter, length)  # runner.epoch stays 0


@HOOKS.register_module()
class ProgressHook(Hook):
    """Tells modules and metrics how far training is.

    Of every module of the model, and of every validation metric, that has
    the method, it calls

    - ``start_epoch(epoch)`` in the first iteration of an epoch (from 0), in
      every kind of loop. It is an event: training that resumes inside an
      epoch does not repeat it, and what a module changes by it belongs in a
      buffer;
    - ``set_progress(t)`` before every iteration, with t in [0, 1).

    When an epoch starts and when training ends, the state of branches and
    losses must be the same on all ranks: a difference is an InputValueError.
    """

    priority = 'ABOVE_NORMAL'

    def before_train(self, runner: Runner) -> None:
        """Refuse a training set without a batch; note where training is."""
        require_one_batch(runner.train_dataloader, runner.world_size)
        if runner.iter == 0:
            runner.message_hub.update_info('started_epoch', -1)
        is_by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
        if is_by_epoch and runner.epoch == self._started_epoch(runner):
            runner.logger.warning(
                f'training resumes inside epoch {runner.epoch + 1}, which '
                'MMEngine starts again from its first image: save '
                'checkpoints by_epoch=True, or train with '
                'IterBasedTrainLoop, to resume where it stopped'
            )

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Announce a new epoch, and the progress."""
        epoch, position = epoch_and_position(runner, batch_idx)
        if position == 0:
            require_equal(training_state(runner.model))
        if position == 0 and epoch != self._started_epoch(runner):
            runner.message_hub.update_info('started_epoch', epoch)
            for starting in self._parts(runner, StartsEpochs):
                starting.start_epoch(epoch)
        done = epoch * len(runner.train_dataloader) + position
        for part in self._parts(runner, TakesProgress):
            part.set_progress(done / runner.max_iters)

    def after_train(self, runner: Runner) -> None:
        """Check the state that training has left."""
        require_equal(training_state(runner.model))

    @staticmethod
    def _started_epoch(runner: Runner) -> int:
        """The last epoch that was announced, also before a resumption."""
        return runner.message_hub.runtime_info.get('started_epoch', -1)

    def _parts(
        self, runner: Runner, contract: Type[_Contract]
    ) -> List[_Contract]:
        parts = parts_of(runner.model, contract)
        if runner.val_loop is not None:
            parts += metrics_of(runner.val_evaluator, contract)
        return parts
