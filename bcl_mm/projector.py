"""From features to unit-norm projections."""

from __future__ import annotations

from typing import Optional

import torch
import torch.nn as nn
from mmcv.cnn import build_norm_layer
from torch import Tensor


def unit_rows(rows: Tensor) -> Tensor:
    """Rows of unit norm, in at least float32; zero rows stay zero.

    A zero row has no direction and gets no gradient. (That of
    ``F.normalize``, 1e12, is infinite in half precision.)
    """
    rows = rows.to(torch.promote_types(rows.dtype, torch.float32))
    norms = rows.norm(dim=1, keepdim=True)
    # (A row of NaN stays one, to be seen.)
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
        norm = (
            nn.Identity()
            if norm_cfg is None
            else build_norm_layer(norm_cfg, hidden_channels)[1]
        )
        super().__init__(
            nn.Linear(in_channels, hidden_channels),
            norm,
            nn.ReLU(inplace=True),
            nn.Linear(hidden_channels, out_channels),
        )
