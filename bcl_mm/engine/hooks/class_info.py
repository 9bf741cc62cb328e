"""Class counts and names: for the model, the metrics and checkpoints."""

from __future__ import annotations

from functools import partial
from typing import Any, Optional, Sequence

import numpy as np
from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmengine.runner import Runner

from bcl_mm.classes import (
    ClassInfo,
    bincount_labels,
    class_names_of,
    labels_of,
    readers_of,
    shifted_classes,
    source_of,
)
from bcl_mm.engine.data_digest import data_digest
from bcl_mm.engine.metric_names import check_metric_names
from bcl_mm.engine.resume import check_epoch_length
from bcl_mm.registry import DATASETS, HOOKS
from bcl_mm.utils.errors import (
    InputTypeError,
    InputValueError,
    check_flag,
    visible,
)
from bcl_mm.utils.modules import given_info, metrics_of, set_class_info
from bcl_mm.utils.protocols import TakesClassInfo


def _log_notes(runner: Runner, datasets: Sequence[Any]) -> None:
    """Log, each once, what the readers of own data chose and found."""
    readers = [r for dataset in datasets for r in readers_of(dataset)]
    logger = runner.logger
    note = partial(logger.info, extra=dict(is_note=True))  # for the terminal
    for attribute, log in (('notes', note), ('problems', logger.warning)):
        texts = [t for r in readers for t in getattr(r, attribute, ())]
        for text in dict.fromkeys(texts):
            log(visible(text))


@HOOKS.register_module()
class ClassInfoHook(Hook):
    """Hands class counts and names to whatever needs them.

    Before training it logs what the readers of the data note, and counts the
    images of each class, through any dataset
    wrapper, and calls ``set_class_info(info)`` of every module of the model
    and of every metric that has it. Where the config gives ``class_counts``
    (to the head or a loss), the data must agree with them; data without
    labels, such as streams, are not counted. The counts are written into the
    ``meta`` of checkpoints, so that testing needs no training set. If a
    checkpoint has none (another program wrote it), testing counts the
    training set, if that exists.

    Labels and class names of the validation and test set must fit those of
    the training set; on resuming, so must the counts in the checkpoint, and
    the images must be the same. The
    metrics must have different names, and ``save_best`` must name one of them.

    Args:
        allow_changed_data: Whether training may resume with other counts
            than those of the checkpoint, or with epochs of another length
            (``bcl-mm train --allow-changed-data``). Defaults to False.

    Raises:
        InputTypeError: ``allow_changed_data`` is not a bool.
    """

    # Before EMAHook and CheckpointHook (NORMAL and later).
    priority = 'ABOVE_NORMAL'

    def __init__(self, allow_changed_data: bool = False) -> None:
        check_flag('allow_changed_data', allow_changed_data)
        self.allow_changed_data = allow_changed_data
        self.info: Optional[ClassInfo] = None
        self._digest: Optional[str] = None

    def before_train(self, runner: Runner) -> None:
        """Count the training set and hand the counts on.

        Raises:
            InputValueError: The training set has a class without images or
                another number of classes than the head, or contradicts the
                config or the checkpoint that training resumes from.
        """
        resumed = self.info if runner._resume else None
        data = runner.train_dataloader.dataset
        info = self._set_from_data(runner, data, resumed)
        if resumed is not None:
            self._compare_counts(runner, info, resumed)
        self._compare_digests(runner)
        datasets = [runner.train_dataloader.dataset]
        if runner.val_loop is not None:
            datasets.append(runner.val_dataloader.dataset)
        _log_notes(runner, datasets)
        if runner._resume:
            check_epoch_length(runner, self.allow_changed_data)
        # Now, and not when the first validation comes, after hours.
        if runner.val_loop is not None:
            self._tell_metrics(runner.val_evaluator)
            dataset = runner.val_dataloader.dataset
            labels = self._check_labels(dataset, 'validation')
            self._check_names(runner.val_evaluator, labels, runner.hooks)

    def before_val(self, runner: Runner) -> None:
        """Hand the counts to the validation metrics."""
        self._tell_metrics(runner.val_evaluator)

    def before_test(self, runner: Runner) -> None:
        """Hand the counts to the test metrics.

        Raises:
            InputValueError: The training set had to be counted and does not
                fit the model, or the test set does not fit it.
        """
        if self.info is None:
            self.info = given_info(runner.model)
        if self.info is not None:
            set_class_info(runner.model, self.info)
        elif any(
            getattr(metric, 'given_info', None) is None
            for metric in metrics_of(runner.test_evaluator, TakesClassInfo)
        ):
            self._count_for_test(runner)
        self._tell_metrics(runner.test_evaluator)
        labels = self._check_labels(runner.test_dataloader.dataset, 'test')
        self._check_names(runner.test_evaluator, labels)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Write the counts into the checkpoint's ``meta``."""
        if self.info is not None:
            self.info.write(checkpoint['meta'])
        if self._digest is not None:
            checkpoint['meta']['data_digest'] = self._digest

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Read the counts, unless the training set has been counted."""
        if self.info is None:
            self.info = ClassInfo.from_meta(checkpoint.get('meta', {}))
        self._digest = checkpoint.get('meta', {}).get('data_digest')

    def _compare_counts(
        self, runner: Runner, info: ClassInfo, resumed: ClassInfo
    ) -> None:
        """Check that training resumes with the same classes."""
        try:
            info.require_same(
                resumed,
                'the checkpoint',
                'Resume with the data that it was trained on, keep these '
                'with --allow-changed-data, or start a new training from its '
                'weights with load_from',
            )
        except InputValueError as error:
            shifted = shifted_classes(info.names, resumed.names)
            if shifted or not self.allow_changed_data:
                raise
            runner.logger.warning(f'resuming with other data: {error}')

    def _compare_digests(self, runner: Runner) -> None:
        """Check that training resumes with the same images."""
        old = self._digest
        self._digest = data_digest(runner.train_dataloader.dataset)
        if not runner._resume or old is None or old == self._digest:
            return
        message = (
            'the training images are not those of the checkpoint, or are in '
            'another order'
        )
        if not self.allow_changed_data:
            raise InputValueError(
                f'{message}. Resume with the data that it was trained on, '
                'keep these with --allow-changed-data, or start a new '
                'training from its weights with load_from'
            )
        runner.logger.warning(f'resuming with other data: {message}')

    def _check_labels(self, dataset: Any, name: str) -> Optional[np.ndarray]:
        """Check the labels and names of a dataset; None without labels."""
        if self.info is None:
            return None
        labels = None
        if hasattr(dataset, 'get_gt_labels'):
            try:
                labels = labels_of(dataset)
                bincount_labels(labels, len(self.info.counts))
            except ValueError as error:
                raise InputValueError(f'{name} set: {error}') from error
        shifted = shifted_classes(self.info.names, class_names_of(dataset))
        if shifted:
            raise InputValueError(f'{name} set: {shifted}')
        return labels

    def _check_names(
        self,
        evaluator: Evaluator,
        labels: Optional[np.ndarray],
        hooks: Sequence[Hook] = (),
    ) -> None:
        if labels is not None and self.info is not None:
            num_classes = len(self.info.counts)
            check_metric_names(evaluator, labels, num_classes, hooks)

    def _set_from_data(
        self, runner: Runner, data: Any, fallback: Optional[ClassInfo] = None
    ) -> ClassInfo:
        """Count a training set and hand the counts to the model.

        Data without labels, such as a stream, take what the config gives, or
        else ``fallback``.
        """
        source = source_of(data)
        try:
            try:
                info = ClassInfo.from_dataset(data)
            except InputTypeError:
                given = given_info(runner.model) or fallback
                if given is None:
                    raise
                info = given
            self.info = info
            set_class_info(runner.model, info)
        except InputValueError as error:
            raise InputValueError(
                f'training set{source and f" {source}"}: {error}'
            ) from error
        return info

    def _count_for_test(self, runner: Runner) -> None:
        """Count the training set of the config, if it exists."""
        # Not runner.train_dataloader, which needs schedule and optimizer.
        loader = runner.cfg.get('train_dataloader')
        if loader is None:
            return
        try:
            dataset = DATASETS.build(loader['dataset'])
            if hasattr(dataset, 'full_init'):
                dataset.full_init()
        except FileNotFoundError as error:
            runner.logger.warning(
                'The checkpoint has no class counts, and the training set '
                f'cannot be counted: {error}'
            )
            return
        info = self._set_from_data(runner, dataset)
        runner.logger.info(
            'The checkpoint has no class counts: counted '
            f'{info.counts.sum()} images of {len(info.counts)} '
            'classes in the training set',
            extra=dict(is_note=True),
        )

    def _tell_metrics(self, evaluator: Evaluator) -> None:
        if self.info is not None:  # else the metric says how to give it
            for metric in metrics_of(evaluator, TakesClassInfo):
                metric.set_class_info(self.info)
