"""Class-complement's switch and book-keeper; batch norm's statistics."""

from __future__ import annotations

from typing import Any, Dict, Iterable, Optional, Sequence

import numpy as np
from mmengine.dist import all_reduce_params
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from bcl_mm.classes import (
    bincount_labels,
    check_class_counts,
    class_names_of,
    count_classes,
    labels_of,
    shifted_classes,
    source_of,
)
from bcl_mm.engine.hooks.sample_seed import mix
from bcl_mm.registry import DATASETS, HOOKS
from bcl_mm.utils.checkpoint import is_only_for_training, misfits, weights_of
from bcl_mm.utils.errors import InputValueError, check_number


def require_one_batch(dataloader: DataLoader, world_size: int = 1) -> None:
    """Raise a ValueError if an epoch would have no iteration at all.

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


def _model(runner: Runner) -> nn.Module:
    model = runner.model
    return model.module if is_model_wrapper(model) else model


def _modules(runner: Runner) -> Iterable[nn.Module]:
    return _model(runner).modules()


def _takes_counts(component: Any) -> bool:
    return hasattr(component, 'set_class_counts')


def _takes_model(metric: BaseMetric) -> bool:
    return hasattr(metric, 'set_model')


@HOOKS.register_module()
class ClassComplementHook(Hook):
    """Counts the classes, and says which of them are complemented.

    Before training it counts the images of each class, through any dataset
    wrapper, and hands the counts to every module of the model and every
    metric that has ``set_class_counts``. The counts are written into
    checkpoints, so that testing needs no training set; where a checkpoint has
    none (another program trained it), testing counts the training set, if it
    is there. Before each iteration it tells the head whether to complement
    the classes, and every module that has ``set_progress`` how far training
    is. Before a validation or test it hands the model, unwrapped, to every
    metric that has ``set_model``.

    Put it into ``default_hooks``, so that a user's ``custom_hooks`` do not
    drop it.

    Args:
        begin_epoch: First epoch (from 0) with class-complement. Defaults
            to 0.
        num_sampled: How many of the classes that the global batch does not
            have complement it, drawn anew in each iteration, the same on all
            ranks (see :func:`~bcl_mm.models.contrast.sample_classes`). For
            tens of thousands of classes, whose prototypes would cost more
            than the backbone. The prototype projector's BatchNorm then runs
            over the batch's and the sampled classes, so that frequent
            classes, which are in most batches, weigh more in its statistics
            than among all
            classes. Defaults to None: all.

    Raises:
        TypeError: ``begin_epoch`` or ``num_sampled`` is no whole number.
        ValueError: ``begin_epoch`` is negative, or ``num_sampled < 1``.
    """

    # Before EMAHook and CheckpointHook (NORMAL and later).
    priority = 'ABOVE_NORMAL'

    def __init__(
        self, begin_epoch: int = 0, num_sampled: Optional[int] = None
    ) -> None:
        check_number('begin_epoch', begin_epoch, at_least=0, whole=True)
        if num_sampled is not None:
            check_number('num_sampled', num_sampled, at_least=1, whole=True)
        self.begin_epoch = begin_epoch
        self.num_sampled = num_sampled
        self.class_counts: Optional[np.ndarray] = None
        self._class_names: Optional[Sequence[str]] = None
        self._misfits: Dict[str, str] = {}

    def before_train(self, runner: Runner) -> None:
        """Count the training set and hand the counts to the model.

        Raises:
            ValueError: The training set has no batch, a class without image
                or another number of classes than the head, or contradicts
                the counts in the config.
        """
        require_one_batch(runner.train_dataloader, runner.world_size)
        self._count(runner, runner.train_dataloader.dataset)
        # Now, and not when the first validation comes, after hours.
        if runner.val_loop is not None:
            self._inform(runner, runner.val_evaluator)
            self._check_labels(runner.val_dataloader.dataset, 'validation')

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Tell the model how far training is, and what is complemented."""
        # runner.epoch stays 0 where training counts iterations.
        epoch = runner.iter // len(runner.train_dataloader)
        for module in _modules(runner):
            if hasattr(module, 'set_class_complement'):
                module.set_class_complement(
                    epoch >= self.begin_epoch,
                    self.num_sampled,
                    mix(runner.seed, runner.iter),
                )
            if hasattr(module, 'set_progress'):
                module.set_progress(runner.iter / runner.max_iters)

    def before_val(self, runner: Runner) -> None:
        """Hand counts and model to the validation metrics."""
        self._inform(runner, runner.val_evaluator)
        self._show_model(runner, runner.val_evaluator)

    def before_test(self, runner: Runner) -> None:
        """Hand counts and model to the test metrics.

        Raises:
            ValueError: The checkpoint that was loaded is of another model, or
                the training set that had to be counted is.
        """
        projects = any(map(_takes_model, runner.test_evaluator.metrics))
        misfits = [
            f'{name} {misfit}'
            for name, misfit in self._misfits.items()
            if not is_only_for_training(name, projects)
        ]
        if misfits:
            raise InputValueError(
                'the checkpoint does not fit the model of the config: '
                + '; '.join(misfits[:3])
            )
        if self._known_counts(runner) is None and any(
            _takes_counts(metric)
            and getattr(metric, 'class_counts', None) is None
            for metric in runner.test_evaluator.metrics
        ):
            self._count_for_test(runner)
        self._inform(runner, runner.test_evaluator)
        self._check_labels(runner.test_dataloader.dataset, 'test')
        self._show_model(runner, runner.test_evaluator)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Write the counts into the checkpoint's ``meta``."""
        if self.class_counts is not None:
            checkpoint['meta']['class_counts'] = self.class_counts.tolist()

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Read the counts, unless the training set has been counted."""
        # mmengine only logs them. That is well in training, where a new
        # classifier may start; a test of such a model means nothing.
        self._misfits = misfits(_model(runner), weights_of(checkpoint))
        counts = checkpoint.get('meta', {}).get('class_counts')
        if counts is not None and self.class_counts is None:
            self.class_counts = check_class_counts(counts)

    def _check_labels(self, dataset: Any, name: str) -> None:
        if self.class_counts is not None and hasattr(dataset, 'get_gt_labels'):
            try:
                bincount_labels(labels_of(dataset), len(self.class_counts))
            except ValueError as error:
                raise InputValueError(f'{name} set: {error}') from error
        shifted = shifted_classes(self._class_names, class_names_of(dataset))
        if shifted:
            raise InputValueError(f'{name} set: {shifted}')

    def _count(self, runner: Runner, dataset: Any) -> None:
        """Count the training set and hand the counts to the model."""
        self._class_names = class_names_of(dataset)
        takers = [m for m in _modules(runner) if _takes_counts(m)]
        expected = {getattr(m, 'num_classes', None) for m in takers} - {None}
        try:
            self.class_counts = check_class_counts(
                count_classes(dataset),
                expected.pop() if expected else None,
                self._class_names,
            )
        except ValueError as error:
            source = source_of(dataset)
            raise InputValueError(
                f'training set{source and f" {source}"}: {error}'
            ) from error
        for module in takers:
            module.set_class_counts(self.class_counts)

    def _count_for_test(self, runner: Runner) -> None:
        """Count the training set of the config, if it is there."""
        # Not runner.train_dataloader, which needs schedule and optimiser.
        loader = runner.cfg.get('train_dataloader')
        if loader is None:
            return
        try:
            dataset = DATASETS.build(loader['dataset'])
            if hasattr(dataset, 'full_init'):
                dataset.full_init()
        except FileNotFoundError as error:
            runner.logger.warning(
                'The checkpoint has no class counts, and the training set is '
                f'not there to be counted: {error}'
            )
            return
        self._count(runner, dataset)
        runner.logger.info(
            'The checkpoint has no class counts: counted '
            f'{self.class_counts.sum()} images of '
            f'{len(self.class_counts)} classes in the training set'
        )

    def _known_counts(self, runner: Runner) -> Optional[np.ndarray]:
        if self.class_counts is not None:
            return self.class_counts
        for module in _modules(runner):  # a checkpoint of another hook
            counts = getattr(module, 'class_counts', None)
            if counts is not None and counts.any():
                return counts.cpu().numpy()
        return None

    def _inform(self, runner: Runner, evaluator: Evaluator) -> None:
        counts = self._known_counts(runner)
        if counts is None:
            return  # a metric that needs them says how to give them
        for metric in evaluator.metrics:
            if _takes_counts(metric):
                metric.set_class_counts(counts)

    def _show_model(self, runner: Runner, evaluator: Evaluator) -> None:
        for metric in evaluator.metrics:
            if _takes_model(metric):
                metric.set_model(_model(runner))


@HOOKS.register_module()
class AverageStatisticsHook(Hook):
    """Averages batch norm's running statistics over the processes.

    Each process tracks those of its own batches. At the end of an epoch,
    before the checkpoint is written, they become one model's: validation
    uses the same on all processes, and a checkpoint loses none of them.
    (MMEngine's SyncBuffersHook fails on integers, such as class counts.)

    Put it into ``default_hooks``, so that a user's ``custom_hooks`` do not
    drop it.
    """

    # After EMAHook (NORMAL), before CheckpointHook (VERY_LOW).
    priority = 'LOW'

    def after_train_epoch(self, runner: Runner) -> None:
        """Average them, those of moving averages too."""
        modules = list(_modules(runner))
        for hook in runner.hooks:
            if hasattr(hook, 'ema_model'):
                modules.extend(hook.ema_model.modules())
        norms = [
            module
            for module in modules
            if isinstance(module, nn.modules.batchnorm._BatchNorm)
            and not isinstance(module, nn.SyncBatchNorm)
            and module.training  # else they are fixed, and equal
            and module.track_running_stats
        ]
        all_reduce_params(
            [b for n in norms for b in (n.running_mean, n.running_var)],
            op='mean',
        )
