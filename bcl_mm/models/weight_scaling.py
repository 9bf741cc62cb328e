"""A classifier whose logits are scaled class by class."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from bcl_mm.models.heads import LongTailHead
from bcl_mm.registry import MODELS
from bcl_mm.utils.errors import check_flag


@MODELS.register_module()
class WeightScalingHead(LongTailHead):
    r"""Learnable weight scaling (Kang et al., ICLR 2020, Sec. 4.2).

    The logits of a trained classifier are multiplied by a learnt factor
    :math:`f_c` of each class, which starts at 1. For a second stage, with
    :class:`~bcl_mm.models.FrozenBackboneClassifier` and
    ``keep_classifier=True``. The bias of a linear classifier is scaled, too,
    as in the authors' code.

    Args:
        *args: Arguments of :class:`~bcl_mm.models.LongTailHead`.
        freeze_classifier: Learn the factors alone. False trains the
            classifier, too (MiSLAS, Zhong et al., CVPR 2021). Defaults to
            True.
        **kwargs: Arguments of :class:`~bcl_mm.models.LongTailHead`.

    Raises:
        InputTypeError: ``freeze_classifier`` is not a bool.

    Example:
        >>> head = WeightScalingHead(num_classes=3, in_channels=8)
        >>> [n for n, p in head.named_parameters() if p.requires_grad]
        ['class_scales']
        >>> head.logits(torch.ones(2, 8)).shape
        torch.Size([2, 3])
    """

    def __init__(
        self, *args: Any, freeze_classifier: bool = True, **kwargs: Any
    ) -> None:
        check_flag('freeze_classifier', freeze_classifier)
        super().__init__(*args, **kwargs)
        self.class_scales = nn.Parameter(torch.ones(self.num_classes))
        if freeze_classifier:
            self.classifier.requires_grad_(False)

    def logits(self, rows: Tensor) -> Tensor:
        """Scaled logits (rows, C) of features (rows, in_channels)."""
        return self.class_scales * super().logits(rows)
