"""Access to the modules of a model, wrapped or not."""

from __future__ import annotations

from typing import Any, Dict, Iterable

from mmengine.evaluator import Evaluator
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
    _tell_each(unwrapped(model).modules(), method, args)


def tell_metrics(evaluator: Evaluator, method: str, *args: Any) -> None:
    """Call a method of every metric that has it, as :func:`tell` does."""
    _tell_each(evaluator.metrics, method, args)


def _tell_each(parts: Iterable[Any], method: str, args: tuple) -> None:
    for part in parts:
        if hasattr(part, method):
            getattr(part, method)(*args)


def given_info(model: nn.Module) -> Any:
    """The class information that a config gives to a part, None if none."""
    modules = unwrapped(model).modules()
    given = (getattr(module, 'given_info', None) for module in modules)
    return next((info for info in given if info is not None), None)


def training_state(model: nn.Module) -> Dict[str, Tensor]:
    """Buffers that training steps change in the branches and losses of a head.

    Class statistics, queues and their positions, by their names in the state
    dict. The statistics of batch norm are not among them: those belong to
    the weights.
    """
    owners = {'branches', 'loss_module'}
    state = {}
    for name, module in unwrapped(model).named_modules():
        is_norm = isinstance(module, _BatchNorm)
        if owners.intersection(name.split('.')) and not is_norm:
            for key, buffer in module.named_buffers(recurse=False):
                if key not in module._non_persistent_buffers_set:
                    state[f'{name}.{key}'] = buffer
    return state
