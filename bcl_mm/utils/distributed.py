"""A differentiable gather."""

from __future__ import annotations

import torch
import torch.distributed as dist
from mmengine.dist import get_world_size

from bcl_mm.utils.autograd import first_order_only


class _Gather(torch.autograd.Function):
    """all_gather whose backward returns every rank's share of a gradient."""

    @staticmethod
    def forward(ctx, tensor: torch.Tensor) -> torch.Tensor:
        tensor = tensor.contiguous()
        parts = [torch.empty_like(tensor) for _ in range(get_world_size())]
        dist.all_gather(parts, tensor)
        return torch.cat(parts)

    @staticmethod
    @first_order_only
    def backward(ctx, grad: torch.Tensor) -> torch.Tensor:
        grad = grad.contiguous().clone()
        dist.all_reduce(grad)
        return grad.chunk(get_world_size())[dist.get_rank()]


def gather(tensor: torch.Tensor) -> torch.Tensor:
    """Rows of all ranks, in rank order; gradients flow back to their rank.

    The backward sums what all ranks' losses say about this rank's rows, so
    that with each loss a mean over its own anchors, DDP's averaging gives
    the single-process gradient.

    Args:
        tensor: (M, ...), of the same shape on every rank.

    Returns:
        (world_size * M, ...); ``tensor`` itself in a single process.
    """
    return tensor if get_world_size() == 1 else _Gather.apply(tensor)
