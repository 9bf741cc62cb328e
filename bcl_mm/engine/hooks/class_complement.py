"""A schedule of the classes that complement a batch."""

from __future__ import annotations

from typing import Any, Optional

from mmengine.hooks import Hook
from mmengine.runner import Runner

from bcl_mm.engine.hooks.progress import epoch_and_position
from bcl_mm.engine.seeds import mix
from bcl_mm.registry import HOOKS
from bcl_mm.utils.errors import check_number
from bcl_mm.utils.modules import parts_of
from bcl_mm.utils.protocols import TakesClassComplement


@HOOKS.register_module()
class ClassComplementHook(Hook):
    """Delays class-complement, or samples the classes that complement.

    Without this hook all classes complement every batch. Before each
    iteration it calls ``set_class_complement(enabled, num_sampled, seed)``
    of every module that has it.

    Args:
        begin_epoch: First epoch (from 0) with class-complement. Defaults
            to 0.
        num_sampled: Number of classes to draw, anew in each iteration and
            the same on all ranks, from those that the global batch does not
            have (see :func:`~bcl_mm.models.contrast.sample_classes`). For
            tens of thousands of classes, whose prototypes would cost more
            than the backbone. The prototype projector's BatchNorm then runs
            over the batch's and the sampled classes, so that frequent
            classes, which are in most batches, weigh more in its statistics
            than among all classes. Defaults to None: all.

    Raises:
        InputTypeError: ``begin_epoch`` or ``num_sampled`` is not a whole
            number.
        InputValueError: ``begin_epoch`` is negative, or ``num_sampled < 1``.
    """

    priority = 'ABOVE_NORMAL'

    def __init__(
        self, begin_epoch: int = 0, num_sampled: Optional[int] = None
    ) -> None:
        check_number('begin_epoch', begin_epoch, at_least=0, whole=True)
        if num_sampled is not None:
            check_number('num_sampled', num_sampled, at_least=1, whole=True)
        self.begin_epoch = begin_epoch
        self.num_sampled = num_sampled

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Tell the model which classes complement the batch."""
        epoch, _ = epoch_and_position(runner, batch_idx)
        seed = mix(runner.seed, runner.iter)
        settings = epoch >= self.begin_epoch, self.num_sampled, seed
        for part in parts_of(runner.model, TakesClassComplement):
            part.set_class_complement(*settings)
