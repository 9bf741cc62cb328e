"""Models whose images and convolutions are stored with channels last."""

from __future__ import annotations

from typing import Any, Type

import torch
from mmengine.runner import Runner
from torch import nn

from bcl_mm.models.preprocessor import MultiViewDataPreprocessor


def channels_last_runner(base: Type[Runner]) -> Type[Runner]:
    """Subclass of a Runner that changes its model before it is wrapped.

    DDP lays its buffers out as the weights are when it wraps them.
    """

    class ChannelsLastRunner(base):
        def wrap_model(self, model_wrapper_cfg: Any, model: Any) -> nn.Module:
            model = model.to(memory_format=torch.channels_last)
            for module in model.modules():
                if isinstance(module, MultiViewDataPreprocessor):
                    module.channels_last = True
            return super().wrap_model(model_wrapper_cfg, model)

    ChannelsLastRunner.__name__ = base.__name__
    return ChannelsLastRunner
