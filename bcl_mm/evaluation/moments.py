"""Class means, scatter, and their distance from a simplex."""

from __future__ import annotations

from typing import Dict, Optional, Tuple, Union

import numpy as np
import torch
from mmengine.dist import all_reduce

from bcl_mm.classes import bincount_labels
from bcl_mm.utils.errors import InputValueError

# Maximum number of cosines in memory at a time.
BLOCK = 2**20


class ClassMoments:
    r"""Running class means and within-class scatter, in float64.

    One pass over the features, with C * D + D * D numbers in memory. The
    scatter is about the running means (as in Welford's algorithm), so that
    features far from the origin lose no digits.

    Args:
        num_classes: Number of classes C.
        dim: Width D of the features.

    Attributes:
        counts: (C,) int64 images per class.
        sums: (C, D) sums of each class's features.
        scatter: (D, D), :math:`\sum_i (h_i - \mu_{y_i})
            (h_i - \mu_{y_i})^\top`.

    Example:
        >>> moments = ClassMoments(num_classes=2, dim=1)
        >>> rows = np.array([[1.0], [3.0], [5.0]])
        >>> moments.update(rows, np.array([0, 0, 1]))
        >>> moments.means.tolist(), moments.scatter.tolist()
        ([[2.0], [5.0]], [[2.0]])
    """

    def __init__(self, num_classes: int, dim: int) -> None:
        self.counts = np.zeros(num_classes, dtype=np.int64)
        self.sums = np.zeros((num_classes, dim))
        self.scatter = np.zeros((dim, dim))

    @property
    def means(self) -> np.ndarray:
        """(C, D) class means; zeros for a class without images."""
        return self._means(slice(None))

    @property
    def within(self) -> np.ndarray:
        r"""(D, D) within-class covariance :math:`\Sigma_W` of all images."""
        return self.scatter / max(self.counts.sum(), 1)

    def update(self, features: np.ndarray, labels: np.ndarray) -> None:
        """Add images.

        Args:
            features: (B, D).
            labels: (B,) their classes.

        Raises:
            ValueError: The features are not (B, D) or not finite, or a label
                is out of range.
        """
        features, labels = np.asarray(features, np.float64), np.asarray(labels)
        expected = len(labels), len(self.scatter)
        if features.shape != expected:
            raise InputValueError(
                f'features must be (images, width) = {expected}, got '
                f'{features.shape}'
            )
        bincount_labels(labels, len(self.counts))  # checks the labels
        infinite = ~np.isfinite(features).all(axis=1)
        if infinite.any():
            raise InputValueError(
                'features must be finite, but those of an image of class '
                f'{labels[infinite][0]} are not'
            )
        # Only the classes of this batch: C may be much larger than B.
        classes, rows = np.unique(labels, return_inverse=True)
        before = self._means(classes)
        is_new = self.counts[classes] == 0
        np.add.at(self.counts, labels, 1)
        np.add.at(self.sums, labels, features)
        after = self._means(classes)
        before[is_new] = after[is_new]
        self.scatter += (features - before[rows]).T @ (features - after[rows])

    def all_reduce(self) -> None:
        """Combine the moments of all ranks, on each of them."""
        own_counts, own_means = self.counts.copy(), self.means
        all_reduce(torch.from_numpy(self.counts))
        all_reduce(torch.from_numpy(self.sums))
        shifts = own_means - self.means
        self.scatter += (shifts * own_counts[:, None]).T @ shifts
        all_reduce(torch.from_numpy(self.scatter))

    def _means(self, classes: Union[np.ndarray, slice]) -> np.ndarray:
        return self.sums[classes] / np.maximum(self.counts[classes, None], 1)


def _rounding(vectors: np.ndarray) -> float:
    """Length below which a difference of rows is a rounding error."""
    precision = np.finfo(np.float64).eps
    return max(vectors.shape) * precision * np.linalg.norm(vectors)


def _cosines(rows: np.ndarray, num_classes: int) -> Tuple[float, ...]:
    """Mean and deviation of cosines, and mean gap to -1 / (C - 1).

    Over all pairs of K vectors, in blocks of rows: there may be millions.
    """
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    num_pairs = len(unit) * (len(unit) - 1) / 2
    # |sum of all|^2 counts each pair twice, and each vector with itself.
    total = np.square(unit.sum(axis=0)).sum() - np.square(unit).sum()
    mean, simplex = total / 2 / num_pairs, -1 / (num_classes - 1)
    squares = gaps = 0.0
    step = max(1, BLOCK // len(unit))
    for start in range(0, len(unit), step):
        block = unit[start : start + step] @ unit[start:].T
        others = block[~np.tri(*block.shape, dtype=np.bool_)]  # i < j
        squares += np.square(others - mean).sum()
        gaps += np.abs(others - simplex).sum()
    return mean, np.sqrt(squares / num_pairs), gaps / num_pairs


def simplex_figures(
    vectors: np.ndarray, num_classes: Optional[int] = None
) -> Dict[str, float]:
    r"""Deviations of vectors from the corners of a regular simplex.

    Centred by their own mean, :math:`\tilde v_c = v_c - \bar v`, as in
    neural collapse (Papyan, Han and Donoho, PNAS 2020, NC2):

    ``nc2_norms``
        :math:`\mathrm{std}_c \|\tilde v_c\| / \mathrm{mean}_c \|\tilde v_c\|`
    ``nc2_angles``
        :math:`\mathrm{mean}_{c \ne c'}
        |\cos(\tilde v_c, \tilde v_{c'}) + 1 / (K - 1)|`
    ``nc2_angles_std``
        :math:`\mathrm{std}_{c \ne c'} \cos(\tilde v_c, \tilde v_{c'})`

    Not centred, as the optimum of contrastive losses on the unit sphere is a
    simplex about the origin (Graf et al., ICML 2021):

    ``cosine_mean_gap``
        :math:`\mathrm{mean}_{c \ne c'} \cos(v_c, v_{c'}) + 1 / (C - 1)`
    ``cosine_std``
        :math:`\mathrm{std}_{c \ne c'} \cos(v_c, v_{c'})`

    All are 0 for a regular simplex about the origin. A subset of a simplex's
    corners, centred again, is a smaller simplex, so that the centred figures
    compare with K corners and the others with C.

    Args:
        vectors: (K, D), one per class.
        num_classes: Number C >= K of classes of the model. Defaults to K.

    Returns:
        The figures that are defined: none for a single class, no angles if a
        vector has length zero.

    Example:
        >>> triangle = np.array([[2, 0], [-1, 3**0.5], [-1, -(3**0.5)]])
        >>> figures = simplex_figures(triangle)
        >>> len(figures), max(map(abs, figures.values())) < 1e-12
        (5, True)
    """
    if len(vectors) < 2:
        return {}
    vectors, figures = np.asarray(vectors, np.float64), {}
    centred = vectors - vectors.mean(axis=0)
    norms, rounding = np.linalg.norm(centred, axis=1), _rounding(vectors)
    if norms.max() > rounding:
        figures['nc2_norms'] = norms.std() / norms.mean()
    if norms.min() > rounding:
        _, spread, gap = _cosines(centred, len(vectors))
        figures.update(nc2_angles=gap, nc2_angles_std=spread)
    if np.linalg.norm(vectors, axis=1).min() > 0:
        num_classes = num_classes or len(vectors)
        mean, spread, _ = _cosines(vectors, num_classes)
        figures['cosine_mean_gap'] = mean + 1 / (num_classes - 1)
        figures['cosine_std'] = spread
    return {name: float(value) for name, value in figures.items()}


def neural_collapse(
    moments: ClassMoments, prototypes: Optional[np.ndarray] = None
) -> Dict[str, float]:
    r"""Distance of features from neural collapse.

    NC1 to NC3 of Papyan, Han and Donoho (PNAS 2020) for the C' classes that
    have images. :math:`\mu_c` are the class means and :math:`\mu_G` is their
    mean, each class having the same weight (on a balanced test set it is the
    mean of all images):

    ``nc1``
        :math:`\mathrm{Tr}(\Sigma_W \Sigma_B^+) / C'`, with
        :math:`\Sigma_B = \frac{1}{C'} \sum_c (\mu_c - \mu_G)
        (\mu_c - \mu_G)^\top`
    ``nc3``
        :math:`\| \tilde P / \|\tilde P\|_F - \tilde M / \|\tilde M\|_F \|_F`,
        with rows :math:`\tilde M_c = \mu_c - \mu_G`, and ``prototypes``
        centred by their mean as well (unlike in the paper: a common offset
        does not discriminate between classes)

    and the figures of :func:`simplex_figures` for the class means.

    Args:
        moments: Moments of the features.
        prototypes: (C, D) vectors that the class means should be parallel
            to: class vectors of a classifier, or prototypes. Defaults to
            None: no ``nc3``.

    Returns:
        The figures that are defined: ``nc1`` and ``nc3`` require scatter
        between the classes.

    Raises:
        InputValueError: ``prototypes`` are not (C, D).

    Example:
        >>> moments = ClassMoments(num_classes=2, dim=1)
        >>> rows = np.array([[0.0], [2.0], [9.0], [11.0]])
        >>> moments.update(rows, np.array([0, 0, 1, 1]))
        >>> round(neural_collapse(moments)['nc1'], 4)  # (1 / 4.5^2) / 2
        0.0247
    """
    if prototypes is not None:
        prototypes = np.asarray(prototypes, np.float64)
        if prototypes.shape != moments.sums.shape:
            raise InputValueError(
                'prototypes must be (classes, width of the features) = '
                f'{moments.sums.shape}, got {prototypes.shape}'
            )
    tested = moments.counts > 0
    if tested.sum() < 2:
        return {}
    means = moments.means[tested]  # (C', D)
    figures = simplex_figures(means, len(tested))
    centred, rounding = means - means.mean(axis=0), _rounding(means)
    # The triangular factor has the same axes and is smaller if C' > D.
    triangle = np.linalg.qr(centred, mode='r')
    _, scales, axes = np.linalg.svd(triangle, full_matrices=False)
    # Centred means span at most C' - 1 dimensions; the rest is rounding.
    is_spanned = scales > rounding
    if not is_spanned.any():
        return figures
    scales, axes = scales[is_spanned], axes[is_spanned]
    # Sigma_B = axes.T @ diag(scales^2 / C') @ axes.
    along = ((axes @ moments.within) * axes).sum(axis=1)
    figures['nc1'] = float((along / scales**2).sum())
    if prototypes is not None:
        tested_prototypes = prototypes[tested]
        directions = tested_prototypes - tested_prototypes.mean(axis=0)
        length = np.linalg.norm(directions)
        if length > _rounding(prototypes):
            gap = directions / length - centred / np.linalg.norm(centred)
            figures['nc3'] = float(np.linalg.norm(gap))
    return figures
