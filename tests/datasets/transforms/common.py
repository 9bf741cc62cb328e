"""Real photographs, and comparisons of two sets of random views."""

from __future__ import annotations

from typing import Any, List

import numpy as np
from mmengine.registry import TRANSFORMS
from PIL import Image
from scipy.stats import ks_2samp
from sklearn.datasets import load_sample_images

PHOTOS = load_sample_images().images  # RGB, 427 x 640
SMALL = np.asarray(Image.fromarray(PHOTOS[0]).resize((96, 64)))


def build(name: str, **options: Any) -> Any:
    """Build one of our transforms by its registered name."""
    return TRANSFORMS.build(dict(type=f'bcl_mm.{name}', **options))


def difference(ours: np.ndarray, image: Any) -> np.ndarray:
    """Absolute difference of each pixel value."""
    return np.abs(ours.astype(int) - np.asarray(image).astype(int))


def assert_same_draws(ours: Any, theirs: Any) -> None:
    """Assert that two samples have the same distribution."""
    assert ks_2samp(ours, theirs).pvalue > 1e-3


def assert_same_images(ours: List[Any], theirs: List[Any]) -> None:
    """Assert that two sets of random RGB views have the same distribution.

    Compared are each view's mean and spread in each channel, and the levels
    of all views together. Noise of one level hides how the libraries round,
    which other tests bound.
    """
    rng = np.random.RandomState(0)
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype == np.uint8
    for channel in range(ours.shape[-1]):
        mine, other = ours[..., channel], theirs[..., channel]
        for statistic in (np.mean, np.std):
            assert_same_draws(
                *(
                    rng.normal(statistic(levels, axis=(1, 2)), 1)
                    for levels in (mine, other)
                )
            )
        # Wide bins of 32 levels each. Half the sum of the differences is the
        # share of pixels that would have to move.
        counts = [
            np.histogram(levels, 8, (0, 256))[0] / levels.size
            for levels in (mine, other)
        ]
        assert np.abs(counts[0] - counts[1]).sum() / 2 < 0.03
