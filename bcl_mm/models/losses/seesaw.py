"""Seesaw loss for distributed training."""

from __future__ import annotations

from typing import Any

from mmpretrain.models.losses import SeesawLoss as MMPretrainSeesawLoss
from torch import Tensor

from bcl_mm.registry import MODELS
from bcl_mm.utils.distributed import gather
from bcl_mm.utils.errors import InputValueError, check_number
from bcl_mm.utils.labels import check_hard_labels, class_targets


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

    Raises:
        InputTypeError: An argument is not a number.
        InputValueError: One is out of range.

    Example:
        >>> import torch
        >>> loss = SeesawLoss(num_classes=2)
        >>> loss(torch.zeros(1, 2), torch.tensor([1]))
        tensor(0.6931)
        >>> loss.cum_samples  # of each class, so far
        tensor([0., 1.])
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name in 'p', 'q', 'loss_weight':
            check_number(name, getattr(self, name), at_least=0)
        check_number('eps', self.eps, above=0)

    def forward(
        self, logits: Tensor, labels: Tensor, *args: Any, **kwargs: Any
    ) -> Tensor:
        """Loss of logits (M, C) and integer labels (M,).

        Raises:
            InputTypeError: The labels are not integers.
            InputValueError: The logits are not of ``num_classes``, or a label
                is out of range, on a CPU (on a GPU, the loss is NaN).
        """
        check_hard_labels(labels, 'SeesawLoss')
        if logits.shape[1:] != (self.num_classes,):
            raise InputValueError(
                f'SeesawLoss has num_classes={self.num_classes}, but the '
                f'logits have shape {tuple(logits.shape)}'
            )
        labels, factor = class_targets(labels, logits.shape, logits.dtype)
        all_labels = gather(labels)
        ones = self.cum_samples.new_ones(len(all_labels))
        # mmpretrain itself adds those of this process.
        self.cum_samples.index_add_(0, all_labels, ones)
        self.cum_samples.index_add_(0, labels, -ones[: len(labels)])
        loss: Tensor = super().forward(logits, labels, *args, **kwargs)
        return loss * factor
