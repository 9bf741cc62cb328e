"""Accuracy of many-, medium- and few-shot classes."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
import torch
from mmengine.evaluator import BaseMetric

from bcl_mm.checks import check_flag
from bcl_mm.class_counts import (
    check_class_counts,
    reconcile_class_counts,
    shot_groups,
)
from bcl_mm.labels import bincount_labels
from bcl_mm.registry import METRICS


@METRICS.register_module()
class ShotAccuracy(BaseMetric):
    """Top-1 accuracy, and that of many-, medium- and few-shot classes.

    A group's accuracy is the mean of its classes' accuracies (Liu et al.,
    CVPR 2019). Classes without test images are left out of it; a group
    without any class is left out of the result.

    Emits ``accuracy/top1``, ``accuracy/many``, ``accuracy/medium``,
    ``accuracy/few`` and, on request, ``accuracy/class_<i>``, in percent.

    Args:
        many: Classes with more training images than this are many-shot.
            Defaults to 100.
        few: Classes with fewer training images than this are few-shot.
            Defaults to 20.
        per_class: Emit each class's accuracy too. Defaults to False.
        class_counts: (C,) training images per class. Defaults to None: from
            :class:`~bcl_mm.hooks.ClassComplementHook`.
        collect_device: Where results of ranks meet. Defaults to ``'cpu'``.
        prefix: Prefix of the names. Defaults to ``'accuracy'``.

    Raises:
        TypeError: A threshold is no whole number, or ``per_class`` no bool.
        ValueError: A threshold is negative, or the groups would overlap.
    """

    default_prefix = 'accuracy'

    def __init__(
        self,
        many: int = 100,
        few: int = 20,
        per_class: bool = False,
        class_counts: Optional[Sequence[int]] = None,
        collect_device: str = 'cpu',
        prefix: Optional[str] = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        shot_groups([1], many, few)  # refuses wrong thresholds
        check_flag('per_class', per_class)
        self.many = many
        self.few = few
        self.per_class = per_class
        self.class_counts = self._given_counts = None
        if class_counts is not None:
            self._given_counts = check_class_counts(class_counts)
            self.class_counts = self._given_counts

    def set_class_counts(self, class_counts: Any) -> None:
        """Take the (C,) training images per class.

        Raises:
            ValueError: They contradict those that the config gives.
        """
        counts = check_class_counts(class_counts)
        reconcile_class_counts(self._given_counts, counts, type(self).__name__)
        self.class_counts = counts

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep (predicted class, label) of each sample of a batch.

        Raises:
            ValueError: The class counts are not known.
        """
        if self.class_counts is None:
            raise ValueError(
                'ShotAccuracy needs class_counts, the number of training '
                'images per class: test a checkpoint that was trained with '
                'ClassComplementHook (it keeps them), or give '
                'ShotAccuracy(class_counts=[...]), e.g. --cfg-options '
                'test_evaluator.class_counts="[...]"'
            )
        # One transfer for the batch, not one for each sample.
        pairs = torch.stack(
            [
                torch.cat([sample['pred_label'] for sample in data_samples]),
                torch.cat([sample['gt_label'] for sample in data_samples]),
            ],
            dim=1,
        )
        self.results.extend(pairs.tolist())

    def compute_metrics(self, results: List[Tuple[int, int]]) -> Dict:
        """Accuracies in percent, from the pairs of all ranks."""
        predictions, labels = np.array(results, dtype=np.int64).T
        return self.calculate(
            predictions,
            labels,
            self.class_counts,
            self.many,
            self.few,
            self.per_class,
        )

    @staticmethod
    def calculate(
        predictions: np.ndarray,
        labels: np.ndarray,
        class_counts: Sequence[int],
        many: int = 100,
        few: int = 20,
        per_class: bool = False,
    ) -> Dict[str, float]:
        """Accuracies in percent.

        Args:
            predictions: (N,) predicted classes.
            labels: (N,) true classes.
            class_counts: (C,) training images per class.
            many: See the class.
            few: See the class.
            per_class: See the class.

        Returns:
            ``top1``, those of ``many``, ``medium`` and ``few`` that have
            classes, and ``class_<i>`` on request.

        Raises:
            TypeError: A threshold is no whole number, or ``per_class`` no
                bool.
            ValueError: A label or a threshold is out of range.
        """
        check_flag('per_class', per_class)
        predictions, labels = np.asarray(predictions), np.asarray(labels)
        num_classes = len(class_counts)
        totals = bincount_labels(labels, num_classes)
        hits = bincount_labels(labels[predictions == labels], num_classes)
        tested = totals > 0
        accuracies = 100 * hits / np.maximum(totals, 1)  # (C,)
        metrics = dict(top1=100 * hits.sum() / totals.sum())
        for name, members in shot_groups(class_counts, many, few).items():
            if (members & tested).any():
                metrics[name] = accuracies[members & tested].mean()
        if per_class:
            for i in np.flatnonzero(tested):
                metrics[f'class_{i}'] = accuracies[i]
        return {name: float(value) for name, value in metrics.items()}
