"""Data preprocessor for batches of several views."""

from __future__ import annotations

from typing import Any, Sequence

import torch
from mmpretrain.models.utils import ClsDataPreprocessor

from bcl_mm.registry import MODELS
from bcl_mm.utils.errors import InputValueError


def is_multi_view(inputs: Any) -> bool:
    """Whether collated inputs are V views, each of them a batch.

    A view is a (B, C, H, W) tensor with MMEngine's ``default_collate``, and a
    list of B images with ``pseudo_collate``. A list of (C, H, W) tensors is B
    plain images.
    """
    if not isinstance(inputs, Sequence):
        return False
    first = inputs[0]
    return not torch.is_tensor(first) or first.ndim == 4


@MODELS.register_module()
class MultiViewDataPreprocessor(ClsDataPreprocessor):
    """``ClsDataPreprocessor`` that also accepts V views of each image.

    The views become one batch (V * B, C, H, W), view-major: rows
    ``v * B ... (v + 1) * B - 1`` are view v. Plain images are processed as
    usual. Works with ``default_collate`` and ``pseudo_collate``. The arguments
    are those of mmpretrain's ``ClsDataPreprocessor``; normalisation runs on
    the device.
    """

    def forward(self, data: dict, training: bool = False) -> dict:
        """Move to the device, stack the views, normalise.

        Args:
            data: ``inputs`` and ``data_samples`` of a collated batch.
            training: Whether batch augmentations run. Defaults to False.

        Returns:
            ``inputs`` (V * B, C, H, W) and ``data_samples`` of length B.

        Raises:
            InputValueError: Views differ in size, or Mixup/CutMix
                (``batch_augments``) meets several views.
        """
        inputs = data['inputs']
        if not is_multi_view(inputs):
            return super().forward(data, training)
        if training and self.batch_augments is not None:
            raise InputValueError(
                'batch_augments (Mixup, CutMix) mixes images of one view, '
                f'but the batch has {len(inputs)} views of each image: '
                'remove batch_augments (or train_cfg) from the model, or '
                'use a pipeline of one view'
            )
        images = [image for view in inputs for image in view]
        shapes = {tuple(image.shape) for image in images}
        if len(shapes) > 1:
            raise InputValueError(
                f'all views of a batch must have the same size, got {shapes}'
            )
        if torch.is_tensor(inputs[0]):
            images = torch.cat(list(inputs))  # (V * B, C, H, W)
        return super().forward(dict(data, inputs=images), training)
