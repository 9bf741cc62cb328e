"""Which classes complement a batch, where not all do."""

from __future__ import annotations

from typing import Optional, Tuple

import torch
from torch import Tensor


def sample_classes(
    present: Tensor,
    num_slots: int,
    num_sampled: int,
    generator: Optional[torch.Generator] = None,
) -> Tuple[Tensor, Tensor]:
    r"""The classes of a batch, and some of the absent ones.

    With C classes, of which the batch has P, each of the K sampled ones
    stands for :math:`(C - P) / K` of the absent ones: for given prototypes,
    the expected denominator of the balanced contrastive loss is that of all
    classes. Of at most C - P absent classes none is drawn twice, and with
    :math:`K \ge C - P` all are there, with weight 1.

    Nothing waits for the device, and no shape depends on the labels: what the
    batch needs less than ``num_slots`` is empty.

    Args:
        present: (C,) non-zero where the batch has the class.
        num_slots: Number of slots S <= C; P + K fit in, or all classes.
        num_sampled: Number K of absent classes.
        generator: Random generator on the device of ``present``; the same
            state on all ranks gives the same classes. Defaults to torch's.

    Returns:
        (S,) classes, and their (S,) log weights in the denominator: 0 for
        those of the batch, :math:`\log((C - P) / K)` for the sampled, -inf
        for empty slots (which hold further absent classes).
    """
    is_present = (present != 0).float()
    scores = torch.rand(
        present.shape, generator=generator, device=present.device
    )
    slots = (scores + 2 * is_present).topk(num_slots).indices  # (S,)
    num_present = is_present.sum()
    num_absent = len(present) - num_present
    position = torch.arange(num_slots, device=present.device)
    share = num_absent.clamp(min=1) / num_absent.clamp(1, num_sampled)
    log_weights = torch.where(position < num_present, 0, share.log())
    is_empty = position >= num_present + num_sampled
    return slots, log_weights.masked_fill(is_empty, -torch.inf)
