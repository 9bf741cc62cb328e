"""Layers of the head: classifier and projector."""

from __future__ import annotations

from typing import Optional

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from torch import Tensor

from bcl_mm.utils.errors import InputValueError, check_number
from bcl_mm.utils.precision import product


def unit_rows(rows: Tensor) -> Tensor:
    """Rows of unit norm, in at least float32; zero rows stay zero.

    A zero row has no direction and gets no gradient. (``F.normalize`` gives
    it one of 1e12, which is infinite in half precision.)
    """
    rows = rows.to(torch.promote_types(rows.dtype, torch.float32))
    norms = rows.norm(dim=1, keepdim=True)
    # (A row of NaN stays NaN, so that it is noticed.)
    return rows / norms.masked_fill(norms <= 1e-12, torch.inf)


class Projector(nn.Sequential):
    """MLP of two layers: Linear, norm, ReLU, Linear.

    Args:
        in_channels: Input width.
        hidden_channels: Width of the hidden layer.
        out_channels: Output width.
        norm_cfg: Norm of the hidden layer; None for none.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        norm_cfg: Optional[dict],
    ) -> None:
        norm = nn.Identity()
        if norm_cfg is not None:
            norm = build_norm_layer(norm_cfg, hidden_channels)[1]
        super().__init__(
            nn.Linear(in_channels, hidden_channels),
            norm,
            nn.ReLU(inplace=True),
            nn.Linear(hidden_channels, out_channels),
        )


class ClassVectors(nn.Linear):
    """Classifier of one vector per class; a logit is a product with it.

    Args:
        in_channels: Width of the features.
        num_classes: Number of classes C.
        kind: ``classifier`` of :class:`~bcl_mm.models.LongTailHead`. A
            cosine classifier starts with unit-norm class vectors. Defaults
            to ``'cosine'``.
        scale, tau_norm: See :class:`~bcl_mm.models.LongTailHead`. Default
            to 30.0 and 0.0.

    Raises:
        InputTypeError: ``scale`` or ``tau_norm`` is not a number.
        InputValueError: An argument is out of range.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        kind: str = 'cosine',
        scale: float = 30.0,
        tau_norm: float = 0.0,
    ) -> None:
        check_number('scale', scale, above=0)
        check_number('tau_norm', tau_norm, at_least=0)
        if kind not in ('cosine', 'linear'):
            raise InputValueError(
                f"classifier must be 'cosine' or 'linear', got {kind!r}"
            )
        if tau_norm and kind == 'cosine':
            raise InputValueError(
                "tau_norm needs classifier='linear': the class vectors of a "
                'cosine classifier have unit norm already'
            )
        super().__init__(in_channels, num_classes, bias=kind == 'linear')
        self.scale = scale if kind == 'cosine' else None
        self.tau_norm = tau_norm
        if kind == 'cosine':
            nn.init.normal_(self.weight)
            with torch.no_grad():
                self.weight.copy_(F.normalize(self.weight, dim=1))

    def forward(self, features: Tensor) -> Tensor:
        """Logits (rows, C) of features (rows, in_channels).

        Raises:
            InputValueError: The features have another width.
        """
        if features.shape[-1] != self.in_features:
            raise InputValueError(
                f'model.head.in_channels is {self.in_features}, but the '
                f'features have a width of {features.shape[-1]}: set it to '
                'that'
            )
        if self.scale is not None:
            vectors = unit_rows(self.weight)
            return self.scale * product(unit_rows(features), vectors)
        if self.tau_norm:
            norms = self.weight.norm(dim=1, keepdim=True)  # (C, 1)
            return F.linear(features, self.weight / norms**self.tau_norm)
        return super().forward(features)
