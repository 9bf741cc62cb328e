"""Learning-rate schedules that MMEngine does not have."""

from __future__ import annotations

import math
from typing import List

from mmengine.optim import CosineAnnealingLR

from bcl_mm.registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class ShiftedCosineLR(CosineAnnealingLR):
    r"""The reference's cosine: it starts one step below the full rate.

    .. math::
        lr_e = \frac{lr}{2} \left(1 + \cos \frac{\pi (e + 1)}{E + 1} \right)

    for step e = 0, 1, ..., E - 1, where MMEngine's ``CosineAnnealingLR`` is
    at :math:`\pi e / E`.

    Args:
        optimizer: Optimizer or its wrapper.
        T_max: Number of steps E.
        **kwargs: Arguments of MMEngine's ``CosineAnnealingLR``
            (``by_epoch``, ...); ``eta_min`` must stay 0.
    """

    def _get_value(self) -> List[float]:
        angle = math.pi * (self.last_step + 1) / (self.T_max + 1)
        return [base * (1 + math.cos(angle)) / 2 for base in self.base_values]
