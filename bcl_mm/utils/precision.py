"""Products that stay float32, and the switch that lowers all others."""

from __future__ import annotations

import contextlib
from typing import Any, Iterator, Optional, Tuple, Union

import torch
import torch.nn.functional as F
from torch import Tensor

from bcl_mm.utils.errors import InputValueError

PRECISIONS = 'float32', 'tf32'
_matmul = torch.backends.cuda.matmul
# The attribute since torch 2.9. Its value can be read and restored whatever
# API it was set by; the older one's cannot.
_SETTING = 'allow_tf32'
_EXACT: Union[bool, str] = False
if hasattr(_matmul, 'fp32_precision'):
    _SETTING, _EXACT = 'fp32_precision', 'ieee'
_exports = False


def set_precision(precision: Optional[str]) -> None:
    """Choose how a GPU multiplies float32 numbers; a CPU is left as it is.

    Args:
        precision: ``'float32'``; ``'tf32'``, which rounds factors to 10 bits
            behind the point, in matrix products and convolutions; None for
            torch's own choice, TF32 in convolutions alone.

    Raises:
        InputValueError: ``precision`` is none of these.
    """
    if precision is None:
        return
    if precision not in PRECISIONS:
        raise InputValueError(
            f"precision must be 'float32', 'tf32' or None, got {precision!r}"
        )
    if torch.cuda.is_available():
        is_lower = precision == 'tf32'
        torch.set_float32_matmul_precision('high' if is_lower else 'highest')
        torch.backends.cudnn.allow_tf32 = is_lower


def _is_lowered() -> bool:
    """Whether products of float32 are computed in less."""
    if _exports:
        return False
    if torch.compiler.is_compiling():
        return _matmul.allow_tf32  # what a compiled graph is guarded by
    return getattr(_matmul, _SETTING) not in ('ieee', 'none', False)


@contextlib.contextmanager
def standard_operators() -> Iterator[None]:
    """Leave the switch aside: an exported model has torch's operators."""
    global _exports
    _exports = True
    try:
        yield
    finally:
        _exports = False


@contextlib.contextmanager
def full_float32() -> Iterator[None]:
    """Compute products in float32. The device is not waited for."""
    before = getattr(_matmul, _SETTING)
    setattr(_matmul, _SETTING, _EXACT)
    try:
        yield
    finally:
        setattr(_matmul, _SETTING, before)


def _exact_addmm_(
    out: Tensor, left: Tensor, right: Tensor, alpha: float
) -> None:
    with full_float32():
        out.addmm_(left, right, alpha=alpha)


# An operator, as a compiled graph cannot change the setting.
_exact_operator = torch.library.custom_op(
    'bcl_mm::exact_addmm_',
    _exact_addmm_,
    mutates_args=('out',),
    schema='(Tensor(a!) out, Tensor left, Tensor right, float alpha) -> ()',
)


def add_product_(
    out: Tensor, left: Tensor, right: Tensor, alpha: float = 1.0
) -> None:
    """``out.addmm_(left, right)`` in the type of ``out``, never in TF32.

    Without a gradient: for an ``autograd.Function``. (Autocast leaves
    products in place alone.)

    Args:
        out: (M, N), changed in place.
        left: (M, D).
        right: (D, N).
        alpha: Factor of the product. Defaults to 1.0.
    """
    if _is_lowered():
        _exact_operator(out, left, right, alpha)
    else:
        out.addmm_(left, right, alpha=alpha)


class _Product(torch.autograd.Function):
    """left @ right.T, whose gradients are such products too."""

    @staticmethod
    def forward(ctx: Any, left: Tensor, right: Tensor) -> Tensor:
        ctx.save_for_backward(left, right)
        out = left.new_zeros(len(left), len(right))
        add_product_(out, left, right.T)
        return out

    @staticmethod
    def backward(
        ctx: Any, grad: Tensor
    ) -> Tuple[Optional[Tensor], Optional[Tensor]]:
        left, right = ctx.saved_tensors
        of_left, of_right = ctx.needs_input_grad
        return (
            product(grad, right.T) if of_left else None,
            product(grad.T, left.T) if of_right else None,
        )


def product(left: Tensor, right: Tensor) -> Tensor:
    """Products of all rows, (M, N), in at least float32.

    Whatever autocast and :func:`set_precision` say, in the backward pass
    too. For similarities and the like, whose rounding a temperature or a
    scale would magnify.

    Args:
        left: (M, D).
        right: (N, D).
    """
    dtype = torch.promote_types(left.dtype, right.dtype)
    dtype = torch.promote_types(dtype, torch.float32)
    left, right = left.to(dtype), right.to(dtype)
    if _is_lowered():
        return _Product.apply(left, right)
    with torch.autocast(left.device.type, enabled=False):
        return F.linear(left, right)
