"""Stop training at a loss that is not finite."""

from __future__ import annotations

import logging
import math
from functools import partial
from typing import Any, Callable, Dict, List, Tuple

import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import Tensor, nn

from bcl_mm.engine.hooks.progress import epoch_and_position
from bcl_mm.registry import HOOKS
from bcl_mm.utils.distributed import is_sharded
from bcl_mm.utils.errors import InputValueError, NonFiniteError
from bcl_mm.utils.modules import unwrapped

_MOST_NAMED = 4  # images, in the message


def _name_images(data_batch: Any) -> List[str]:
    """Names of the images of a batch: paths or indices."""
    batch = data_batch if isinstance(data_batch, dict) else {}
    samples, names = batch.get('data_samples') or [], []
    for position, sample in enumerate(samples):
        path = getattr(sample, 'img_path', None)
        index = getattr(sample, 'sample_idx', None)
        if path is not None:
            names.append(repr(path))  # printable even if not UTF-8
        elif index is not None:
            names.append(f'image {index} of its dataset')
        else:
            names.append(f'position {position} in the batch')
    return names


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Ends training at a NaN or infinite loss, before any weight changes.

    The error (a :class:`~bcl_mm.utils.errors.NonFiniteError`) names
    iteration, epoch, loss terms, the last checkpoint, which stays unchanged,
    and the first images of the batch. The log lists all of them.

    *When.* Losses and the gradient norm are read after the backward pass and
    before the optimizer's step. The gradients matter with several processes:
    the hook turns a loss that is not finite into NaN gradients, which
    gradient averaging spreads to all processes. All stop at the same step,
    without an extra collective. (Gradients are not averaged while they are
    accumulated: then the process of the NaN stops, and the launcher ends the
    others.)

    *Cost.* No additional device sync. MMEngine syncs once per loss and
    iteration to log it. The hook reads all losses at once, before the step
    instead of after it, and passes the values on to the log. It adds one pass
    over the gradients.

    *Mixed precision.* A loss scaler checks for infinite gradients itself,
    skips the step and lowers its scale. Where there is one, the hook
    therefore checks only the losses. (A NaN loss makes all gradients NaN, so
    that the scalers of other processes skip the step.)
    """

    def __init__(self) -> None:
        self._batch_idx = 0
        self._data_batch: Any = None
        self._log_vars: Dict[str, Tensor] = {}
        self._wrapped: List[Tuple[Any, str]] = []

    def before_train(self, runner: Runner) -> None:
        """Wrap the model's ``parse_losses`` and the backward passes."""
        self.after_train(runner)  # not called if an error ended a training
        self._wrap(unwrapped(runner.model), 'parse_losses', self._parse)
        optim = runner.optim_wrapper
        is_one = isinstance(optim, OptimWrapper)
        for wrapper in [optim] if is_one else optim.values():
            backward = partial(self._backward, runner, wrapper)
            self._wrap(wrapper, 'backward', backward)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Keep the batch for the error message."""
        self._batch_idx, self._data_batch = batch_idx, data_batch

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Raise an error for weights that are not finite.

        Far too high a learning rate causes them even with finite gradients,
        and the checkpoint comes before the next loss.
        """
        for name, weight in checkpoint['state_dict'].items():
            # (The extra state of a module may be any object.)
            is_real = torch.is_tensor(weight) and weight.is_floating_point()
            if is_real and is_sharded(weight):
                raise InputValueError(
                    'a ShardedModel is saved by bcl_mm.SafeCheckpointHook, '
                    'to which its processes give their parts: set '
                    'default_hooks.checkpoint.type to that'
                )
            if is_real and not weight.isfinite().all():
                raise NonFiniteError(
                    f'the weight {name} is not finite: lower the learning rate'
                )

    def after_train(self, runner: Runner) -> None:
        """Restore model and optimizer."""
        for owner, name in self._wrapped:
            vars(owner).pop(name, None)
        self._wrapped = []
        self._data_batch, self._log_vars = None, {}

    def _wrap(self, owner: Any, name: str, function: Callable) -> None:
        # On the instance, so that any model and optimizer class works.
        wrapper = partial(function, getattr(owner, name))
        object.__setattr__(owner, name, wrapper)
        self._wrapped.append((owner, name))

    def _parse(
        self, parse_losses: Callable, losses: dict
    ) -> Tuple[Tensor, Dict[str, Tensor]]:
        """The sum of the losses, and the values to log."""
        loss, self._log_vars = parse_losses(losses)
        # Times 1, which changes no bit, or times NaN.
        one = torch.ones_like(loss)
        loss = loss * one.where(loss.isfinite(), torch.nan)
        return loss, self._log_vars

    def _backward(
        self,
        runner: Runner,
        wrapper: OptimWrapper,
        backward: Callable,
        loss: Tensor,
        **kwargs: Any,
    ) -> None:
        """Run the backward pass and check its results."""
        backward(loss, **kwargs)
        # (A model with its own train_step has no log_vars.)
        tensors = dict(self._log_vars) or dict(loss=loss)
        # An overridden backward pass belongs to a loss scaler or the like.
        is_plain = type(wrapper).backward is OptimWrapper.backward
        scaler = getattr(wrapper, 'loss_scaler', None)
        if is_plain or (scaler is not None and not scaler.is_enabled()):
            groups = wrapper.optimizer.param_groups
            parameters = [p for group in groups for p in group['params']]
            gradients = [p.grad for p in parameters if p.grad is not None]
            tensors['gradient'] = nn.utils.get_total_norm(gradients)
        values = self._read(tensors, loss.device)
        bad = {k: v for k, v in values.items() if not math.isfinite(v)}
        if any('loss' in name for name in bad) or 'gradient' in bad:
            raise NonFiniteError(self._message(runner, values))

    def _read(
        self, tensors: Dict[str, Tensor], device: torch.device
    ) -> Dict[str, float]:
        """Values of losses and gradient norm, in one device sync."""
        whole = [
            tensor.full_tensor() if is_sharded(tensor) else tensor
            for tensor in tensors.values()
        ]
        flat = [t.detach().to(device).reshape(1) for t in whole]
        read = torch.cat(flat).cpu()
        # Log the values on the host, without another sync.
        self._log_vars.update(zip(self._log_vars, read.unbind()))
        return dict(zip(tensors, read.tolist()))

    def _message(self, runner: Runner, values: Dict[str, float]) -> str:
        losses = {k: v for k, v in values.items() if 'loss' in k}
        terms = ', '.join(f'{k}={v:.6g}' for k, v in losses.items())
        what = 'the loss is not finite'
        if all(map(math.isfinite, losses.values())):
            what = (
                'the gradient is not finite, though the loss is'
                if runner.world_size == 1
                else 'the gradient is not finite: the loss of another process '
                'is not finite (see its message), or this backward pass '
                'overflowed'
            )
        epoch, _ = epoch_and_position(runner, self._batch_idx)
        rank = f' on rank {runner.rank}' if runner.world_size > 1 else ''
        last = runner.message_hub.runtime_info.get('last_ckpt')
        images = _name_images(self._data_batch)
        most = len(images)
        if runner.rank == 0 and runner.logger.isEnabledFor(logging.INFO):
            # Only this process has a log.
            listed = '\n'.join(images)
            runner.logger.info(f'Images of the batch that ended it:\n{listed}')
            most = _MOST_NAMED
        more = len(images) - most
        return (
            f'iteration {runner.iter + 1} (epoch {epoch + 1}){rank}: {what}: '
            f'{terms}. No weight was changed. Last checkpoint: '
            f'{last or "none"}. Images of the batch: '
            + ', '.join(images[:most])
            + (f', and {more:,} more, which the log lists' * (more > 0))
        )
