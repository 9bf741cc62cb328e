"""Calibration: whether confidences match accuracies."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from bcl_mm.classes import Counts, shot_groups
from bcl_mm.evaluation.base import ShotMetric, require_one_each
from bcl_mm.registry import METRICS
from bcl_mm.utils.errors import InputValueError, check_number


def _bin(confidences: np.ndarray, num_bins: int) -> np.ndarray:
    edges = np.linspace(0, 1, num_bins + 1)
    return np.searchsorted(edges[1:-1], confidences)


def reliability(
    confidences: np.ndarray, correct: np.ndarray, num_bins: int = 15
) -> Dict[str, np.ndarray]:
    r"""Confidence and accuracy per bin, as in a reliability diagram.

    Bin b of M holds the samples with a confidence in
    :math:`(b / M, (b + 1) / M]` (Guo et al., ICML 2017, Sec. 2); a
    confidence of 0 belongs to the first bin.

    Args:
        confidences: (N,) scores of the predicted classes, in [0, 1].
        correct: (N,) whether the prediction is correct.
        num_bins: Number M of bins. Defaults to 15.

    Returns:
        ``counts`` (M,) int64 samples, and the means ``confidence`` (M,) and
        ``accuracy`` (M,) in [0, 1]; 0 where a bin is empty.

    Raises:
        InputTypeError: ``num_bins`` is not an integer.
        ValueError: ``num_bins < 1``, a confidence is not in [0, 1], or the
            lengths differ.

    Example:
        >>> confidences, correct = [0.4, 0.7, 0.9], [False, False, True]
        >>> bins = reliability(confidences, correct, num_bins=2)
        >>> bins['counts'].tolist(), bins['accuracy'].tolist()
        ([1, 2], [0.0, 0.5])
    """
    check_number('num_bins', num_bins, at_least=1, whole=True)
    confidences = np.asarray(confidences, dtype=np.float64)
    correct = np.asarray(correct, dtype=bool)
    if confidences.shape != correct.shape or confidences.ndim != 1:
        raise InputValueError(
            'confidences and correct must be one number per sample, got '
            f'shapes {confidences.shape} and {correct.shape}'
        )
    wrong = np.flatnonzero(~((confidences >= 0) & (confidences <= 1)))
    if len(wrong):
        raise InputValueError(
            f'confidences must be in [0, 1], got {confidences[wrong[0]]} at '
            f'sample {wrong[0]}'
        )
    bins = _bin(confidences, num_bins)  # (N,)
    counts = np.bincount(bins, minlength=num_bins)
    filled = np.maximum(counts, 1)
    return dict(
        counts=counts,
        confidence=np.bincount(bins, confidences, num_bins) / filled,
        accuracy=np.bincount(bins, correct, num_bins) / filled,
    )


@METRICS.register_module()
class CalibrationError(ShotMetric):
    r"""Expected calibration error, overall and of groups of classes.

    The confidence is the score of the predicted class. With M bins
    :math:`B_b` of equal width and N samples (Guo et al., ICML 2017, Sec. 2):

    .. math::
        ECE = \sum_b \frac{|B_b|}{N} |acc(B_b) - conf(B_b)|

    The error of a group is that of the test images whose *true* class is
    many-, medium- or few-shot, in separate bins; a group without test images
    is omitted. In the balanced error, every class has the same weight
    however many test images it has: each image of class c counts as
    :math:`1 / N_c`.

    Emits ``calibration/ece``, ``calibration/ece_balanced``,
    ``calibration/ece_many``, ``calibration/ece_medium`` and
    ``calibration/ece_few``, in percent.

    Args:
        num_bins: Number M of bins. Defaults to 15.
        **kwargs: Arguments of :class:`~bcl_mm.evaluation.ShotMetric`.

    Raises:
        InputTypeError: ``num_bins`` or a threshold is not an integer.
        ValueError: ``num_bins < 1``, a threshold is negative, or the groups
            would overlap.

    Example:
        >>> predictions, labels, confidences = [0, 0], [0, 1], [0.75, 0.75]
        >>> figures = CalibrationError.calculate(
        ...     predictions, labels, confidences, class_counts=[200, 5]
        ... )
        >>> figures['ece'], figures['ece_many'], figures['ece_few']
        (25.0, 25.0, 75.0)
    """

    default_prefix = 'calibration'

    def __init__(self, *, num_bins: int = 15, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_number('num_bins', num_bins, at_least=1, whole=True)
        self.num_bins = num_bins

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Collect (predicted class, label, confidence) of each sample.

        Raises:
            InputTypeError, InputValueError: See
                :meth:`~bcl_mm.evaluation.ShotMetric.read`.
        """
        columns = self.read(data_samples)
        self.results += zip(*(column.tolist() for column in columns))

    def compute_metrics(self, results: List[Tuple[int, int, float]]) -> Dict:
        """Compute errors in percent from the samples of all ranks."""
        predictions, labels, confidences = map(np.array, zip(*results))
        settings = self.known_counts(), self.num_bins, self.many, self.few
        return self.calculate(predictions, labels, confidences, *settings)

    @staticmethod
    def calculate(
        predictions: np.ndarray,
        labels: np.ndarray,
        confidences: np.ndarray,
        class_counts: Counts,
        num_bins: int = 15,
        many: int = 100,
        few: int = 20,
    ) -> Dict[str, float]:
        """Compute expected calibration errors in percent.

        Args:
            predictions: (N,) predicted classes.
            labels: (N,) true classes.
            confidences: (N,) scores of the predicted classes, in [0, 1].
            class_counts: (C,) training images per class.
            num_bins: Bins of confidence, of equal width. Defaults to 15.
            many: Classes with more images are many-shot. Defaults to 100.
            few: Classes with fewer images are few-shot. Defaults to 20.

        Returns:
            ``ece``, ``ece_balanced``, and ``ece_many``, ``ece_medium`` and
            ``ece_few`` where there are test images.

        Raises:
            InputTypeError: ``num_bins`` or a threshold is not an integer.
            ValueError: A label, a confidence, ``num_bins`` or a threshold is
                out of range, or the lengths differ.
        """
        labels, confidences = np.asarray(labels), np.asarray(confidences)
        predictions = np.asarray(predictions)
        require_one_each(predictions, labels, len(class_counts))
        labels = labels.astype(np.int64)  # numpy 1 counts no uint64
        correct = predictions == labels
        groups = shot_groups(class_counts, many, few)
        chosen = {f'ece_{name}': groups[name][labels] for name in groups}
        errors = {}
        for name, rows in dict(ece=slice(None), **chosen).items():
            bins = reliability(confidences[rows], correct[rows], num_bins)
            counts = bins['counts']
            if counts.any():
                gaps = np.abs(bins['accuracy'] - bins['confidence'])
                errors[name] = float(100 * counts @ gaps / counts.sum())
        if len(labels):
            weights = 1 / np.bincount(labels)[labels]
            places = _bin(confidences, num_bins)
            gaps = np.bincount(places, weights * (correct - confidences))
            balanced = 100 * np.abs(gaps).sum() / weights.sum()
            errors['ece_balanced'] = float(balanced)
        return errors
