"""Classes that are mirror images of each other, such as b and d."""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple

import numpy as np

from bcl_mm.datasets.near_duplicates import near_pairs

_MOST_IMAGES = 100  # of each class
# The smallest mirrored_share of both classes, and how many times the
# plain_share it must be at least.
_MIN_SHARE, _MIN_RATIO = 0.2, 2.0


class MirroredPair(NamedTuple):
    """Two classes whose images become each other's by a flip.

    Attributes:
        first: The smaller label.
        second: The larger label.
        mirrored_share: Part of the images whose mirror image resembles an
            image of the other class.
        plain_share: Part of the images that resemble one as they are.
    """

    first: int
    second: int
    mirrored_share: float
    plain_share: float


def mirrored_classes(
    hashes: np.ndarray, mirrored_hashes: np.ndarray, labels: np.ndarray
) -> List[MirroredPair]:
    """Find pairs of classes that a horizontal flip makes alike.

    Classes that resemble each other with and without the flip, such as o and
    0, are no such pair.

    Args:
        hashes: (N,) uint64, perceptual hashes.
        mirrored_hashes: (N,) uint64, those of the mirror images.
        labels: (N,) labels >= 0. Of each class, 100 images are examined,
            spread evenly over all.

    Returns:
        The pairs, those of the largest ``mirrored_share`` first.
    """
    chosen = _spread_over_classes(labels)
    labels = labels[chosen].astype(np.int64)
    number, num_classes = len(labels), int(labels.max(initial=0)) + 1
    # The mirror images follow the images.
    both = np.concatenate([hashes[chosen], mirrored_hashes[chosen]])
    groups = np.tile(labels, 2)
    found: Dict[bool, List[Any]] = {False: [], True: []}
    for i, j in near_pairs(both, groups):
        for is_flipped in found:
            # A flip of both is no news.
            of_kind = (i < number) & ((j >= number) == is_flipped)
            a, b = i[of_kind], j[of_kind] % number
            for one, other in ((a, b), (b, a)):
                found[is_flipped].append(one * num_classes + labels[other])
    sizes = np.bincount(labels, minlength=num_classes)
    shares = {k: _shares(v, labels, sizes) for k, v in found.items()}
    pairs = []
    for (a, b), share in shares[True].items():
        back = shares[True].get((b, a), 0.0)
        plain = [shares[False].get(pair, 0.0) for pair in ((a, b), (b, a))]
        mirrored, straight = (share + back) / 2, sum(plain) / 2
        if (
            a < b
            and min(share, back) >= _MIN_SHARE
            and mirrored >= _MIN_RATIO * straight
        ):
            pairs.append(MirroredPair(a, b, mirrored, straight))
    return sorted(pairs, key=lambda pair: -pair.mirrored_share)


def _spread_over_classes(labels: np.ndarray) -> np.ndarray:
    """Indices of at most ``_MOST_IMAGES`` images of each class."""
    order = np.argsort(labels, kind='stable')
    sizes = np.unique(labels, return_counts=True)[1]
    position = np.arange(len(labels)) - np.repeat(
        np.cumsum(sizes) - sizes, sizes
    )
    step = -(-np.repeat(sizes, sizes) // _MOST_IMAGES)
    return order[position % np.maximum(step, 1) == 0]


def _shares(codes: list, labels: np.ndarray, sizes: np.ndarray) -> dict:
    """Part of a class's images that resemble another: (class, other) -> it.

    Args:
        codes: Arrays of image * C + other class, with repetitions.
        labels: Labels of the images.
        sizes: (C,) images of each class.
    """
    if not codes:
        return {}
    images, others = np.divmod(np.unique(np.concatenate(codes)), len(sizes))
    pairs, counts = np.unique(
        np.stack([labels[images], others]), axis=1, return_counts=True
    )
    return {
        (a, b): count / sizes[a]
        for (a, b), count in zip(pairs.T.tolist(), counts.tolist())
    }
