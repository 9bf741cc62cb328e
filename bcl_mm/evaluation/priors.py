"""Accuracy on test sets with other class priors."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
import torch

from bcl_mm.classes import Counts
from bcl_mm.evaluation.base import ShotMetric, count_hits
from bcl_mm.registry import METRICS
from bcl_mm.utils.errors import (
    InputTypeError,
    InputValueError,
    check_number,
    shown,
)


def shifted_prior(
    class_counts: Counts, ratio: float, backward: bool = False
) -> np.ndarray:
    r"""Class prior of a test set that is long-tailed itself.

    .. math::
        q_c \propto r^{-k_c / (C - 1)}

    where :math:`k_c` is the rank of class c by its number of training images,
    0 for the largest (SADE, Zhang et al., NeurIPS 2022, Sec. 5.2).

    Args:
        class_counts: (C,) training images per class.
        ratio: Imbalance r >= 1 of the test set.
        backward: Reverse the ranks: the largest training class is the rarest
            in the test. Defaults to False.

    Returns:
        (C,), sums to 1.

    Raises:
        InputTypeError: ``ratio`` is not a number.
        InputValueError: It is below 1.

    Example:
        >>> shifted_prior([100, 10], ratio=4).tolist()
        [0.8, 0.2]
        >>> shifted_prior([100, 10], ratio=4, backward=True).tolist()
        [0.2, 0.8]
    """
    check_number('ratio', ratio, at_least=1)
    order = np.argsort(-np.asarray(class_counts), kind='stable')
    ranks = np.empty(len(order))
    ranks[order] = np.arange(len(order))
    if backward:
        ranks = len(order) - 1 - ranks
    prior = ratio ** (-ranks / max(1, len(order) - 1))
    return prior / prior.sum()


@METRICS.register_module()
class PriorAccuracy(ShotMetric):
    r"""Top-1 accuracy under other class priors, from one pass over a test set.

    .. math::
        accuracy(q) = \sum_c q_c a_c

    with the accuracy :math:`a_c` of class c: what a test set with the prior q
    gives in expectation, without drawing one. The predictions stay as they
    are: the model is not told the prior. Classes without test images are left
    out, and the rest of q is scaled to 1.

    Emits ``prior/forward_<r>`` and ``prior/backward_<r>`` for each ratio r,
    see :func:`shifted_prior`; ``prior/uniform``, which is
    ``accuracy/balanced``; ``prior/train``, of the training set's prior; and
    ``prior/<name>`` of each given one, in percent.

    Args:
        ratios: Ratios r >= 1. Defaults to SADE's (2, 5, 10, 25, 50).
        priors: Name -> (C,) shares or counts >= 0 of a test set. Defaults to
            None.
        **kwargs: Arguments of :class:`~bcl_mm.evaluation.ShotMetric`.

    Raises:
        InputTypeError: A ratio is not a number, ``ratios`` is not a list, or
            ``priors`` not a dict.
        InputValueError: A ratio is below 1, or a prior is not one number
            >= 0 per class, some of them > 0.

    Example:
        >>> predictions, labels = [0, 0, 1, 0], [0, 0, 1, 1]
        >>> figures = PriorAccuracy.calculate(
        ...     predictions, labels, class_counts=[90, 10], ratios=[4]
        ... )
        >>> {name: round(value, 1) for name, value in figures.items()}
        {'uniform': 75.0, 'train': 95.0, 'forward_4': 90.0, 'backward_4': 60.0}
    """

    default_prefix = 'prior'

    def __init__(
        self,
        *,
        ratios: Sequence[float] = (2, 5, 10, 25, 50),
        priors: Optional[Dict[str, Sequence[float]]] = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(ratios, (list, tuple)):
            raise InputTypeError(f'ratios must be a list, got {ratios!r}')
        for ratio in ratios:
            check_number('ratios', ratio, at_least=1)
        if not isinstance(priors or {}, dict):
            raise InputTypeError(
                'priors must be a dict, NAME -> one number per class, got '
                f'{shown(priors)}'
            )
        self.ratios = tuple(ratios)
        self.priors = dict(priors or {})

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
        settings = self.known_counts(), self.ratios, self.priors
        return self.calculate(predictions, labels, *settings)

    @staticmethod
    def calculate(
        predictions: np.ndarray,
        labels: np.ndarray,
        class_counts: Counts,
        ratios: Sequence[float] = (2, 5, 10, 25, 50),
        priors: Optional[Dict[str, Sequence[float]]] = None,
    ) -> Dict[str, float]:
        """Compute accuracies in percent.

        Args:
            predictions: (N,) predicted classes.
            labels: (N,) true classes.
            class_counts: (C,) training images per class.
            ratios: Ratios r >= 1. Defaults to (2, 5, 10, 25, 50).
            priors: Name -> (C,) shares or counts >= 0. Defaults to None.

        Returns:
            ``uniform``, ``train``, ``forward_<r>``, ``backward_<r>`` and
            those of ``priors``.

        Raises:
            InputTypeError: A ratio is not a number.
            InputValueError: A label or a ratio is out of range, or a prior
                does not fit.
        """
        num_classes = len(class_counts)
        hits, totals = count_hits(predictions, labels, num_classes)
        accuracies = 100 * hits / np.maximum(totals, 1)  # (C,)
        shares: Dict[str, Counts] = dict(
            uniform=np.ones(num_classes), train=class_counts
        )
        for ratio in ratios:
            settings = class_counts, ratio
            shares[f'forward_{ratio:g}'] = shifted_prior(*settings)
            shares[f'backward_{ratio:g}'] = shifted_prior(*settings, True)
        for name, prior in (priors or {}).items():
            if name in shares:
                raise InputValueError(
                    f'priors[{name!r}]: the name is taken by one that is '
                    'always computed'
                )
            shares[name] = _checked(name, prior, num_classes)
        metrics = {}
        for name, share in shares.items():
            weights = np.asarray(share, np.float64) * (totals > 0)
            if not weights.any():
                raise InputValueError(
                    f'priors[{name!r}] has no share of a class that has test '
                    'images'
                )
            metrics[name] = float(weights @ accuracies / weights.sum())
        return metrics


def _checked(name: str, prior: Any, num_classes: int) -> np.ndarray:
    try:
        prior = np.asarray(prior, np.float64)
    except (TypeError, ValueError):
        prior = np.empty(0)
    is_wrong = not (np.isfinite(prior) & (prior >= 0)).all()
    if prior.shape != (num_classes,) or is_wrong:
        raise InputValueError(
            f'priors[{name!r}] must be one finite number >= 0 for each of the '
            f'{num_classes} classes, got {str(prior)[:200]}'
        )
    return prior
