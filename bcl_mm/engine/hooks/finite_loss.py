"""Training that stops at a loss that is not finite."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, Callable, Dict, List, Optional, Tuple

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import Tensor, nn

from bcl_mm.registry import HOOKS


def _unwrapped(model: nn.Module) -> nn.Module:
    return model.module if is_model_wrapper(model) else model


def _name_images(data_batch: Any) -> List[str]:
    """What to call the images of a batch: paths, or indices."""
    samples = []
    if isinstance(data_batch, dict):
        samples = data_batch.get('data_samples') or []
    names = []
    for position, sample in enumerate(samples):
        path = getattr(sample, 'img_path', None)
        index = getattr(sample, 'sample_idx', None)
        if path is not None:
            names.append(repr(path))  # one that is no UTF-8 is printable so
        elif index is not None:
            names.append(f'image {index} of its dataset')
        else:
            names.append(f'position {position} in the batch')
    return names


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Ends training at a NaN or infinite loss, before a weight has changed.

    The error (a ``FloatingPointError``) names iteration, epoch, loss terms
    and the images of the batch, and the last checkpoint stays as it is.

    *When.* After the backward pass and before the optimizer's step the
    losses are read, together with the gradient's norm. That the gradients
    are finite, too, is needed on several processes: a loss that is not
    finite is made to have gradients of NaN, which the averaging of gradients
    takes to every process, and so all of them stop at this step, without a
    collective of the hook's own. (While gradients are accumulated they are
    not averaged: the process of the NaN stops, and the launcher ends the
    others.)

    *Cost.* No device synchronisation of its own. MMEngine waits for the
    device in every iteration, when it logs the losses, once for each of
    them; the hook reads them all at once, before the step instead of after
    it, and hands the values on to be logged. Beside that it takes one pass
    over the gradients.

    *Mixed precision.* A loss scaler looks for infinite gradients itself,
    skips the step and lowers its scale: under ``AmpOptimWrapper`` gradients
    are its affair, and the hook looks at the losses alone. (A NaN loss makes
    every gradient NaN: the scalers of other processes skip that step.)

    Put it into ``default_hooks``, so that a user's ``custom_hooks`` do not
    drop it.
    """

    def __init__(self) -> None:
        self._data_batch: Any = None
        self._log_vars: Dict[str, Tensor] = {}
        self._guarded: List[Tuple[Any, str]] = []

    def before_train(self, runner: Runner) -> None:
        """Guard the model's losses and the backward pass."""
        self.after_train(runner)  # of a training that an error ended
        self._guard(_unwrapped(runner.model), 'parse_losses', self._parse)
        wrapper = runner.optim_wrapper
        for part in (
            [wrapper]
            if isinstance(wrapper, OptimWrapper)
            else wrapper.values()
        ):
            self._guard(
                part, 'backward', partial(self._backward, runner, part)
            )

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Keep the batch, whose images an error names."""
        self._data_batch = data_batch

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Refuse to save weights that are not finite.

        A finite loss and gradient still make them so, where the learning
        rate is far too high, and the next loss comes after the checkpoint.
        """
        for name, weight in checkpoint['state_dict'].items():
            # (A module may keep more than tensors, as extra state.)
            is_real = torch.is_tensor(weight) and weight.is_floating_point()
            if is_real and not weight.isfinite().all():
                raise FloatingPointError(
                    f'the weight {name} is not finite: lower the learning rate'
                )

    def after_train(self, runner: Runner) -> None:
        """Let model and optimizer be what they were."""
        for owner, name in self._guarded:
            vars(owner).pop(name, None)
        self._guarded = []
        self._data_batch, self._log_vars = None, {}

    def _guard(self, owner: Any, name: str, function: Callable) -> None:
        # On this object alone, so that any model and optimizer will do.
        object.__setattr__(
            owner, name, partial(function, getattr(owner, name))
        )
        self._guarded.append((owner, name))

    def _parse(
        self, parse_losses: Callable, losses: dict
    ) -> Tuple[Tensor, Dict[str, Tensor]]:
        """The sum of the losses, and what is to be logged."""
        loss, self._log_vars = parse_losses(losses)
        # Times 1, which changes no bit, or NaN.
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
        """Backward pass, and the look at what came of it."""
        backward(loss, **kwargs)
        norm = None
        # Another backward pass is that of a loss scaler, or the like.
        if type(wrapper).backward is OptimWrapper.backward:
            norm = self._gradient_norm(wrapper.optimizer)
        values = self._read(loss, norm)
        bad = {k: v for k, v in values.items() if not math.isfinite(v)}
        if any('loss' in name for name in bad) or 'gradient' in bad:
            raise FloatingPointError(self._message(runner, values))

    def _read(self, loss: Tensor, norm: Optional[Tensor]) -> Dict[str, float]:
        """Values of losses and gradient, in one transfer from the device."""
        tensors = dict(self._log_vars)
        if not tensors:  # a model with a train_step of its own
            tensors['loss'] = loss
        if norm is not None:
            tensors['gradient'] = norm
        flat = [
            value.detach().to(loss.device).reshape(1)
            for value in tensors.values()
        ]
        read = torch.cat(flat).cpu()
        # What is logged is on the host by now.
        self._log_vars.update(zip(self._log_vars, read.unbind()))
        return dict(zip(tensors, read.tolist()))

    @staticmethod
    def _gradient_norm(optimizer: torch.optim.Optimizer) -> Tensor:
        gradients = [
            parameter.grad
            for group in optimizer.param_groups
            for parameter in group['params']
            if parameter.grad is not None
        ]
        return nn.utils.get_total_norm(gradients)

    def _message(self, runner: Runner, values: Dict[str, float]) -> str:
        losses = {k: v for k, v in values.items() if 'loss' in k}
        terms = ', '.join(f'{k}={v:.6g}' for k, v in losses.items())
        what = 'the loss is not finite'
        if all(map(math.isfinite, losses.values())):
            what = (
                'the gradient is not finite, though the loss is'
                if runner.world_size == 1
                else 'the gradient is not finite: the loss of another process '
                'is not (see its message), or this backward pass overflowed'
            )
        # runner.epoch stays 0 where training counts iterations.
        epoch = runner.iter // len(runner.train_dataloader)
        rank = f' on rank {runner.rank}' if runner.world_size > 1 else ''
        images = _name_images(self._data_batch)
        last = runner.message_hub.runtime_info.get('last_ckpt')
        return (
            f'iteration {runner.iter + 1} (epoch {epoch + 1}){rank}: {what}: '
            f'{terms}. No weight was changed by it. Last checkpoint: '
            f'{last or "none"}. The {len(images)} images of the batch:\n'
            + '\n'.join(images)
        )
