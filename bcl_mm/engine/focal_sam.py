"""Sharpness-aware minimisation that spares the frequent classes."""

from __future__ import annotations

from typing import Any, Dict, Optional

from mmengine.model import BaseModel
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import Tensor

from bcl_mm.engine.sam import ModelCall, SharpnessAware
from bcl_mm.models.heads import LongTailHead
from bcl_mm.registry import OPTIM_WRAPPERS
from bcl_mm.utils.errors import InputTypeError, check_number
from bcl_mm.utils.modules import unwrapped


def _copied(gradient: Optional[Tensor]) -> Optional[Tensor]:
    return None if gradient is None else gradient.clone()


class FocalSharpnessAware(SharpnessAware):
    """The passes of :class:`FocalSAMOptimWrapper`."""

    passes = 3

    def __init__(
        self,
        rho: float = 0.3,
        gamma: float = 3.2,
        strength: float = 0.8,
        **kwargs: Any,
    ) -> None:
        check_number('optim_wrapper.gamma', gamma, at_least=0)
        check_number('optim_wrapper.strength', strength, at_least=0)
        super().__init__(rho, **kwargs)
        self.gamma = gamma
        self.strength = strength

    def add_passes(self, call: ModelCall) -> None:
        """Add the gradient of the sharpness to that of the loss."""
        head = getattr(unwrapped(call.model), 'head', None)
        if not isinstance(head, LongTailHead):
            raise InputTypeError(
                'Focal-SAM needs a head that derives from LongTailHead, got '
                f'{type(head).__name__}'
            )
        if not self.rho:  # the two passes would cancel
            return
        groups = self.optimizer.param_groups
        parameters = [p for group in groups for p in group['params']]
        # Copies: DDP may keep gradients in buffers of its own.
        plain = [_copied(p.grad) for p in parameters]
        self.optimizer.zero_grad(set_to_none=True)

        self._num_weighed = 0
        focus = self.strength * (1 - head.log_prior().exp()) ** self.gamma

        def weigh(targets: Tensor) -> Tensor:
            self._num_weighed += 1
            if targets.ndim == 1:
                return focus[targets]
            return (targets.to(focus) * focus).sum(1)

        head.sample_weights = weigh
        try:
            self.run(call)
            here = [_copied(p.grad) for p in parameters]
            with self.uphill():
                self.run(call)
        finally:
            head.sample_weights = None
        for parameter, first, own in zip(parameters, plain, here):
            if first is not None and own is not None:
                parameter.grad += first - own
            elif first is not None:
                parameter.grad = first

    def loss_of(self, losses: Dict[str, Tensor], model: BaseModel) -> Tensor:
        """The weighted classification loss."""
        if not self._num_weighed:
            raise InputTypeError(
                'Focal-SAM weighs the samples of loss_cls, and '
                f'{type(model.head).__name__} has none, or its '
                'classification_loss() does not call mean_loss()'
            )
        # DDP waits for the gradient of every parameter.
        return losses['loss_cls'] + 0 * super().loss_of(losses, model)


@OPTIM_WRAPPERS.register_module()
class FocalSAMOptimWrapper(FocalSharpnessAware, OptimWrapper):
    r"""Focal-SAM (Li et al., ICML 2025).

    .. math::
        \min_\theta L(\theta) + F(\theta + \epsilon) - F(\theta), \quad
        F = \frac{1}{M} \sum_i c_{y_i} \ell_i, \quad
        c_c = \lambda (1 - \pi_c)^\gamma, \quad
        \epsilon = \rho \frac{\nabla F(\theta)}{\lVert \nabla F(\theta)
        \rVert}

    where :math:`\ell_i` is the classification loss of a sample, as the head
    weighs it. Losses of branches are in L alone. An iteration takes three
    passes, under the conditions of
    :class:`~bcl_mm.engine.sam.SAMOptimWrapper`.

    Args:
        rho: Length :math:`\rho \ge 0` of the step uphill. Defaults to 0.3,
            as do the next two the authors' setting for CIFAR-100-LT.
        gamma: Focus :math:`\gamma \ge 0` on small classes. Defaults to 3.2.
        strength: :math:`\lambda \ge 0`. Defaults to 0.8.
        **kwargs: Arguments of MMEngine's ``OptimWrapper``.

    Raises:
        InputTypeError: A number is not one; the head does not derive from
            :class:`~bcl_mm.models.LongTailHead`, or has no classification
            loss of single samples.
        InputValueError: A number is negative or not finite, the class counts
            are unknown, or gradients are accumulated.
    """


@OPTIM_WRAPPERS.register_module()
class AmpFocalSAMOptimWrapper(FocalSharpnessAware, AmpOptimWrapper):
    """:class:`FocalSAMOptimWrapper` with mixed precision."""
