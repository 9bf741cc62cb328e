"""What of the feature space is shown: cosines of classes, and a map."""

from __future__ import annotations

from typing import Dict

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from bcl_mm.evaluation import SimplexGeometry

MAX_CELLS = 100  # rows of a heat map
# Few enough to tell apart in the embedding.
EMBEDDED_CLASSES = 12
EMBEDDED_IMAGES = 50


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """(n, D) rows, each of norm 1."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.maximum(norms, 1e-12)


def block_cosines(
    means: np.ndarray, order: np.ndarray, cells: int = MAX_CELLS
) -> np.ndarray:
    """Pairwise cosines of class means, averaged over blocks of classes.

    Args:
        means: (C, D) class means.
        order: The classes to show, in their order.
        cells: Maximum number of blocks; up to this many classes, each class
            is its own block.

    Returns:
        (B, B) means over pairs of *different* classes; the diagonal of a
        block of one class is 1.
    """
    rows = unit_rows(means[order])
    blocks = np.array_split(rows, min(cells, len(rows)))
    sums = np.stack([block.sum(axis=0) for block in blocks])  # (B, D)
    sizes = np.array([len(block) for block in blocks])
    cosines = sums @ sums.T / np.outer(sizes, sizes)
    pairs = sizes * (sizes - 1)
    own = (sums**2).sum(axis=1)
    # Pairs within a block, without those of a class with itself.
    within = np.where(pairs > 0, (own - sizes) / np.maximum(pairs, 1), 1.0)
    np.fill_diagonal(cosines, within)
    return cosines.astype(np.float32)


def choose_shown(labels: np.ndarray, class_counts: np.ndarray) -> np.ndarray:
    """Images to embed: of classes spread evenly from head to tail."""
    order = np.argsort(-class_counts, kind='stable')
    order = order[np.isin(order, labels)]
    picks = np.linspace(0, len(order) - 1, EMBEDDED_CLASSES).round()
    chosen = order[np.unique(picks.astype(int))]
    return np.concatenate(
        [np.flatnonzero(labels == c)[:EMBEDDED_IMAGES] for c in chosen]
    )


def embed(features: np.ndarray) -> np.ndarray:
    """Embed (n, D) features as (n, 2) by t-SNE, or by PCA if n < 20."""
    rows = unit_rows(features)
    if len(rows) < 20:
        points = PCA(min(2, *rows.shape)).fit_transform(rows)
        return np.pad(points, ((0, 0), (0, 2 - points.shape[1])))
    perplexity = min(30, (len(rows) - 1) / 3)
    tsne = TSNE(perplexity=perplexity, init='pca', random_state=0)
    return tsne.fit_transform(rows)


def heat_maps(
    geometry: SimplexGeometry, class_counts: np.ndarray
) -> Dict[str, np.ndarray]:
    """Cosines of the class means of all kinds of vectors, head to tail."""
    maps = {}
    for name, moments in geometry.moments.items():
        means = np.asarray(moments.means)
        order = np.argsort(-class_counts, kind='stable')
        order = order[np.isfinite(means[order]).all(axis=1)]
        if name == 'features':  # not on a sphere around the origin
            means = means - means[order].mean(axis=0)
        maps[name] = block_cosines(means, order)
    return maps
