"""Classes that are mirror images of each other, such as b and d."""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Optional, Tuple

import numpy as np

# Images of each class: fewer where the classes are so many that more images
# than these would be compared with each other.
_FEWEST_IMAGES, _MOST_IMAGES, _MOST_COMPARED = 5, 100, 20_000
# The smallest mirrored_share of both classes, and by how much it exceeds the
# plain_share at least. tests/datasets/test_mirrored.py holds them to images.
_MIN_SHARE, _MIN_EXCESS = 0.5, 0.5


class MirroredPair(NamedTuple):
    """Two classes whose images become each other's by a flip.

    Attributes:
        first: The smaller label.
        second: The larger label.
        mirrored_share: Part of the images whose mirror image resembles an
            image of the other class most, of the images of all classes.
        plain_share: Part of the images that do so as they are.
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
        labels: (N,) labels >= 0. Of each class, at most 100 images are
            compared, spread evenly over all; classes of fewer than 5 are
            left out.

    Returns:
        The pairs, those of the largest ``mirrored_share`` first.
    """
    chosen = _spread_over_classes(labels)
    classes, starts = np.unique(labels[chosen], return_index=True)
    plain, mirrored = _signs(hashes[chosen]), _signs(mirrored_hashes[chosen])
    found: Dict[int, Tuple[int, float, float]] = {}
    for i, own in enumerate(np.split(np.arange(len(chosen)), starts[1:])):
        if not own.size:
            break  # no images at all
        shares = _nearest_classes(mirrored[own], plain, starts)
        other = int(shares.argmax())
        if other != i and shares[other] >= _MIN_SHARE:
            as_it_is = _nearest_classes(plain[own], plain, starts, own)
            found[i] = other, shares[other], as_it_is[other]
    pairs = []
    for i, (j, share, straight) in found.items():
        if i < j and found.get(j, (-1,))[0] == i:
            share = (share + found[j][1]) / 2
            straight = (straight + found[j][2]) / 2
            if share - straight >= _MIN_EXCESS:
                pair = int(classes[i]), int(classes[j])
                pairs.append(MirroredPair(*pair, share, straight))
    return sorted(pairs, key=lambda pair: -pair.mirrored_share)


def _signs(hashes: np.ndarray) -> np.ndarray:
    """Bits of (n,) hashes as -1 and 1: (n, 64) float32.

    The product of two is 64 - 2 * their Hamming distance.
    """
    octets = np.ascontiguousarray(hashes, np.uint64)[:, None].view(np.uint8)
    return np.unpackbits(octets, axis=1).astype(np.float32) * 2 - 1


def _nearest_classes(
    images: np.ndarray,
    others: np.ndarray,
    starts: np.ndarray,
    itself: Optional[np.ndarray] = None,
) -> np.ndarray:
    """Parts of images whose nearest other image is of each class: (C,).

    Args:
        images: (n, 64) signs.
        others: (N, 64) signs, in the order of the classes.
        starts: (C,) positions at which the classes begin.
        itself: (n,) position of each image among the others, if it is there.
    """
    products = images @ others.T
    if itself is not None:
        products[np.arange(len(images)), itself] = -np.inf
    nearest = products == products.max(axis=1, keepdims=True)
    votes = nearest / nearest.sum(axis=1, keepdims=True)  # ties share one
    return np.add.reduceat(votes.mean(axis=0), starts)


def _spread_over_classes(labels: np.ndarray) -> np.ndarray:
    """Indices of some images of each class, in the order of the classes."""
    order = np.argsort(labels, kind='stable')
    sizes = np.unique(labels, return_counts=True)[1]
    ends = np.cumsum(sizes)
    is_large = sizes >= _FEWEST_IMAGES
    most = _MOST_COMPARED // max(int(is_large.sum()), 1)
    most = min(max(most, _FEWEST_IMAGES), _MOST_IMAGES)
    chosen = [
        np.linspace(end - size, end - 1, min(size, most)).astype(int)
        for size, end in zip(sizes[is_large], ends[is_large])
    ]
    return order[np.concatenate([np.zeros(0, int), *chosen])]
