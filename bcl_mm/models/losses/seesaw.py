"""Seesaw loss on several processes."""

from __future__ import annotations

from typing import Any

from mmpretrain.models.losses import SeesawLoss as MMPretrainSeesawLoss
from torch import Tensor

from bcl_mm.registry import MODELS
from bcl_mm.utils.distributed import gather


@MODELS.register_module()
class SeesawLoss(MMPretrainSeesawLoss):
    """mmpretrain's loss, with the samples of all processes counted.

    Seesaw loss (Wang et al., CVPR 2021) weights classes by how many of their
    samples training has seen. mmpretrain's counts those of its own process:
    each then trains with another loss, and a checkpoint keeps the counts of
    one. This one gathers the labels, once a step.

    Arguments are those of mmpretrain's ``SeesawLoss``; ``num_classes`` must
    be given, as to the head.
    """

    def forward(
        self, logits: Tensor, labels: Tensor, *args: Any, **kwargs: Any
    ) -> Tensor:
        """Loss of logits (M, C) and integer labels (M,)."""
        everyone = gather(labels)
        ones = self.cum_samples.new_ones(len(everyone))
        # mmpretrain adds those of this process.
        self.cum_samples.index_add_(0, everyone, ones)
        self.cum_samples.index_add_(0, labels, -ones[: len(labels)])
        return super().forward(logits, labels, *args, **kwargs)
