"""Accuracy, overall and of many-, medium- and few-shot classes."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
import torch

from bcl_mm.classes import bincount_labels, shot_groups
from bcl_mm.evaluation.base import ShotMetric
from bcl_mm.registry import METRICS
from bcl_mm.utils.errors import check_flag


@METRICS.register_module()
class ShotAccuracy(ShotMetric):
    r"""Top-1 accuracy, and that of many-, medium- and few-shot classes.

    A group's accuracy is the mean of its classes' accuracies (Liu et al.,
    CVPR 2019), without classes that have no test images. A group without
    such classes is omitted. From the accuracies :math:`a_c` of the C' tested
    classes it also computes

    .. math::
        balanced = \frac{1}{C'} \sum_c a_c, \quad
        harmonic = \frac{C'}{\sum_c 1 / a_c}, \quad
        worst = \min_c a_c

    (the harmonic mean is 0 if any class has 0: no other class can make up
    for it).

    Emits ``accuracy/top1``, ``accuracy/many``, ``accuracy/medium``,
    ``accuracy/few``, ``accuracy/balanced``, ``accuracy/harmonic``,
    ``accuracy/worst`` and, with ``per_class``, ``accuracy/class_<i>``, in
    percent.

    Args:
        many: Classes with more training images than this are many-shot.
            Defaults to 100.
        few: Classes with fewer training images than this are few-shot.
            Defaults to 20.
        per_class: Also emit the accuracy of each class. Defaults to False.
        class_counts: (C,) training images per class. Defaults to None: from
            :class:`~bcl_mm.engine.hooks.ClassInfoHook`.
        collect_device: Where the results of all ranks are collected.
            Defaults to ``'cpu'``.
        prefix: Prefix of the names. Defaults to ``'accuracy'``.

    Raises:
        TypeError: A threshold is not an integer, or ``per_class`` is not a
            bool.
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
        super().__init__(many, few, class_counts, collect_device, prefix)
        check_flag('per_class', per_class)
        self.per_class = per_class

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Collect (predicted class, label) of each sample of a batch.

        Raises:
            ValueError: The class counts are unknown.
        """
        self.require_class_counts()
        # One transfer per batch, not one per sample.
        pairs = torch.stack(
            [
                torch.cat([sample['pred_label'] for sample in data_samples]),
                torch.cat([sample['gt_label'] for sample in data_samples]),
            ],
            dim=1,
        )
        self.results.extend(pairs.tolist())

    def compute_metrics(self, results: List[Tuple[int, int]]) -> Dict:
        """Compute accuracies in percent from the pairs of all ranks."""
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
        """Compute accuracies in percent.

        Args:
            predictions: (N,) predicted classes.
            labels: (N,) true classes.
            class_counts: (C,) training images per class.
            many: See the class.
            few: See the class.
            per_class: See the class.

        Returns:
            ``top1``, those of ``many``, ``medium`` and ``few`` that have
            tested classes, ``balanced``, ``harmonic``, ``worst`` and, with
            ``per_class``, ``class_<i>``.

        Raises:
            TypeError: A threshold is not an integer, or ``per_class`` is
                not a bool.
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
        metrics['balanced'] = accuracies[tested].mean()
        metrics['harmonic'] = 0.0
        if hits[tested].all():
            inverse = totals[tested] / hits[tested]
            metrics['harmonic'] = 100 * len(inverse) / inverse.sum()
        metrics['worst'] = accuracies[tested].min()
        if per_class:
            for i in np.flatnonzero(tested):
                metrics[f'class_{i}'] = accuracies[i]
        return {name: float(value) for name, value in metrics.items()}
