"""Moving averages of a model's weights."""

from __future__ import annotations

from mmengine.model import ExponentialMovingAverage as MMEngineEMA
from torch import nn

from bcl_mm.registry import MODELS
from bcl_mm.utils.modules import branch_state


@MODELS.register_module()
class ExponentialMovingAverage(MMEngineEMA):
    """MMEngine's moving average, which copies the state of branches.

    With ``update_buffers=True`` MMEngine averages all buffers. An average of
    queues or class statistics means nothing: these are copied instead. For
    ``EMAHook(ema_type='bcl_mm.ExponentialMovingAverage')``; arguments are
    those of MMEngine's class.
    """

    def update_parameters(self, model: nn.Module) -> None:
        """Update the averages, and copy the branches' buffers."""
        super().update_parameters(model)
        copies = branch_state(self.module)
        for name, buffer in branch_state(model).items():
            copies[name].copy_(buffer)
