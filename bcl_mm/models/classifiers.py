"""A classifier whose backbone is frozen, for second stages."""

from __future__ import annotations

from typing import Any, List, Optional

import torch
from mmpretrain.models import ImageClassifier
from torch import Tensor, nn

from bcl_mm.models.pretrained import backbone_weights
from bcl_mm.registry import MODELS
from bcl_mm.utils.errors import InputValueError


@MODELS.register_module()
class FrozenBackboneClassifier(ImageClassifier):
    """Trains a new head on the frozen backbone of a checkpoint.

    The second stage of cRT (Kang et al., ICLR 2020, Sec. 4.2), together with
    :class:`~bcl_mm.datasets.samplers.ClassBalancedSampler`. Backbone and neck
    get no gradient, and their BatchNorm statistics stay.

    Args:
        *args: Arguments of mmpretrain's ``ImageClassifier``.
        pretrained: Checkpoint of the first stage, of any method; only its
            backbone is taken. Needed for training, not for testing.
        **kwargs: Arguments of mmpretrain's ``ImageClassifier``.
    """

    def __init__(
        self, *args: Any, pretrained: Optional[str] = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.pretrained = pretrained
        for part in self._frozen():
            part.requires_grad_(False)

    def _frozen(self) -> List[nn.Module]:
        parts = self.backbone, self.neck if self.with_neck else None
        return [part for part in parts if part is not None]

    def init_weights(self) -> None:
        """Initialise the head; take the backbone from the first stage.

        Raises:
            OSError: The checkpoint does not exist, or cannot be downloaded.
            ValueError: No checkpoint is given, it is damaged or holds more
                than weights, or its backbone is another one.
        """
        super().init_weights()
        if not self.pretrained:
            raise InputValueError(
                'a frozen backbone must come from the checkpoint of a first '
                'stage: --cfg-options model.pretrained=FILE'
            )
        weights, _ = backbone_weights(
            self.pretrained, self.backbone, 'model.pretrained'
        )
        self.backbone.load_state_dict(weights, strict=False)

    def train(self, mode: bool = True) -> FrozenBackboneClassifier:
        """Switch the head; what is frozen stays in evaluation mode."""
        super().train(mode)
        for part in self._frozen():
            part.eval()
        return self

    @torch.no_grad()
    def extract_feat(self, *args: Any, **kwargs: Any) -> Tensor:
        """Features, without gradient."""
        return super().extract_feat(*args, **kwargs)
