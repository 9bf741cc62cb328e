"""Moving averages of a model's weights."""

from __future__ import annotations

from typing import Any

from mmengine.model import BaseAveragedModel
from mmengine.model import ExponentialMovingAverage as MMEngineEMA
from mmengine.model import MomentumAnnealingEMA as MMEngineAnnealingEMA
from mmengine.model import StochasticWeightAverage as MMEngineSWA
from torch import nn

from bcl_mm.registry import MODELS
from bcl_mm.utils.distributed import require_whole
from bcl_mm.utils.modules import training_state


class _CopiesState(BaseAveragedModel):
    """Copies the state of branches and losses instead of averaging it.

    With ``update_buffers=True`` MMEngine averages all buffers. An average of
    queues or class statistics means nothing.
    """

    def __init__(self, model: nn.Module, *args: Any, **kwargs: Any) -> None:
        for weight in model.parameters():
            require_whole(weight, type(self).__name__)
        super().__init__(model, *args, **kwargs)

    def update_parameters(self, model: nn.Module) -> None:
        """Update the averages, and copy the state."""
        super().update_parameters(model)
        copies = training_state(self.module)
        for name, buffer in training_state(model).items():
            copies[name].copy_(buffer)


@MODELS.register_module()
class ExponentialMovingAverage(_CopiesState, MMEngineEMA):
    """MMEngine's moving average, which copies the state of branches.

    For ``EMAHook(ema_type='bcl_mm.ExponentialMovingAverage')``; arguments are
    those of MMEngine's class, also of the two below.

    Example:
        A weight that a step moves from 0 to 1:

        >>> model = nn.Linear(1, 1)
        >>> _ = nn.init.zeros_(model.weight)
        >>> average = ExponentialMovingAverage(model, momentum=0.1)
        >>> average.update_parameters(model)
        >>> _ = nn.init.ones_(model.weight)
        >>> average.update_parameters(model)
        >>> round(average.module.weight.item(), 4)
        0.1
    """


@MODELS.register_module()
class MomentumAnnealingEMA(_CopiesState, MMEngineAnnealingEMA):
    """MMEngine's average of a growing length, with copied state.

    Example:
        A weight that a step moves from 0 to 1:

        >>> model = nn.Linear(1, 1)
        >>> _ = nn.init.zeros_(model.weight)
        >>> average = MomentumAnnealingEMA(model, gamma=3)
        >>> average.update_parameters(model)
        >>> _ = nn.init.ones_(model.weight)
        >>> average.update_parameters(model)
        >>> round(average.module.weight.item(), 4)
        0.75
    """


@MODELS.register_module()
class StochasticWeightAverage(_CopiesState, MMEngineSWA):
    """MMEngine's plain average, with copied state.

    Example:
        A weight that a step moves from 0 to 1:

        >>> model = nn.Linear(1, 1)
        >>> _ = nn.init.zeros_(model.weight)
        >>> average = StochasticWeightAverage(model)
        >>> average.update_parameters(model)
        >>> _ = nn.init.ones_(model.weight)
        >>> average.update_parameters(model)
        >>> round(average.module.weight.item(), 4)
        0.5
    """
