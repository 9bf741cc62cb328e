"""Differences between methods, with their uncertainty over seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Hashable, Mapping, Optional

import numpy as np
from scipy import stats

from bcl_mm.utils.errors import InputValueError, check_number


@dataclass(frozen=True)
class Difference:
    """Mean difference of two methods.

    Attributes:
        mean: Mean of the values minus that of the reference.
        error: Standard error of ``mean``; None where the seeds do not show
            how much it varies.
        low, high: Bounds of the confidence interval; None without an error.
        pairs: Number of seeds that were compared: shared ones, or, not
            paired, those of the method with fewer.
        is_paired: Whether the values were compared seed by seed.
    """

    mean: float
    error: Optional[float]
    low: Optional[float]
    high: Optional[float]
    pairs: int
    is_paired: bool

    @property
    def is_known(self) -> bool:
        """Whether there is an interval."""
        return self.error is not None

    @property
    def is_clear(self) -> bool:
        """Whether the interval excludes 0."""
        return self.is_known and (self.low > 0 or self.high < 0)


def difference(
    values: Mapping[Hashable, float],
    reference: Mapping[Hashable, float],
    confidence: float = 0.95,
) -> Difference:
    r"""Compare a figure of two methods over their seeds.

    Of n >= 2 shared seeds the differences :math:`d_s` are compared (paired t
    interval), and other seeds are left out:

    .. math::
        \bar d \pm t_{n - 1} \sqrt{\operatorname{Var}(d) / n}

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

    Raises:
        InputTypeError: A figure or ``confidence`` is not a number.
        InputValueError: One is not finite, ``confidence`` is out of range, or
            a method has no figure.

    Example:
        >>> found = difference({0: 71., 1: 74., 2: 74.}, {0: 70., 1: 71.,
        ...                                              2: 72.})
        >>> found.mean, round(found.error, 4), found.pairs
        (2.0, 0.5774, 3)
        >>> round(found.low, 2), round(found.high, 2), found.is_clear
        (-0.48, 4.48, False)
    """
    check_number('confidence', confidence, above=0, below=1)
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
        variance = gaps.var(ddof=1) / pairs if pairs > 1 else 0.0
        freedom = float(pairs - 1)
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
        return Difference(mean, None, None, None, pairs, is_paired)
    error = math.sqrt(variance)
    reach = error * float(stats.t.ppf((1 + confidence) / 2, freedom))
    return Difference(
        mean, error, mean - reach, mean + reach, pairs, is_paired
    )
