"""What a part of a model or a metric may have, for others to call.

Each contract is methods of a class: from Python 3.12 on, isinstance() does
not see what a ``__getattr__`` finds, such as the children of a ``nn.Module``.
"""

from __future__ import annotations

from typing import ContextManager, Optional, Protocol, runtime_checkable

from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from bcl_mm.classes import ClassInfo


@runtime_checkable
class TakesClassInfo(Protocol):
    """Is told the class counts and names, before training and testing."""

    def set_class_info(self, info: ClassInfo) -> None:
        """Take them."""


@runtime_checkable
class TakesProgress(Protocol):
    """Is told the share of the training that is done, in [0, 1]."""

    def set_progress(self, progress: float) -> None:
        """Take it."""


@runtime_checkable
class StartsEpochs(Protocol):
    """Is told in which iteration an epoch starts."""

    def start_epoch(self, epoch: int) -> None:
        """Start it; the first is 0."""


@runtime_checkable
class TakesLogitScale(Protocol):
    """Is told the scale of a cosine classifier's logits; else None."""

    def set_logit_scale(self, scale: Optional[float]) -> None:
        """Take it."""


@runtime_checkable
class TakesClassComplement(Protocol):
    """Is told which classes complement the steps that follow."""

    def set_class_complement(
        self, enabled: bool, num_sampled: Optional[int], seed: int
    ) -> None:
        """Take them."""


@runtime_checkable
class TakesModel(Protocol):
    """Is told the model that is tested, not wrapped."""

    def set_model(self, model: nn.Module) -> None:
        """Take it."""


@runtime_checkable
class Projects(Protocol):
    """A branch with projections of features."""

    def project(self, features: Tensor) -> Tensor:
        """(..., D) projections of features (..., in_channels)."""


@runtime_checkable
class MakesPrototypes(Protocol):
    """A branch with prototypes, if it has a ``prototype_projector``."""

    def prototypes(self, class_vectors: Tensor) -> Tensor:
        """(S, D) prototypes of class vectors (S, in_channels)."""


@runtime_checkable
class SavesWhole(Protocol):
    """A wrapper of a model whose weights are divided among processes."""

    def saving_whole(
        self, optim_wrapper: Optional[OptimWrapper]
    ) -> ContextManager[None]:
        """Context in which the main process saves whole weights."""


class ClassHead(Protocol):
    """A head that branches may call."""

    def logits(self, rows: Tensor) -> Tensor:
        """(rows, C) logits of features (rows, in_channels)."""

    def class_vectors(self) -> Tensor:
        """(C, in_channels), one vector per class."""
