"""Seesaw loss for distributed training."""

from __future__ import annotations

from typing import Any

from mmpretrain.models.losses import SeesawLoss as MMPretrainSeesawLoss
from torch import Tensor

from bcl_mm.registry import MODELS
from bcl_mm.utils.distributed import gather

from .labels import check_hard_labels, class_labels


@MODELS.register_module()
class SeesawLoss(MMPretrainSeesawLoss):
    """mmpretrain's loss, counting the samples of all processes.

    Seesaw loss (Wang et al., CVPR 2021) weights classes by the number of
    their samples that training has seen. mmpretrain's loss counts those of
    its own process only: each process then trains with a different loss, and
    a checkpoint keeps the counts of one. This one gathers the labels, once
    per step.

    The arguments are those of mmpretrain's ``SeesawLoss``; ``num_classes``
    must be that of the head.
    """

    def forward(
        self, logits: Tensor, labels: Tensor, *args: Any, **kwargs: Any
    ) -> Tensor:
        """Loss of logits (M, C) and integer labels (M,)."""
        check_hard_labels(labels, 'SeesawLoss')
        labels, factor = class_labels(labels, self.num_classes)
        all_labels = gather(labels)
        ones = self.cum_samples.new_ones(len(all_labels))
        # mmpretrain itself adds those of this process.
        self.cum_samples.index_add_(0, all_labels, ones)
        self.cum_samples.index_add_(0, labels, -ones[: len(labels)])
        return super().forward(logits, labels, *args, **kwargs) * factor
