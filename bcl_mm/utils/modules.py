"""Access to the modules of a model, wrapped or not."""

from __future__ import annotations

from typing import Any, Dict

from mmengine.model import BaseTTAModel, is_model_wrapper
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def unwrapped(model: nn.Module) -> nn.Module:
    """The model inside DDP, FSDP or test-time augmentation; else itself."""
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model


def tell(model: nn.Module, method: str, *args: Any) -> None:
    """Call a method of every module that has it, once each.

    Args:
        model: The root of the modules, wrapped or not.
        method: Name of the method, such as ``'set_class_info'``.
        *args: Arguments of the method.
    """
    for module in unwrapped(model).modules():
        if hasattr(module, method):
            getattr(module, method)(*args)


def branch_state(model: nn.Module) -> Dict[str, Tensor]:
    """Buffers that training steps change in the branches of a head.

    Class statistics, queues and their positions, by their names in the state
    dict. The statistics of batch norm are not among them: those belong to
    the weights.
    """
    state = {}
    for name, module in unwrapped(model).named_modules():
        if 'branches' in name.split('.') and not isinstance(
            module, _BatchNorm
        ):
            for key, buffer in module.named_buffers(name, recurse=False):
                if key.rpartition('.')[2] not in (
                    module._non_persistent_buffers_set
                ):
                    state[key] = buffer
    return state
