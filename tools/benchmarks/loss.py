"""The balanced contrastive loss beside its bare matrix product."""

from __future__ import annotations

from typing import Callable, Dict, List, Tuple, Union

import torch
import torch.nn.functional as F
from torch import Tensor

from bcl_mm.losses import balanced_contrastive_loss
from benchmarks.common import Curve, Row, Settings, interleave, median

TEMPERATURE = 0.07
# (C, D, batch size, most of the bare product's time, most of the
# reference's); two contrastive views of each image.
SIZES = [
    (10, 128, 256, None, 0.6),
    (100, 128, 256, None, 0.6),
    (1000, 1024, 256, 1.3, None),
    (8142, 1024, 256, 1.15, None),
]
QUICK_SIZES = [(4, 8, 8, None, None)]


def reference_style_loss(
    features: Tensor, labels: Tensor, prototypes: Tensor
) -> Tensor:
    """The same loss the usual way, with all that the public code does.

    That is: one-hot matrices of all classes to count them, a Python loop
    over all keys for their weights, and full (M, K) masks.
    """
    num_classes = len(prototypes)
    keys = torch.cat([features, prototypes])
    classes = torch.arange(num_classes, device=labels.device)
    key_labels = torch.cat([labels, classes])
    one_hot = torch.eye(num_classes, device=labels.device)
    counts = one_hot[key_labels].sum(0)
    sizes = torch.tensor(
        [float(counts[label]) for label in key_labels], device=labels.device
    )
    positive = (labels[:, None] == key_labels).float()
    other = torch.ones_like(positive)
    other.fill_diagonal_(0)
    positive = positive * other
    logits = features @ keys.T / TEMPERATURE
    logits = logits - logits.max(1, keepdim=True).values.detach()
    shares = logits.exp() * other / (sizes - positive)
    log_prob = logits - shares.sum(1, keepdim=True).log()
    return -((positive * log_prob).sum(1) / positive.sum(1)).mean()


def candidates(
    num_classes: int, dim: int, batch_size: int, device: torch.device
) -> Dict[str, Callable[[], Tensor]]:
    """Forward and backward of the losses and of the bare product."""
    torch.manual_seed(0)
    labels = torch.randint(num_classes, (batch_size,)).repeat(2).to(device)

    def unit_rows(count: int) -> Tensor:
        rows = torch.randn(count, dim, device=device)
        return F.normalize(rows, dim=1).requires_grad_()

    features, prototypes = unit_rows(len(labels)), unit_rows(num_classes)
    keys = torch.cat([features, prototypes]).detach().requires_grad_()
    grad = torch.randn(len(features), len(keys), device=device)

    def backward(loss: Tensor, grad: Union[Tensor, None] = None) -> Tensor:
        features.grad = prototypes.grad = keys.grad = None
        loss.backward(grad)
        return loss

    return {
        'bare matrix product': lambda: backward(features @ keys.T, grad),
        'reference-style loss': lambda: backward(
            reference_style_loss(features, labels, prototypes)
        ),
        'loss': lambda: backward(
            balanced_contrastive_loss(
                features, labels, prototypes, TEMPERATURE
            )
        ),
    }


def run(settings: Settings) -> Tuple[List[Row], List[Curve]]:
    """Ratios at the sizes of the data sets; curves over C and N."""
    rows = []
    for classes, dim, batch, of_bare, of_reference in (
        QUICK_SIZES if settings.quick else SIZES
    ):
        times = interleave(
            candidates(classes, dim, batch, settings.device),
            settings.repeats,
            settings.device,
        )
        for baseline, limit in (
            ('bare matrix product', of_bare),
            ('reference-style loss', of_reference),
        ):
            rows.append(
                Row(
                    f'loss, C={classes} D={dim} B={batch}',
                    times['loss'],
                    baseline,
                    times[baseline],
                    limit,
                )
            )
    return rows, _curves(settings)


def _curves(settings: Settings) -> List[Curve]:
    many = [4, 8] if settings.quick else [10, 100, 1000, 3000, 10000, 30000]
    batches = [4, 8] if settings.quick else [32, 64, 128, 256, 512, 1024]
    of_classes: Dict[str, List[float]] = {}
    of_keys: Dict[str, List[float]] = {}
    for lines, sizes in (
        (of_classes, [(count, 256, 128) for count in many]),
        (of_keys, [(1000, 256, batch) for batch in batches]),
    ):
        for size in sizes:
            times = interleave(
                {
                    name: candidate
                    for name, candidate in candidates(
                        *size, settings.device
                    ).items()
                    if name != 'reference-style loss'
                },
                max(1, settings.repeats // 3),
                settings.device,
            )
            for name, values in times.items():
                lines.setdefault(name, []).append(median(values))
    return [
        Curve('over_classes', 'classes C', 'ms', many, of_classes),
        Curve(
            'over_keys',
            'keys of views N',
            'ms',
            [2 * batch for batch in batches],
            of_keys,
        ),
    ]
