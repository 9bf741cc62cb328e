"""The contrastive branch with many classes, complemented by a sample."""

from __future__ import annotations

from typing import Callable, Dict, List, Optional, Tuple

import torch
import torch.nn.functional as F

from bcl_mm.models.contrast import sample_classes
from bcl_mm.models.layers import Projector, unit_rows
from bcl_mm.models.losses import balanced_contrastive_loss
from bcl_mm.utils.distributed import gather
from benchmarks.common import (
    Curve,
    Row,
    Settings,
    interleave,
    median,
    peak_memory,
)

LIMIT = 0.8
# Classes where all complement and where a sample does, its size, the widths
# of the projector and the batch size.
SIZES = 8142, 100_000, 4096, (2048, 2048, 1024), 256
QUICK = 4000, 8000, 1000, (64, 64, 64), 8


def branch(
    num_classes: int,
    num_sampled: Optional[int],
    widths: Tuple[int, int, int],
    batch_size: int,
    device: torch.device,
) -> Callable[[], None]:
    """Forward and backward of prototype projector, gather and loss.

    Up to the gradient of the class vectors that are used: the dense gradient
    of the classifier's weight is there without the branch, too.
    """
    torch.manual_seed(0)
    weight = torch.randn(num_classes, widths[0], device=device)
    projector = Projector(*widths, dict(type='BN1d')).to(device)
    labels = torch.randint(num_classes, (batch_size,), device=device).repeat(2)
    rows = torch.randn(len(labels), widths[2], device=device)
    features = F.normalize(rows, dim=1).requires_grad_()

    def run() -> None:
        projector.zero_grad()
        features.grad = None
        used, of_sample = weight, {}
        key_labels = gather(labels)
        if num_sampled is not None:
            present = features.new_zeros(num_classes)
            present.scatter_(0, key_labels, 1)
            classes, log_weights = sample_classes(
                present, batch_size + num_sampled, num_sampled
            )
            used = weight[classes]
            of_sample = dict(
                prototype_labels=classes, prototype_log_weights=log_weights
            )
        used = used.detach().requires_grad_()
        loss = balanced_contrastive_loss(
            features,
            labels,
            unit_rows(projector(used)),
            keys=gather(features),
            key_labels=key_labels,
            **of_sample,
        )
        loss.backward()

    return run


def run(settings: Settings) -> Tuple[List[Row], List[Curve]]:
    """Time and extra memory; the curve over the number of classes."""
    full, many, sampled, widths, batch_size = (
        QUICK if settings.quick else SIZES
    )
    shared = widths, batch_size, settings.device
    sizes = {
        f'C={many}, {sampled} sampled': (many, sampled, *shared),
        f'C={full}, all': (full, None, *shared),
    }
    candidates = {name: branch(*size) for name, size in sizes.items()}
    times = interleave(candidates, settings.repeats, settings.device)
    small = 40, None, (8, 8, 4), 4, settings.device
    memory = {
        name: [
            peak_memory(branch, small, *size)
            for _ in range(min(3, settings.repeats))
        ]
        for name, size in sizes.items()
    }
    ours, of_all = sizes
    rows = [
        Row(
            f'{what}, {ours}',
            figures[ours],
            of_all,
            figures[of_all],
            LIMIT,
            unit,
        )
        for what, figures, unit in (
            ('time', times, 'ms'),
            ('extra memory', memory, 'MB'),
        )
    ]
    return rows, [_curve(settings, full, many, sampled, shared)]


def _curve(
    settings: Settings, full: int, many: int, sampled: int, shared: tuple
) -> Curve:
    counts = [many // 50, full, many // 5]
    lines: Dict[str, List[float]] = {'all': [], f'{sampled} sampled': []}
    for count in counts:
        candidates = {
            'all': branch(count, None, *shared),
            f'{sampled} sampled': branch(
                count, min(sampled, count - shared[1]), *shared
            ),
        }
        times = interleave(candidates, 1, settings.device)
        for name, values in times.items():
            lines[name].append(median(values))
    return Curve('over_classes', 'classes C', 'ms', counts, lines)
