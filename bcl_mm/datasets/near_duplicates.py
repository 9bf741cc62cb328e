"""Near-duplicates: pairs of images that look almost the same."""

from __future__ import annotations

from itertools import combinations
from typing import Iterator, Tuple

import numpy as np

# Of 64. Measured: see docs/own_data.md.
MAX_BITS = 4
# Grey levels, in each channel of each cell of the thumbnails.
MAX_DIFFERENCE = 20
_SET_BITS = np.array([bin(i).count('1') for i in range(2**16)], np.uint8)


def hamming_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Number of bits in which (n,) uint64 hashes differ: (n,)."""
    words = np.ascontiguousarray(a ^ b).view(np.uint16)
    return _SET_BITS[words].reshape(-1, 4).sum(axis=1)


def _masks(max_bits: int) -> Iterator[np.uint64]:
    """Bits that two hashes may share as a whole.

    The 64 bits are divided into ``max_bits + 2`` blocks. Hashes that differ
    in ``max_bits`` bits are equal in two blocks at least.
    """
    edges = np.linspace(0, 64, max_bits + 3).astype(int).tolist()
    blocks = [(1 << b) - (1 << a) for a, b in zip(edges, edges[1:])]
    for one, other in combinations(blocks, 2):
        yield np.uint64(one | other)


def near_pairs(
    hashes: np.ndarray, groups: np.ndarray, max_bits: int = MAX_BITS
) -> Iterator[Tuple[np.ndarray, np.ndarray]]:
    """Find all pairs of similar hashes from different groups.

    Time and memory grow with N and with the number of hashes that share
    about 21 bits, not with N^2.

    Args:
        hashes: (N,) uint64.
        groups: (N,) integers; pairs within a group are passed over.
        max_bits: Bits in which two hashes may differ, 0 to 62. Defaults to
            ``MAX_BITS``.

    Yields:
        Indices (n,) and (n,) of pairs, the smaller index first. A pair may
        come more than once.
    """
    for mask in _masks(max_bits):
        keys = hashes & mask
        order = np.argsort(keys, kind='stable')
        keys = keys[order]
        # Equal keys are neighbours: compare each with the next, with the
        # one after that, and so on.
        left, step = np.arange(len(keys)), 0
        while len(left):
            step += 1
            left = left[left + step < len(keys)]
            left = left[keys[left] == keys[left + step]]
            i, j = order[left], order[left + step]
            other = groups[i] != groups[j]
            i, j = i[other], j[other]
            near = hamming_distances(hashes[i], hashes[j]) <= max_bits
            if near.any():
                yield i[near], j[near]


def look_alike(thumbnails: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Whether (n, 8, 8, 3) uint8 thumbnails differ little, cell by cell.

    A perceptual hash knows neither colours nor small parts.

    Args:
        thumbnails: Those of one side.
        others: Those of the other.

    Returns:
        (n,) bool.
    """
    differences = thumbnails.astype(np.int16) - others
    return np.abs(differences).max(axis=(1, 2, 3)) <= MAX_DIFFERENCE
