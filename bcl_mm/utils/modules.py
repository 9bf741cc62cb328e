"""Access to the modules of a model, wrapped or not."""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Optional, Type, TypeVar

from mmengine.evaluator import Evaluator
from mmengine.model import BaseTTAModel, is_model_wrapper
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from bcl_mm.classes import ClassInfo
from bcl_mm.utils.protocols import Projects, TakesClassInfo

_Contract = TypeVar('_Contract')


def unwrapped(model: nn.Module) -> nn.Module:
    """The model inside DDP, FSDP or test-time augmentation; else itself."""
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.get_submodule('module')
    return model


def parts_of(model: nn.Module, contract: Type[_Contract]) -> List[_Contract]:
    """Modules of a model that fulfil a contract, once each.

    Args:
        model: The root of the modules, wrapped or not.
        contract: A protocol, such as
            :class:`~bcl_mm.utils.protocols.TakesProgress`.
    """
    return _fulfilling(unwrapped(model).modules(), contract)


def metrics_of(
    evaluator: Evaluator, contract: Type[_Contract]
) -> List[_Contract]:
    """Metrics that fulfil a contract, see :func:`parts_of`."""
    return _fulfilling(evaluator.metrics, contract)


def _fulfilling(
    parts: Iterable[Any], contract: Type[_Contract]
) -> List[_Contract]:
    # Each step asks: isinstance() takes four times as long. The answer for a
    # class is remembered: a method that it is given later is not seen.
    return [part for part in parts if issubclass(type(part), contract)]


def set_class_info(model: nn.Module, info: ClassInfo) -> None:
    """Tell all modules that need it the class information."""
    for part in parts_of(model, TakesClassInfo):
        part.set_class_info(info)


def projection_of(head: object) -> Optional[Projects]:
    """The branch of a head that projects features; None without one."""
    projection = getattr(head, 'projection', None)
    return projection if isinstance(projection, Projects) else None


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
