"""Differences between methods, with their uncertainty over seeds or folds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Hashable, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from bcl_mm.utils.errors import InputValueError, check_number


@dataclass(frozen=True)
class Difference:
    """Mean difference of two methods.

    Attributes:
        mean: Mean of the values minus that of the reference.
        error: Standard error of ``mean``; None where the seeds do not show
            how much it varies.
        low: Lower bound of the confidence interval; None without an error.
        high: Upper bound of it; None without an error.
        p_value: Of the two-sided test of no difference; None without an
            error.
        pairs: Number of seeds that were compared: shared ones, or, not
            paired, those of the method with fewer.
        is_paired: Whether the values were compared seed by seed.

    Example:
        >>> ours = {0: 81.0, 1: 82.5, 2: 84.0}  # seed -> accuracy
        >>> theirs = {0: 80.0, 1: 80.5, 2: 81.0}
        >>> gap = difference(ours, theirs)
        >>> gap.mean, gap.pairs, round(gap.low, 2), round(gap.high, 2)
        (2.0, 3, -0.48, 4.48)
        >>> gap.is_known, gap.is_clear  # 0 lies in the interval
        (True, False)
    """

    mean: float
    error: Optional[float]
    low: Optional[float]
    high: Optional[float]
    p_value: Optional[float]
    pairs: int
    is_paired: bool

    @property
    def is_known(self) -> bool:
        """Whether there is an interval."""
        return self.error is not None

    @property
    def is_clear(self) -> bool:
        """Whether the interval excludes 0."""
        if self.low is None or self.high is None:
            return False
        return self.low > 0 or self.high < 0


def difference(
    values: Mapping[Hashable, float],
    reference: Mapping[Hashable, float],
    confidence: float = 0.95,
    test_per_train: float = 0.0,
) -> Difference:
    r"""Compare a figure of two methods over their seeds or folds.

    Of n >= 2 shared seeds the differences :math:`d_s` are compared (paired t
    interval), and other seeds are left out:

    .. math::
        \bar d \pm t_{n - 1} \sqrt{\operatorname{Var}(d) / n}

    Folds share training images, so that their differences vary less than
    those of new data would. With ``test_per_train`` the variance is that of
    Nadeau and Bengio (Machine Learning 2003, Eq. 9), for n_2 test and n_1
    training images of a fold:

    .. math::
        \bar d \pm t_{n - 1} \sqrt{\left(\tfrac{1}{n} + \tfrac{n_2}{n_1}\right)
        \operatorname{Var}(d)}

    Otherwise, with at least two seeds each, the interval is Welch's, from
    both variances and Welch and Satterthwaite's degrees of freedom.

    With one seed there is no interval. Nor is there one where nothing varies:
    a few runs on few images may differ by the same amount by chance, and an
    interval of width 0 would be a false certainty.

    It covers the noise of training: seeds change initial weights, order and
    augmentation. It does not cover the choice of the test images, or that of
    the two methods among several.

    Args:
        values: Seed -> figure.
        reference: Seed -> figure of the method to compare with.
        confidence: Probability in (0, 1) that the interval is for. Defaults
            to 0.95.
        test_per_train: Test images of a fold per training image, >= 0: 1/4
            for five folds, whose keys the two methods must share. Defaults
            to 0: the values are of seeds.

    Raises:
        InputTypeError: A figure or another argument is not a number.
        InputValueError: One is not finite, an argument is out of range, a
            method has no figure, or folds are not shared.

    Example:
        >>> found = difference({0: 71., 1: 74., 2: 74.}, {0: 70., 1: 71.,
        ...                                              2: 72.})
        >>> found.mean, round(found.error, 4), found.pairs
        (2.0, 0.5774, 3)
        >>> round(found.low, 2), round(found.high, 2), found.is_clear
        (-0.48, 4.48, False)
    """
    check_number('confidence', confidence, above=0, below=1)
    check_number('test_per_train', test_per_train, at_least=0)
    for name, figures in dict(values=values, reference=reference).items():
        if not figures:
            raise InputValueError(f'{name} must have at least one seed')
        for seed, figure in figures.items():
            check_number(f'{name}[{seed!r}]', figure)
    shared = [seed for seed in values if seed in reference]
    ours = np.array(list(values.values()), dtype=float)
    theirs = np.array(list(reference.values()), dtype=float)
    fewest = min(len(ours), len(theirs))
    if len(shared) >= 2 or (shared and fewest == 1):
        ours = np.array([values[seed] for seed in shared], dtype=float)
        theirs = np.array([reference[seed] for seed in shared], dtype=float)
        pairs, is_paired = len(shared), True
        gaps = ours - theirs
        variance = gaps.var(ddof=1) if pairs > 1 else 0.0
        variance *= 1 / pairs + test_per_train
        freedom = float(pairs - 1)
    elif test_per_train:
        raise InputValueError(
            f'methods are compared on the folds that both have, got '
            f'{sorted(map(str, values))} and {sorted(map(str, reference))}'
        )
    else:
        pairs, is_paired = fewest, False
        variance = freedom = 0.0
        if fewest > 1:
            parts = [one.var(ddof=1) / len(one) for one in (ours, theirs)]
            variance = sum(parts)
            sizes = len(ours) - 1, len(theirs) - 1
            below = sum(part**2 / size for part, size in zip(parts, sizes))
            freedom = variance**2 / below if below > 0 else 0.0
    mean = float(ours.mean() - theirs.mean())
    # Equal differences vary by rounding.
    scale = max(np.abs(ours).max(), np.abs(theirs).max())
    if variance <= (1e-9 * scale) ** 2 or freedom <= 0:
        return Difference(mean, None, None, None, None, pairs, is_paired)
    error = math.sqrt(variance)
    reach = error * _t_quantile((1 + confidence) / 2, freedom)
    p_value = 2 * _t_tail(abs(mean) / error, freedom)
    return Difference(
        mean, error, mean - reach, mean + reach, p_value, pairs, is_paired
    )


def holm(p_values: Sequence[float]) -> List[float]:
    r"""Adjust the p-values of several tests (Holm, Scand. J. Stat. 1979).

    Of m tests, the k-th smallest p-value is multiplied by m - k + 1, and is
    at least the adjusted one before it. If those at most 0.05 are called
    significant, the probability of any false one is at most 0.05.

    Args:
        p_values: In [0, 1].

    Raises:
        InputTypeError: One is not a number.
        InputValueError: One is out of range.

    Example:
        >>> holm([0.02, 0.5, 0.01])
        [0.04, 0.5, 0.03]
    """
    for i, value in enumerate(p_values):
        check_number(f'p_values[{i}]', value, at_least=0, at_most=1)
    values = np.asarray(p_values, dtype=float)
    order = np.argsort(values, kind='stable')
    factors = np.arange(len(values), 0, -1)
    rising = np.maximum.accumulate(values[order] * factors)
    adjusted = np.empty_like(values)
    adjusted[order] = rising.clip(max=1)
    return adjusted.tolist()


def prediction_interval(
    values: Sequence[float], confidence: float = 0.95
) -> Tuple[float, float]:
    r"""Interval in which another run is expected.

    .. math::
        \bar x \pm t_{n - 1} \, s \sqrt{1 + 1 / n}

    Args:
        values: Figures of n >= 2 runs, which differ in the seed.
        confidence: Probability in (0, 1) that the interval is for. Defaults
            to 0.95.

    Returns:
        Its bounds.

    Raises:
        InputTypeError: A figure or ``confidence`` is not a number.
        InputValueError: There are fewer than two figures, one is not finite,
            or ``confidence`` is out of range.

    Example:
        >>> low, high = prediction_interval([80.0, 81.0, 82.0])
        >>> round(low, 2), round(high, 2)
        (76.03, 85.97)
    """
    check_number('confidence', confidence, above=0, below=1)
    for i, value in enumerate(values):
        check_number(f'values[{i}]', value)
    number = len(values)
    if number < 2:
        raise InputValueError(f'values must be two or more, got {number}')
    figures = np.asarray(values, dtype=float)
    spread = float(figures.std(ddof=1)) * math.sqrt(1 + 1 / number)
    reach = spread * _t_quantile((1 + confidence) / 2, number - 1)
    mean = float(figures.mean())
    return mean - reach, mean + reach


def _t_quantile(probability: float, freedom: float) -> float:
    """Quantile of Student's t distribution."""
    from scipy import stats  # takes a second, and few programs need it

    return float(stats.t.ppf(probability, freedom))


def _t_tail(value: float, freedom: float) -> float:
    """Probability that Student's t exceeds a value."""
    from scipy import stats

    return float(stats.t.sf(value, freedom))
