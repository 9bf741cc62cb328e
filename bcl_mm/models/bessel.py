"""The normaliser of von Mises-Fisher distributions, in any dimension."""

from __future__ import annotations

import functools
import math
from typing import Any, Tuple

import numpy as np
import torch
from torch import Tensor

from bcl_mm.utils.autograd import first_order_only

_TERMS = 6
# From this order on, so many terms err by less than 1e-9.
_SMALLEST_ORDER = 15.0


@functools.lru_cache
def _debye_coefficients(order: float) -> Tuple[float, ...]:
    r"""Coefficients of :math:`\sum_k u_k(t) / \nu^k`, lowest power first.

    The polynomials follow from (DLMF 10.41.9)

    .. math::
        u_{k+1}(t) = \frac{t^2 (1 - t^2)}{2} u_k'(t)
        + \frac{1}{8} \int_0^t (1 - 5 s^2) u_k(s) \, ds
    """
    polynomial = np.polynomial.Polynomial
    u = total = polynomial([1.0])
    for k in range(1, _TERMS + 1):
        slope = polynomial([0, 0, 0.5, 0, -0.5]) * u.deriv()
        u = slope + (polynomial([0.125, 0, -0.625]) * u).integ()
        total = total + u / order**k
    return tuple(total.coef)


def _log_quotient(order: float, squares: Tensor) -> Tensor:
    r""":math:`\log (I_\nu(x) / x^\nu)` for float64 :math:`x^2`.

    Debye's expansion, uniform in x (DLMF 10.41.3), and below its smallest
    order the recurrence :math:`A_\nu = x^2 A_{\nu+2} + 2 (\nu + 1)
    A_{\nu+1}`, whose terms are positive.
    """
    lifts = max(0, math.ceil(_SMALLEST_ORDER - order))
    if lifts:
        log_squares = squares.log()
        above = _log_quotient(order + lifts + 1, squares)
        here = _log_quotient(order + lifts, squares)
        for lift in range(lifts, 0, -1):
            below = torch.logaddexp(
                log_squares + above, math.log(2 * (order + lift)) + here
            )
            above, here = here, below
        return here
    roots = (squares + order**2).sqrt_()  # r
    t = order / roots
    series = torch.zeros_like(t)
    for coefficient in reversed(_debye_coefficients(order)):
        series.mul_(t).add_(coefficient)
    result = roots - order * (roots + order).log_()
    return result.sub_(roots.mul_(2 * math.pi).log_(), alpha=0.5).add_(
        series.log_()
    )


class _LogBesselQuotient(torch.autograd.Function):
    """One saved tensor instead of one per term of the series."""

    @staticmethod
    def forward(ctx: Any, squares: Tensor, order: float) -> Tensor:
        result = _log_quotient(order, squares)
        if ctx.needs_input_grad[0]:
            # dA_nu / d(x^2) = A_(nu+1) / 2 (DLMF 10.29.4).
            slope = _log_quotient(order + 1, squares).sub_(result).exp_()
            ctx.save_for_backward(slope.mul_(0.5))
        return result

    @staticmethod
    @first_order_only
    def backward(ctx: Any, grad: Tensor) -> Tuple[Tensor, None]:
        (slope,) = ctx.saved_tensors
        return grad * slope, None


def log_bessel_quotient(order: float, squares: Tensor) -> Tensor:
    r""":math:`\log (I_\nu(x) / x^\nu)` of the modified Bessel function.

    Its error is below 1e-8 for every order and argument: where :math:`I_\nu`
    itself overflows or underflows, too. It is finite at x = 0, without a
    device sync, and has first derivatives only.

    Args:
        order: :math:`\nu \ge 0`, D / 2 - 1 in D dimensions.
        squares: :math:`x^2 \ge 0`, of any shape.

    Returns:
        Of the shape of ``squares``, float64.
    """
    return _LogBesselQuotient.apply(squares.double(), float(order))
