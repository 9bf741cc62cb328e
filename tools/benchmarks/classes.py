"""The contrastive branch with many classes, complemented by a sample."""

from __future__ import annotations

from typing import Callable, List, Optional, Tuple

import torch
import torch.nn.functional as F

from bcl_mm.models.contrast import sample_classes
from bcl_mm.models.layers import Projector, unit_rows
from bcl_mm.models.losses import balanced_contrastive_loss
from bcl_mm.utils.distributed import gather
from benchmarks.common import Candidates, Curve, Row, Settings, rows_of

MAX_RATIO = 0.8
# Number of classes where all of them complement and where a sample does, size
# of the sample, widths of the projector, batch size.
SIZES = 8142, 100_000, 4096, (2048, 2048, 1024), 256
QUICK_SIZES = 4000, 8000, 1000, (64, 64, 64), 8


def branch(
    num_classes: int,
    num_sampled: Optional[int],
    widths: Tuple[int, int, int],
    batch_size: int,
    device: torch.device,
) -> Callable[[], None]:
    """Forward and backward of prototype projector, gather and loss.

    Up to the gradient of the class vectors that are used: the dense gradient
    of the classifier's weight exists without the branch, too.
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
        used, classes, log_weights = weight, None, None
        key_labels = gather(labels)
        if num_sampled is not None:
            present = features.new_zeros(num_classes)
            present.scatter_(0, key_labels, 1)
            classes, log_weights = sample_classes(
                present, batch_size + num_sampled, num_sampled
            )
            used = weight[classes]
        used = used.detach().requires_grad_()
        balanced_contrastive_loss(
            features,
            labels,
            unit_rows(projector(used)),
            keys=gather(features),
            key_labels=key_labels,
            prototype_labels=classes,
            prototype_log_weights=log_weights,
        ).backward()

    return run


def run(settings: Settings) -> Tuple[List[Row], List[Curve]]:
    """Time and extra memory; the curve over the number of classes."""
    sizes = QUICK_SIZES if settings.quick else SIZES
    full, many, sampled, widths, batch_size = sizes
    shared = widths, batch_size, settings.device
    ours, baseline = f'C={many}, {sampled} sampled', f'C={full}, all'
    sizes = {ours: (many, sampled, *shared), baseline: (full, None, *shared)}
    small = 40, None, (8, 8, 4), 4, settings.device
    times = settings.time({name: branch(*sizes[name]) for name in sizes})
    memory = {
        name: settings.peak_memory(branch, size, small)
        for name, size in sizes.items()
    }
    limit = {baseline: MAX_RATIO}
    rows = rows_of(f'time, {ours}', times, ours, limit)
    name = f'extra memory, {ours}'
    rows += rows_of(name, memory, ours, limit, unit='MB')

    def candidates_at(count: int) -> Candidates:
        size = count, min(sampled, count - batch_size), *shared
        all_classes = branch(count, None, *shared)
        return {'all': all_classes, f'{sampled} sampled': branch(*size)}

    over_classes = 'over_classes', 'classes C', [many // 50, full, many // 5]
    return rows, [settings.curve(*over_classes, candidates_at, most_repeats=1)]
