"""Base class of metrics of many-, medium- and few-shot classes."""

from __future__ import annotations

from typing import Optional, Sequence

import numpy as np
from mmengine.evaluator import BaseMetric

from bcl_mm.classes import ClassInfo, shot_groups
from bcl_mm.utils.errors import InputValueError


class ShotMetric(BaseMetric):
    """A metric that groups classes by their number of training images.

    Args:
        many: Classes with more training images than this are many-shot.
            Defaults to 100.
        few: Classes with fewer training images than this are few-shot.
            Defaults to 20.
        class_counts: (C,) training images per class. Defaults to None: from
            :class:`~bcl_mm.engine.hooks.ClassInfoHook`.
        collect_device: Device on which the ranks' results are collected.
            Defaults to ``'cpu'``.
        prefix: Prefix of the names. Defaults to the metric's own.

    Raises:
        InputTypeError: A threshold is not a whole number.
        InputValueError: A threshold is negative, or the groups would overlap.
    """

    def __init__(
        self,
        many: int = 100,
        few: int = 20,
        class_counts: Optional[Sequence[int]] = None,
        collect_device: str = 'cpu',
        prefix: Optional[str] = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        shot_groups([1], many, few)  # refuses wrong thresholds
        self.many = many
        self.few = few
        self.class_counts: Optional[np.ndarray] = None
        self.given_info: Optional[ClassInfo] = None
        if class_counts is not None:
            self.given_info = ClassInfo(class_counts)
            self.set_class_info(self.given_info)

    def set_class_info(self, info: ClassInfo) -> None:
        """Take the training images per class.

        Raises:
            InputValueError: They contradict those that the config gives.
        """
        info.require_same(self.given_info, type(self).__name__)
        self.class_counts = info.counts

    def require_class_counts(self) -> None:
        """Raise an InputValueError if the class counts are unknown."""
        if self.class_counts is None:
            name = type(self).__name__
            raise InputValueError(
                f'{name} needs class_counts, the number of training '
                'images per class: test a checkpoint that was trained with '
                'ClassInfoHook (it keeps them), or give '
                f'{name}(class_counts=[...]), e.g. --cfg-options '
                'test_evaluator.class_counts="[...]"'
            )
