"""Samplers that balance the classes."""

from __future__ import annotations

from typing import Any, Iterator, Optional

import numpy as np
import torch
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from bcl_mm.classes import bincount_labels, labels_of
from bcl_mm.registry import DATA_SAMPLERS
from bcl_mm.utils.errors import check_number


@DATA_SAMPLERS.register_module()
class ClassBalancedSampler(Sampler):
    r"""Draws images in balanced classes (Kang et al., ICLR 2020).

    Images are drawn with replacement; class c has the probability (Eq. 1)

    .. math::
        p_c = \frac{n_c^q}{\sum_j n_j^q}

    and all images of a class have the same. An epoch is as long as the data
    set, or longer by up to one image per process, so that all processes have
    the same number.

    Args:
        dataset: A data set with labels.
        power: :math:`q`: 0 for class-balanced, 0.5 for square-root, 1 for
            instance-balanced sampling. Defaults to 0.0.
        seed: Seed of the draws, >= 0. Defaults to None: a random seed, the
            same in all processes.

    Raises:
        InputTypeError: ``power`` is not a number, or ``seed`` not a whole one.
        InputValueError: ``power`` is not in [0, 1], or ``seed`` is negative.
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
        counts = bincount_labels(labels)
        weights = counts[labels] ** (power - 1.0)  # (N,): n^q over n images
        self._cumulated = np.cumsum(weights)
        self.num_samples = -(-len(labels) // self.world_size)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the draws; DistSamplerSeedHook calls it."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        number = self.num_samples * self.world_size
        draws = torch.rand(number, generator=generator, dtype=torch.float64)
        draws = draws.numpy() * self._cumulated[-1]
        # (torch.multinomial takes at most 2^24 images.) Without the last
        # boundary, to which a draw may be rounded up.
        indices = np.searchsorted(self._cumulated[:-1], draws, side='right')
        return iter(indices[self.rank :: self.world_size].tolist())

    def __len__(self) -> int:
        return self.num_samples
