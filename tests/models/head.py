"""A head and batches for it."""

import torch
from mmpretrain.structures import DataSample

from bcl_mm.models.heads import BCLHead

COUNTS = [40, 20, 10, 5, 2]


def make(**options):
    defaults = dict(
        num_classes=5,
        in_channels=6,
        hidden_channels=8,
        out_channels=4,
        class_counts=COUNTS,
    )
    return BCLHead(**{**defaults, **options}).double()


def batch(labels, views=3, width=6):
    features = torch.randn(views * len(labels), width, dtype=torch.float64)
    samples = [DataSample().set_gt_label(label) for label in labels]
    return (features.requires_grad_(),), samples
