"""Accuracy, overall and of many-, medium- and few-shot classes."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence, Union

import numpy as np
import torch

from bcl_mm.classes import ClassInfo, Counts, shot_groups
from bcl_mm.evaluation.base import ShotMetric, count_hits
from bcl_mm.registry import METRICS
from bcl_mm.utils.errors import check_flag, check_number

# In percent, of a class in the geometric mean.
_FLOOR = 0.1


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
        geometric = \Big(\prod_c a_c\Big)^{1 / C'}, \quad
        worst = \min_c a_c

    (the harmonic mean is 0 if any class has 0: no other class can make up
    for it; in the geometric mean, such a class counts as 0.1 %).

    Emits ``accuracy/top1``, ``accuracy/many``, ``accuracy/medium``,
    ``accuracy/few``, ``accuracy/balanced``, ``accuracy/harmonic``,
    ``accuracy/geometric``, ``accuracy/worst`` and, with ``per_class``,
    ``accuracy/class_<i>``, in percent.

    Args:
        per_class: Also emit the accuracy of each class. Defaults to False.
        topk: Ranks k: for each above 1, ``accuracy/top<k>`` is the share of
            images whose label is among the k highest scores. Defaults to 1.
        **kwargs: Arguments of :class:`~bcl_mm.evaluation.ShotMetric`.

    Raises:
        TypeError: A threshold or ``topk`` is not an integer, or ``per_class``
            is not a bool.
        InputValueError: A threshold is negative, the groups would overlap, or
            ``topk`` is out of range.

    Example:
        >>> predictions, labels = [0, 0, 1, 0], [0, 0, 1, 1]
        >>> counts = [200, 5]  # training images
        >>> figures = ShotAccuracy.calculate(predictions, labels, counts)
        >>> [figures[name] for name in ('top1', 'many', 'few', 'balanced')]
        [75.0, 100.0, 50.0, 75.0]
    """

    default_prefix = 'accuracy'

    def __init__(
        self,
        *,
        per_class: bool = False,
        topk: Union[int, Sequence[int]] = 1,
        **kwargs: Any,
    ) -> None:
        check_flag('per_class', per_class)
        self._ranks: List[int] = []
        for k in topk if isinstance(topk, (list, tuple)) else (topk,):
            check_number('topk', k, at_least=1, whole=True)
            self._ranks += [k] if k > 1 else []
        super().__init__(**kwargs)
        self.per_class = per_class

    def set_class_info(self, info: ClassInfo) -> None:
        """Take the training images per class.

        Raises:
            InputValueError: They contradict those that the config gives, or
                there are fewer classes than ``topk``.
        """
        super().set_class_info(info)
        for k in self._ranks:
            check_number('topk', k, at_most=len(info.counts))

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Collect (predicted class, label, hits) of each sample of a batch.

        Raises:
            InputTypeError, InputValueError: See
                :meth:`~bcl_mm.evaluation.ShotMetric.read`.
        """
        predictions, labels, _ = self.read(data_samples)
        columns = [predictions, labels]
        if self._ranks:
            scores = torch.stack([s['pred_score'] for s in data_samples])
            best = scores.topk(max(self._ranks)).indices.cpu()  # (B, k)
            is_hit = best == labels[:, None]
            columns += [is_hit[:, :k].any(1).long() for k in self._ranks]
        self.results += torch.stack(columns, dim=1).tolist()

    def compute_metrics(self, results: List[Sequence[int]]) -> Dict:
        """Compute accuracies in percent from the results of all ranks."""
        predictions, labels, *hits = np.array(results, dtype=np.int64).T
        groups = self.known_counts(), self.many, self.few
        metrics = self.calculate(predictions, labels, *groups, self.per_class)
        for k, is_hit in zip(self._ranks, hits):
            metrics[f'top{k}'] = 100 * float(is_hit.mean())
        return metrics

    @staticmethod
    def calculate(
        predictions: np.ndarray,
        labels: np.ndarray,
        class_counts: Counts,
        many: int = 100,
        few: int = 20,
        per_class: bool = False,
    ) -> Dict[str, float]:
        """Compute accuracies in percent.

        Args:
            predictions: (N,) predicted classes.
            labels: (N,) true classes.
            class_counts: (C,) training images per class.
            many: Classes with more images are many-shot. Defaults to 100.
            few: Classes with fewer images are few-shot. Defaults to 20.
            per_class: Add the accuracy of each class. Defaults to False.

        Returns:
            ``top1``, those of ``many``, ``medium`` and ``few`` that have
            tested classes, ``balanced``, ``harmonic``, ``geometric``,
            ``worst`` and, with
            ``per_class``, ``class_<i>``.

        Raises:
            InputTypeError: A threshold, a prediction or a label is not an
                integer, or ``per_class`` is not a bool.
            InputValueError: One is out of range, or there is not one
                prediction for each label.
        """
        check_flag('per_class', per_class)
        hits, totals = count_hits(predictions, labels, len(class_counts))
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
        floored = np.maximum(accuracies[tested], _FLOOR)
        # (Rounding may lead above 100.)
        metrics['geometric'] = min(100, np.exp(np.log(floored).mean()))
        metrics['worst'] = accuracies[tested].min()
        if per_class:
            for i in np.flatnonzero(tested):
                metrics[f'class_{i}'] = accuracies[i]
        return {name: float(value) for name, value in metrics.items()}
