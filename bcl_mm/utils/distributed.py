"""A differentiable gather, and a check of what must be equal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Dict, TypeGuard

import torch
import torch.distributed as dist
from mmengine.dist import all_gather_object, broadcast, get_world_size

from bcl_mm.utils.autograd import first_order_only
from bcl_mm.utils.errors import InputValueError

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor

if hasattr(dist, 'all_gather_single'):  # the names since torch 2.14
    _all_gather: Callable[..., Any] = dist.all_gather_single
    _reduce_scatter: Callable[..., Any] = dist.reduce_scatter_single
else:
    _all_gather = dist.all_gather_into_tensor
    _reduce_scatter = dist.reduce_scatter_tensor


class _Gather(torch.autograd.Function):
    """all_gather whose backward returns every rank's share of a gradient."""

    @staticmethod
    def forward(ctx, tensor: torch.Tensor) -> torch.Tensor:
        rows, *rest = tensor.shape
        every = tensor.new_empty(get_world_size() * rows, *rest)
        _all_gather(every, tensor.contiguous())
        return every

    @staticmethod
    @first_order_only
    def backward(ctx, grad: torch.Tensor) -> torch.Tensor:
        rows, *rest = grad.shape
        own = grad.new_empty(rows // get_world_size(), *rest)
        _reduce_scatter(own, grad.contiguous())
        return own


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


def is_sharded(tensor: torch.Tensor) -> TypeGuard[DTensor]:
    """Whether this process has a part of it only, as with FSDP2."""
    # (torch.distributed.tensor takes long to import.)
    return hasattr(tensor, 'full_tensor')


def require_whole(weight: torch.Tensor, what: str) -> None:
    """Raise an InputValueError for a weight that is sharded.

    Args:
        weight: It.
        what: The start of the sentence: what needs it.
    """
    if is_sharded(weight):
        raise InputValueError(
            f'{what} reads weights outside the forward pass, where a '
            'ShardedModel has divided them among the processes: leave out '
            'model_wrapper_cfg, which then is DDP'
        )


def require_equal(tensors: Dict[str, torch.Tensor]) -> None:
    """Raise an error on all ranks if tensors differ between them.

    One broadcast for each tensor. Differences of a thousandth of the largest
    value pass: sums on a GPU have no fixed order.

    Args:
        tensors: By their names; the same names and shapes on every rank.

    Raises:
        InputValueError: A tensor differs from that of rank 0.
    """
    if get_world_size() == 1:
        return
    different = []
    for name, tensor in tensors.items():
        own = tensor.detach().double()
        first = own.clone()
        broadcast(first)
        finite = first.where(first.isfinite(), 0)
        largest = finite.abs().amax().item() if finite.numel() else 0
        limit = 1e-6 + 1e-3 * largest
        if not torch.allclose(own, first, 0, limit, equal_nan=True):
            different.append(name)
    found = sorted(set().union(*all_gather_object(different)))
    if found:
        raise InputValueError(
            f'the state {found[0]} differs between processes: what a step '
            'adds to it must come from all of them, see '
            'bcl_mm.utils.distributed.gather'
        )
