"""Samplers that balance the classes."""

from __future__ import annotations

from itertools import chain
from typing import Any, Iterator, List, Optional

import numpy as np
import torch
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from bcl_mm.classes import bincount_labels, labels_of
from bcl_mm.registry import DATA_SAMPLERS
from bcl_mm.utils.errors import check_number

_BLOCK = 2**14  # images of a process that are drawn at a time


@DATA_SAMPLERS.register_module()
class ClassBalancedSampler(Sampler):
    r"""Draws images in balanced classes (Kang et al., ICLR 2020).

    Images are drawn with replacement; class c has the probability (Eq. 1)

    .. math::
        p_c = \frac{n_c^q}{\sum_j n_j^q}

    and all images of a class have the same. An epoch is as long as the data
    set, or longer by up to one image per process, so that all processes have
    the same number. Epochs depend on the seed and the number of the epoch
    alone. It keeps 4 bytes an image (8 from 2^32 images on).

    Args:
        dataset: A data set with labels.
        power: :math:`q`: 0 for class-balanced, 0.5 for square-root, 1 for
            instance-balanced sampling. Defaults to 0.0.
        seed: Seed of the draws, >= 0. Defaults to None: a random seed, the
            same in all processes.

    Raises:
        InputTypeError: ``power`` is not a number, or ``seed`` not a whole one.
        InputValueError: ``power`` is not in [0, 1], or ``seed`` is negative.

    Example:
        >>> from bcl_mm.datasets import Digits, LongTailDataset
        >>> subset = LongTailDataset(Digits('train'), imbalance_factor=100)
        >>> draws = list(ClassBalancedSampler(subset, seed=0))
        >>> drawn = np.bincount(subset.get_gt_labels()[draws])
        >>> subset.class_counts.tolist()
        [128, 79, 47, 28, 17, 10, 6, 3, 2, 1]
        >>> bool(drawn.max() < 2 * drawn.min())
        True
    """

    def __init__(
        self, dataset: Any, power: float = 0.0, seed: Optional[int] = None
    ) -> None:
        check_number('power', power, at_least=0, at_most=1)
        if seed is not None:
            check_number('seed', seed, at_least=0, whole=True)
        self.rank, self.world_size = get_dist_info()
        self.seed = sync_random_seed() if seed is None else seed
        self.epoch = 0
        labels = labels_of(dataset)
        self.num_samples = -(-len(labels) // self.world_size)
        counts = bincount_labels(labels)
        # Integers of 16 bits are sorted four times as fast.
        labels = labels.astype(np.min_scalar_type(len(counts)))
        kind = np.min_scalar_type(len(labels))
        self._by_class = np.argsort(labels, kind='stable').astype(kind)
        counts = counts[counts > 0]
        self._last = np.cumsum(counts) - 1  # of each class, in _by_class
        self._first = self._last - (counts - 1)
        self._weights = counts ** (power - 1.0)  # of an image: n^q / n
        self._bounds = np.cumsum(counts * self._weights)
        self._bounds = np.insert(self._bounds, 0, 0.0)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the draws; DistSamplerSeedHook calls it."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        return chain.from_iterable(self._blocks())

    def _blocks(self) -> Iterator[List[int]]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        for start in range(0, self.num_samples, _BLOCK):
            number = min(_BLOCK, self.num_samples - start) * self.world_size
            draws = torch.rand(number, generator=generator, dtype=torch.double)
            own = draws[self.rank :: self.world_size].numpy()
            yield self._images_of(own * self._bounds[-1]).tolist()

    def _images_of(self, draws: np.ndarray) -> np.ndarray:
        """The images on which draws from [0, total weight) fall."""
        # (torch.multinomial takes at most 2^24 images.)
        inner = self._bounds[1:-1]
        classes = np.searchsorted(inner, draws, side='right')
        within = (draws - self._bounds[classes]) / self._weights[classes]
        positions = self._first[classes] + within.astype(np.int64)
        # Rounding may reach the bound above.
        return self._by_class[np.minimum(positions, self._last[classes])]

    def __len__(self) -> int:
        return self.num_samples
