"""Sharpness-aware minimisation for every method."""

from __future__ import annotations

import contextlib
import random
from typing import Any, Dict, Iterator, List, Optional

import numpy as np
import torch
from mmengine.model import BaseModel
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import Tensor, nn

from bcl_mm.registry import OPTIM_WRAPPERS
from bcl_mm.utils.errors import InputValueError, check_number
from bcl_mm.utils.modules import unwrapped


def _random_states(device: torch.device) -> List[Any]:
    states = [random.getstate(), np.random.get_state(), torch.get_rng_state()]
    if device.type != 'cpu':
        states.append(torch.get_device_module(device).get_rng_state(device))
    return states


def _set_random_states(states: List[Any], device: torch.device) -> None:
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])
    if device.type != 'cpu':
        torch.get_device_module(device).set_rng_state(states[3], device)


class ModelCall:
    """A call of a model, which can be repeated from the same state."""

    def __init__(self, model: nn.Module, args: tuple, kwargs: dict) -> None:
        self.model, self.args, self.kwargs = model, args, kwargs
        self.device = next(model.parameters()).device
        self.before = self._state()

    def _state(self) -> tuple:
        buffers = [buffer.clone() for buffer in self.model.buffers()]
        return buffers, _random_states(self.device)

    @torch.no_grad()
    def _restore(self, state: tuple) -> None:
        buffers, random_states = state
        for buffer, value in zip(self.model.buffers(), buffers):
            buffer.copy_(value)
        _set_random_states(random_states, self.device)

    @contextlib.contextmanager
    def repeatable(self) -> Iterator[None]:
        """Go back to the state before the call, for a while."""
        after = self._state()
        self._restore(self.before)
        try:
            yield
        finally:
            self._restore(after)


class SharpnessAware(OptimWrapper):
    """The passes of a step, for :class:`SAMOptimWrapper` and its relatives.

    Attributes:
        passes: Forward passes of a step, for the cost of a training.
    """

    passes = 2

    def __init__(self, rho: float = 0.05, **kwargs: Any) -> None:
        check_number('optim_wrapper.rho', rho, at_least=0)
        super().__init__(**kwargs)
        if self._accumulative_counts != 1:
            raise InputValueError(
                'SAM does not accumulate gradients: leave out '
                'optim_wrapper.accumulative_counts, got '
                f'{self._accumulative_counts}'
            )
        self.rho = rho
        self._call: Optional[ModelCall] = None

    @contextlib.contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Remember how the model is called."""

        def remember(module: nn.Module, args: tuple, kwargs: dict) -> None:
            self._call = ModelCall(module, args, kwargs)

        handle = model.register_forward_pre_hook(remember, with_kwargs=True)
        try:
            with super().optim_context(model):
                yield
        finally:
            handle.remove()

    def update_params(
        self,
        loss: Tensor,
        step_kwargs: Optional[dict] = None,
        zero_kwargs: Optional[dict] = None,
    ) -> None:
        """Step with the gradient at the ascended weights.

        Args:
            loss: Loss of the first pass.
            step_kwargs: Arguments of the optimizer's ``step``.
            zero_kwargs: Arguments of its ``zero_grad``.
        """
        call, self._call = self._call, None
        if call is None:
            raise InputValueError(
                'SAM must see the call of the model: it needs a model whose '
                'train_step runs its forward inside optim_context, as '
                "MMEngine's BaseModel does"
            )
        self.backward(self.scale_loss(loss))
        self.add_passes(call)
        self.step(**(step_kwargs or {}))
        self.zero_grad(**(zero_kwargs or {}))

    def add_passes(self, call: ModelCall) -> None:
        """Replace the gradients by those of the step."""
        with self.uphill():
            self.run(call)

    @contextlib.contextmanager
    def uphill(self) -> Iterator[None]:
        """Move the weights along their gradients, which are then cleared."""
        groups = self.optimizer.param_groups
        parameters = [p for group in groups for p in group['params']]
        moved = [p for p in parameters if p.grad is not None]
        weights = [p.detach().clone() for p in moved]
        try:
            self._ascend(moved)
            self.optimizer.zero_grad()
            yield
        finally:
            with torch.no_grad():
                for parameter, weight in zip(moved, weights):
                    parameter.copy_(weight)

    def run(self, call: ModelCall) -> None:
        """Repeat the call, and add the gradient of :meth:`loss_of`."""
        with call.repeatable():
            with super().optim_context(call.model):
                losses = call.model(*call.args, **call.kwargs)
                loss = self.loss_of(losses, unwrapped(call.model))
            self.backward(self.scale_loss(loss))

    def loss_of(self, losses: Dict[str, Tensor], model: BaseModel) -> Tensor:
        """The loss of a pass, a scalar; by default the sum of all."""
        return model.parse_losses(losses)[0]

    @torch.no_grad()
    def _ascend(self, parameters: List[Tensor]) -> None:
        gradients = [p.grad for p in parameters if p.grad is not None]
        # A loss scaler's factor cancels in g / |g|.
        norm = nn.utils.get_total_norm(gradients)
        # Where it overflowed, the scaler will skip this step.
        is_finite = norm.isfinite()
        factor = torch.where(is_finite, self.rho / (norm + 1e-12), 0)
        for parameter, gradient in zip(parameters, gradients):
            step = factor.to(gradient.device) * gradient
            parameter.add_(step.nan_to_num(0, 0, 0).to(parameter))


@OPTIM_WRAPPERS.register_module()
class SAMOptimWrapper(SharpnessAware, OptimWrapper):
    r"""Sharpness-aware minimisation, SAM (Foret et al., ICLR 2021, Eq. 2).

    .. math::
        \theta \leftarrow \mathrm{step}\left(\theta, \nabla L\left(\theta +
        \rho \frac{\nabla L(\theta)}{\lVert \nabla L(\theta) \rVert}
        \right)\right)

    For any method; an iteration takes two passes. Both see the same batch,
    views and random draws, and the buffers from before the step (batch norm,
    class statistics, queues); those of the first pass are kept. With
    :math:`\rho = 0` training is bit for bit that of ``OptimWrapper``. With
    several processes the gradients are averaged before the weights move.

    Args:
        rho: Length :math:`\rho \ge 0` of the step uphill. Defaults to 0.05.
        **kwargs: Arguments of MMEngine's ``OptimWrapper``.

    Raises:
        InputTypeError: ``rho`` is not a number.
        InputValueError: ``rho`` is negative or not finite, or gradients are
            accumulated.

    Example:
        :math:`L = \theta^2` from :math:`\theta = 1`, with the gradient at 1.5:

        >>> class Parabola(BaseModel):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.theta = nn.Parameter(torch.ones(()))
        ...     def forward(self, inputs, mode):
        ...         return dict(loss=self.theta**2)
        >>> model = Parabola()
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> wrapper = SAMOptimWrapper(rho=0.5, optimizer=optimizer)
        >>> losses = model.train_step(dict(inputs=[torch.zeros(1)]), wrapper)
        >>> round(model.theta.item(), 4)  # 1 - 0.1 * 2 * 1.5
        0.7
    """


@OPTIM_WRAPPERS.register_module()
class AmpSAMOptimWrapper(SharpnessAware, AmpOptimWrapper):
    """:class:`SAMOptimWrapper` with mixed precision.

    ``bcl-mm train --amp`` takes it for a config with ``SAMOptimWrapper``.
    Other arguments are those of MMEngine's ``AmpOptimWrapper``.
    """
