"""Learning-rate schedules that MMEngine lacks."""

from __future__ import annotations

import math
from typing import Any, List, Optional

from mmengine.optim import CosineAnnealingLR, LinearLR

from bcl_mm.registry import PARAM_SCHEDULERS
from bcl_mm.utils.errors import InputValueError, check_number


@PARAM_SCHEDULERS.register_module()
class ShiftedCosineLR(CosineAnnealingLR):
    r"""The reference code's cosine, starting one step below the full rate.

    .. math::
        lr_e = \frac{lr}{2} \left(1 + \cos \frac{\pi (e + 1)}{E + 1} \right)

    for step e = 0, 1, ..., E - 1, where MMEngine's ``CosineAnnealingLR`` has
    the angle :math:`\pi e / E`.

    Each step multiplies the rate of the previous step by a factor, so that
    the schedule combines with others, such as a warm-up.

    Args:
        optimizer: Optimizer or its wrapper.
        T_max: Number of steps E. Defaults to None: from ``begin`` to ``end``.
        **kwargs: Arguments of MMEngine's ``CosineAnnealingLR``
            (``by_epoch``, ...).

    Raises:
        InputTypeError: ``T_max`` is not an integer.
        ValueError: ``T_max`` is not positive, or ``eta_min`` is given (the
            rate always ends near zero).

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        >>> schedule = ShiftedCosineLR(optimizer, T_max=3)
        >>> for _ in range(3):
        ...     print(round(optimizer.param_groups[0]['lr'], 4))
        ...     optimizer.step()
        ...     schedule.step()
        0.8536
        0.5
        0.1464
    """

    def __init__(
        self,
        optimizer: Any,
        T_max: Optional[int] = None,  # noqa: N803, MMEngine's name
        *args: Any,
        **kwargs: Any,
    ) -> None:
        if T_max is not None:
            check_number('T_max', T_max, at_least=1, whole=True)
        super().__init__(optimizer, T_max, *args, **kwargs)

    def _get_value(self) -> List[float]:
        if self.eta_min or self.eta_min_ratio:
            raise InputValueError('ShiftedCosineLR has no eta_min')

        def level(step: int) -> float:
            return 1 + math.cos(math.pi * (step + 1) / (self.T_max + 1))

        before = 2.0 if self.last_step == 0 else level(self.last_step - 1)
        factor = level(self.last_step) / before
        groups = self.optimizer.param_groups
        return [group[self.param_name] * factor for group in groups]


@PARAM_SCHEDULERS.register_module()
class WarmUpLR(LinearLR):
    """A linear warm-up whose length is a fraction of the training.

    MMEngine's ``LinearLR`` takes a length in epochs or iterations, which may
    exceed a short trial, or depend on data that are unknown so far.

    Args:
        optimizer: Optimizer or its wrapper.
        fraction: Fraction of the training, in (0, 1). Defaults to 0.05.
        begin: First step. Defaults to 0.
        end: Last step of the training (set by the Runner).
        **kwargs: Arguments of MMEngine's ``LinearLR`` (``start_factor``,
            ``by_epoch``, ``convert_to_iter_based``, ...).

    Raises:
        InputTypeError: ``fraction`` is not a number.
        InputValueError: ``fraction`` is not in (0, 1).

    Example:
        Over half of eight epochs, from a quarter of the rate:

        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        >>> settings = dict(fraction=0.5, start_factor=0.25, end=8)
        >>> schedule = WarmUpLR(optimizer, **settings)
        >>> for _ in range(5):
        ...     print(optimizer.param_groups[0]['lr'])
        ...     optimizer.step()
        ...     schedule.step()
        0.25
        0.5
        0.75
        1.0
        1.0
    """

    def __init__(
        self,
        optimizer: Any,
        *,
        fraction: float = 0.05,
        begin: int = 0,
        end: int,
        **kwargs: Any,
    ) -> None:
        check_number('fraction', fraction, above=0, below=1)
        # The last of the steps has the full rate: one step is too few.
        steps = max(2, round(fraction * (end - begin)))
        super().__init__(optimizer, begin=begin, end=begin + steps, **kwargs)
