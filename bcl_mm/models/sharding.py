"""Models whose weights are divided among the processes."""

from __future__ import annotations

import contextlib
from typing import Any, Callable, Dict, Iterator, Optional, Sequence

from mmengine.dist import broadcast, get_world_size, is_main_process
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.utils import apply_to
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from bcl_mm.models.layers import Projector
from bcl_mm.models.momentum import MomentumClassifier
from bcl_mm.registry import MODEL_WRAPPERS
from bcl_mm.utils.errors import InputTypeError, InputValueError


class _Initialised:
    """Hides ``init_weights``, which MMEngine would call and broadcast."""

    @property
    def init_weights(self) -> Callable:
        raise AttributeError('the weights are initialised')


@MODEL_WRAPPERS.register_module()
class ShardedModel(nn.Module):
    """Divides weights, gradients and optimizer state among the processes.

    For ``model_wrapper_cfg=dict(type='bcl_mm.ShardedModel')``, instead of
    DDP: FSDP2 (torch's ``fully_shard``), for a classifier or projectors that
    do not fit one device. Losses and updates are those of DDP. A unit is a
    part whose weights are gathered together, for as long as it computes: the
    head, each projector, ``units``, and all the rest. Checkpoints of
    :class:`~bcl_mm.engine.hooks.SafeCheckpointHook` are those of an ordinary
    model.

    A weight of the head can be read inside its ``forward`` and ``loss``
    alone. What does so elsewhere is refused: ``MomentumClassifier``, moving
    averages, ``LIFTHook``, ``SimplexGeometry`` and a loss scale (float16).

    Args:
        module: The model; MMEngine's Runner gives it.
        units: Names of further units, such as ``['backbone.layer4']``: parts
            that are called, and not only their own parts. Defaults to none.

    Raises:
        InputTypeError: The model cannot be divided.
        InputValueError: A unit does not exist.
    """

    def __init__(self, module: BaseModel, units: Sequence[str] = ()) -> None:
        if isinstance(module, MomentumClassifier):
            raise InputTypeError(
                'MomentumClassifier cannot be a ShardedModel, as it averages '
                'weights between steps: leave model_wrapper_cfg out'
            )
        super().__init__()
        self.module = module
        if hasattr(module, 'init_weights'):
            module.init_weights()
        for tensor in module.state_dict().values():
            broadcast(tensor)
        for parameter in module.parameters():
            parameter.data = parameter.data.contiguous()  # as FSDP wants it
        self._shard(units)
        name = type(module).__name__
        module.__class__ = type(name, (_Initialised, type(module)), {})
        for part in module.modules():
            part.register_load_state_dict_pre_hook(_distribute_loaded)
        self._has_state = False  # whether the optimizer's is divided

    def _shard(self, units: Sequence[str]) -> None:
        parts = dict(self.module.named_modules())
        unknown = set(units) - set(parts)
        if unknown:
            raise InputValueError(
                'model_wrapper_cfg.units must name parts of the model, got '
                f'{sorted(unknown)}'
            )
        chosen = [parts[name] for name in units]
        chosen += [p for p in parts.values() if isinstance(p, Projector)]
        head = getattr(self.module, 'head', None)
        if isinstance(head, nn.Module):
            chosen.append(head)
        device = next(self.module.parameters()).device.type
        mesh = init_device_mesh(device, (get_world_size(),))
        for part in (*chosen, self.module):  # the inner ones first
            fully_shard(part, mesh=mesh)
        if isinstance(head, nn.Module):
            register_fsdp_forward_method(head, 'loss')

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the model."""
        return self.module(*args, **kwargs)

    def train_step(
        self, data: Any, optim_wrapper: OptimWrapper
    ) -> Dict[str, Tensor]:
        """Compute the losses of a batch, and update the weights."""
        scaler = getattr(optim_wrapper, 'loss_scaler', None)
        if scaler is not None and scaler.is_enabled():
            raise InputValueError(
                'ShardedModel works without a loss scale: use --amp bf16, or '
                'optim_wrapper.loss_scale=dict(enabled=False)'
            )
        if not self._has_state:
            _distribute_state(optim_wrapper.optimizer)
            self._has_state = True
        with optim_wrapper.optim_context(self):
            data = self.module.data_preprocessor(data, training=True)
            losses = self(**data, mode='loss')
        loss, logs = self.module.parse_losses(losses)
        optim_wrapper.update_params(loss)
        return logs

    def val_step(self, data: Any) -> list:
        """Predictions of a batch, in validation."""
        return self.module.val_step(data)

    def test_step(self, data: Any) -> list:
        """Predictions of a batch."""
        return self.module.test_step(data)

    @contextlib.contextmanager
    def saving_whole(
        self, optim_wrapper: Optional[OptimWrapper]
    ) -> Iterator[None]:
        """Let the main process save whole weights; for all processes.

        Args:
            optim_wrapper: The optimizer wrapper, None if it is not saved.
        """
        owners = [self.module]
        if optim_wrapper is not None:
            owners.append(optim_wrapper)
        for owner in owners:
            state = apply_to(
                owner.state_dict(), lambda x: isinstance(x, DTensor), _gathered
            )
            vars(owner)['state_dict'] = lambda state=state: state
        try:
            yield
        finally:
            for owner in owners:
                vars(owner).pop('state_dict')


def _distributed(whole: Tensor, like: Any) -> DTensor:
    """This process's share of a tensor that all of them have."""
    whole = whole.to(like.device, like.dtype)
    options = dict(src_data_rank=None)  # without communication
    return distribute_tensor(
        whole, like.device_mesh, like.placements, **options
    )


def _distribute_loaded(
    module: nn.Module, state_dict: Dict[str, Tensor], prefix: str, *_: Any
) -> None:
    """Divide the weights that a module is about to load."""
    for name, own in module.named_parameters(recurse=False):
        given = state_dict.get(prefix + name)
        if given is None or isinstance(given, DTensor):
            continue
        if given.shape == own.shape:
            state_dict[prefix + name] = _distributed(given, own)


def _distribute_state(optimizer: Optimizer) -> None:
    """Divide the state that an optimizer has loaded."""
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            is_whole = isinstance(value, Tensor) and value.ndim > 0
            if is_whole and not isinstance(value, DTensor):
                state[name] = _distributed(value, parameter)


def _gathered(value: DTensor) -> Optional[Tensor]:
    """The whole tensor on the main process's host; None on the others."""
    whole = value.full_tensor()
    return whole.cpu() if is_main_process() else None
