"""Accuracy, overall and of many-, medium- and few-shot classes."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence, Tuple

import numpy as np
import torch

from bcl_mm.classes import bincount_labels, shot_groups
from bcl_mm.evaluation.base import ShotMetric, require_one_each
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
        per_class: Also emit the accuracy of each class. Defaults to False.
        **kwargs: Arguments of :class:`~bcl_mm.evaluation.ShotMetric`.

    Raises:
        TypeError: A threshold is not an integer, or ``per_class`` is not a
            bool.
        InputValueError: A threshold is negative, or the groups would overlap.
    """

    default_prefix = 'accuracy'

    def __init__(self, *, per_class: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_flag('per_class', per_class)
        self.per_class = per_class

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Collect (predicted class, label) of each sample of a batch.

        Raises:
            InputTypeError, InputValueError: See
                :meth:`~bcl_mm.evaluation.ShotMetric.read`.
        """
        predictions, labels, _ = self.read(data_samples)
        self.results += torch.stack([predictions, labels], dim=1).tolist()

    def compute_metrics(self, results: List[Tuple[int, int]]) -> Dict:
        """Compute accuracies in percent from the pairs of all ranks."""
        predictions, labels = np.array(results, dtype=np.int64).T
        groups = self.class_counts, self.many, self.few
        return self.calculate(predictions, labels, *groups, self.per_class)

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
            many, few, per_class: See the class.

        Returns:
            ``top1``, those of ``many``, ``medium`` and ``few`` that have
            tested classes, ``balanced``, ``harmonic``, ``worst`` and, with
            ``per_class``, ``class_<i>``.

        Raises:
            InputTypeError: A threshold, a prediction or a label is not an
                integer, or ``per_class`` is not a bool.
            InputValueError: One is out of range, or there is not one
                prediction for each label.
        """
        check_flag('per_class', per_class)
        predictions, labels = np.asarray(predictions), np.asarray(labels)
        num_classes = len(class_counts)
        require_one_each(predictions, labels, num_classes)
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
