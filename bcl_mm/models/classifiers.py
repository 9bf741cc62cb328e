"""A classifier whose backbone is frozen, for second stages."""

from __future__ import annotations

from typing import Any, List, Optional

import torch
from mmpretrain.models import ImageClassifier
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from bcl_mm.models.pretrained import backbone_weights
from bcl_mm.registry import MODELS
from bcl_mm.utils.checkpoint import load_checkpoint
from bcl_mm.utils.errors import InputValueError, check_flag
from bcl_mm.utils.weights import misfits, weights_of, without_prefix


@MODELS.register_module()
class FrozenBackboneClassifier(ImageClassifier):
    """Trains a head on the frozen backbone of a checkpoint.

    The second stage of cRT (Kang et al., ICLR 2020, Sec. 4.2), together with
    :class:`~bcl_mm.datasets.samplers.ClassBalancedSampler`. Backbone and neck
    get no gradient.

    Args:
        *args: Arguments of mmpretrain's ``ImageClassifier``.
        pretrained: Checkpoint of the first stage, of any method. Needed for
            training, not for testing.
        keep_classifier: Start from the first stage's classifier
            (``head.classifier``) instead of a new one. Defaults to False.
        track_bn: Let batch norm of the backbone normalise with the batch and
            update its running statistics (MiSLAS's shifted batch norm,
            Zhong et al., CVPR 2021). Defaults to False: they stay.
        **kwargs: Arguments of mmpretrain's ``ImageClassifier``.

    Raises:
        InputTypeError: ``keep_classifier`` or ``track_bn`` is not a bool.

    Example:
        >>> head = dict(type='bcl_mm.LongTailHead', num_classes=5)
        >>> model = FrozenBackboneClassifier(
        ...     backbone=dict(type='bcl_mm.CIFARResNet', depth=8),
        ...     neck=dict(type='mmpretrain.GlobalAveragePooling'),
        ...     head=dict(head, in_channels=64),
        ...     pretrained='first_stage.pth',
        ... )
        >>> [n for n, p in model.named_parameters() if p.requires_grad]
        ['head.classifier.weight']
        >>> model.train().backbone.training
        False
    """

    def __init__(
        self,
        *args: Any,
        pretrained: Optional[str] = None,
        keep_classifier: bool = False,
        track_bn: bool = False,
        **kwargs: Any,
    ) -> None:
        check_flag('keep_classifier', keep_classifier)
        check_flag('track_bn', track_bn)
        super().__init__(*args, **kwargs)
        self.pretrained = pretrained
        self.keep_classifier = keep_classifier
        self.track_bn = track_bn
        for part in self._frozen():
            part.requires_grad_(False)

    def _frozen(self) -> List[nn.Module]:
        return [self.backbone, *([self.neck] if self.with_neck else [])]

    def init_weights(self) -> None:
        """Initialise the head, and take the first stage's weights.

        Raises:
            InputFileError: The checkpoint does not exist, or cannot be
                downloaded.
            InputValueError: There is no checkpoint, it is damaged or holds
                more than weights, or its backbone or classifier does not
                fit.
        """
        super().init_weights()
        if not self.pretrained:
            raise InputValueError(
                'a frozen backbone must come from the checkpoint of a first '
                'stage: --cfg-options model.pretrained=FILE'
            )
        source, backbone = self.pretrained, self.backbone
        weights, _ = backbone_weights(source, backbone, 'model.pretrained')
        backbone.load_state_dict(weights, strict=False)
        if self.keep_classifier:
            self._load_classifier(source)

    def _load_classifier(self, source: str) -> None:
        classifier, prefix = self.head.classifier, 'head.classifier.'
        stored = weights_of(load_checkpoint(source))
        weights = without_prefix(stored, prefix)
        wrong = misfits(classifier, weights)
        if wrong:
            name, misfit = next(iter(wrong.items()))
            raise InputValueError(
                f'model.pretrained={source!r} does not fit '
                f'model.head.classifier: {prefix}{name} {misfit}. Give the '
                'checkpoint of a first stage with the same classifier, or '
                'keep_classifier=False'
            )
        classifier.load_state_dict(weights, strict=False)

    def train(self, mode: bool = True) -> FrozenBackboneClassifier:
        """Switch the head; frozen parts stay in evaluation mode.

        With ``track_bn`` their batch norm is switched, too.
        """
        super().train(mode)
        for part in self._frozen():
            part.eval()
            for module in part.modules():
                if self.track_bn and isinstance(module, _BatchNorm):
                    module.train(mode)
        return self

    @torch.no_grad()
    def extract_feat(self, *args: Any, **kwargs: Any) -> Tensor:
        """Features, without gradient."""
        return super().extract_feat(*args, **kwargs)
