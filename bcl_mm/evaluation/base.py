"""Base class of metrics of many-, medium- and few-shot classes."""

from __future__ import annotations

from typing import Optional, Sequence, Tuple

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from torch import Tensor

from bcl_mm.classes import ClassInfo, bincount_labels, shot_groups
from bcl_mm.utils.errors import InputValueError
from bcl_mm.utils.labels import class_labels, sample_labels


def require_one_each(
    predictions: np.ndarray, labels: np.ndarray, num_classes: int
) -> None:
    """Raise an InputError unless each label in range has a prediction."""
    bincount_labels(labels, num_classes)
    bincount_labels(predictions, num_classes, 'predictions')
    if len(predictions) != len(labels) or not len(labels):
        raise InputValueError(
            'there must be one prediction for each label, and at least one, '
            f'got {len(predictions)} for {len(labels)}'
        )


def count_hits(
    predictions: np.ndarray, labels: np.ndarray, num_classes: int
) -> Tuple[np.ndarray, np.ndarray]:
    """Right predictions (C,) and labels (C,) of each class, checked.

    Raises:
        InputTypeError: A prediction or a label is not an integer.
        InputValueError: See :func:`require_one_each`.
    """
    predictions, labels = np.asarray(predictions), np.asarray(labels)
    require_one_each(predictions, labels, num_classes)
    hits = bincount_labels(labels[predictions == labels], num_classes)
    return hits, bincount_labels(labels, num_classes)


class ShotMetric(BaseMetric):
    """A metric that groups classes by their number of training images.

    Args:
        many: Classes with more training images than this are many-shot.
            Defaults to 100.
        few: Classes with fewer training images than this are few-shot.
            Defaults to 20.
        class_counts: (C,) training images per class. Defaults to None: from
            :class:`~bcl_mm.engine.hooks.ClassInfoHook`.
        collect_device: Device on which the ranks' results are collected.
            Defaults to ``'cpu'``.
        prefix: Prefix of the names. Defaults to the metric's own.

    Raises:
        InputTypeError: A threshold is not a whole number.
        InputValueError: A threshold is negative, or the groups would overlap.

    Example:
        The share of predictions that are few-shot classes, in percent:

        >>> class FewShare(ShotMetric):
        ...     default_prefix = 'share'
        ...     def process(self, data_batch, data_samples):
        ...         predictions, labels, scores = self.read(data_samples)
        ...         counts = self.known_counts()[predictions]
        ...         self.results += (counts < self.few).tolist()
        ...     def compute_metrics(self, results):
        ...         return dict(few=100 * sum(results) / len(results))
        >>> metric = FewShare(class_counts=[200, 5])
        >>> scores = torch.tensor([[0.9, 0.1], [0.2, 0.8]])
        >>> cat = torch.tensor([1])
        >>> metric.process(None, [
        ...     dict(pred_score=row, pred_label=best, gt_label=cat)
        ...     for row, best in zip(scores, scores.argmax(1, keepdim=True))
        ... ])
        >>> metric.evaluate(size=2)
        {'share/few': 50.0}
    """

    def __init__(
        self,
        many: int = 100,
        few: int = 20,
        class_counts: Optional[Sequence[int]] = None,
        collect_device: str = 'cpu',
        prefix: Optional[str] = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        shot_groups([1], many, few)  # refuses wrong thresholds
        self.many = many
        self.few = few
        self.class_counts: Optional[np.ndarray] = None
        self.given_info: Optional[ClassInfo] = None
        if class_counts is not None:
            self.given_info = ClassInfo(class_counts)
            self.set_class_info(self.given_info)

    def set_class_info(self, info: ClassInfo) -> None:
        """Take the training images per class.

        Raises:
            InputValueError: They contradict those that the config gives.
        """
        info.require_same(self.given_info, type(self).__name__)
        self.class_counts = info.counts

    def known_counts(self) -> np.ndarray:
        """(C,) training images per class.

        Raises:
            InputValueError: They are unknown.
        """
        if self.class_counts is None:
            name = type(self).__name__
            raise InputValueError(
                f'{name} needs class_counts, the number of training '
                'images per class: test a checkpoint that was trained with '
                'ClassInfoHook (it keeps them), or give '
                f'{name}(class_counts=[...]), e.g. --cfg-options '
                'test_evaluator.class_counts="[...]"'
            )
        return self.class_counts

    def read(
        self, data_samples: Sequence[dict]
    ) -> Tuple[Tensor, Tensor, Tensor]:
        """Predictions (B,), labels (B,) and top scores (B,), checked.

        Raises:
            InputTypeError: A label is not an integer.
            InputValueError: The class counts are unknown, a sample has not
                one label, a label is out of range, or scores are not finite
                or not one per class.
        """
        num_classes = len(self.known_counts())
        labels, _ = class_labels(
            sample_labels(data_samples).cpu(), num_classes
        )
        scores = [sample['pred_score'] for sample in data_samples]
        for row in scores:
            if row.shape != (num_classes,):
                raise InputValueError(
                    'the model must give one score for each of the '
                    f'{num_classes} classes, got shape {tuple(row.shape)}: '
                    "the head's num_classes is not that of the training set"
                )
        predictions = torch.cat([s['pred_label'] for s in data_samples])
        best = torch.stack(scores).amax(dim=1).cpu()  # NaN if one is
        if not best.isfinite().all():
            raise InputValueError(
                'scores must be finite, got '
                f'{best[~best.isfinite()][0]}: the weights of the model, or '
                'the images, have NaN or infinite values'
            )
        return predictions.cpu(), labels, best
