"""Backward passes that have no derivative of their own."""

from __future__ import annotations

import functools
from typing import Any, Callable

import torch

from bcl_mm.utils.errors import InputValueError


def first_order_only(backward: Callable) -> Callable:
    """Refuse second derivatives of an ``autograd.Function``.

    For its ``backward``, in place of torch's ``once_differentiable``, with
    which ``torch.autograd.grad(..., create_graph=True)`` gives a gradient
    without a graph: a penalty on it would have no effect.

    Raises:
        InputValueError: ``backward`` runs under ``create_graph=True``.
    """

    @functools.wraps(backward)
    def checked(ctx: Any, *grads: torch.Tensor) -> Any:
        # The autograd engine enables gradients for create_graph=True only.
        if torch.is_grad_enabled() and not torch.compiler.is_compiling():
            name = type(ctx).__name__.removesuffix('Backward').strip('_')
            raise InputValueError(
                f'{name} has no second derivatives: leave out '
                'create_graph=True (gradient penalties and the like)'
            )
        return backward(ctx, *grads)

    return checked
