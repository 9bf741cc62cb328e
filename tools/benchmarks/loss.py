"""The balanced contrastive loss beside its bare matrix product."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from bcl_mm.models.losses import balanced_contrastive_loss
from benchmarks.common import (
    Curve,
    Row,
    Settings,
    interleave,
    median,
    peak_memory,
)

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
# Of which the memory is measured.
LARGE, QUICK_LARGE = (100_000, 1024, 2048), (20_000, 64, 64)
BARE = 'bare matrix product'


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


class Case:
    """Inputs of one size; each method runs forward and backward."""

    def __init__(
        self,
        num_classes: int,
        dim: int,
        batch_size: int,
        device: torch.device,
    ) -> None:
        torch.manual_seed(0)
        labels = torch.randint(num_classes, (batch_size,)).repeat(2)
        self.labels = labels.to(device)

        def unit_rows(count: int) -> Tensor:
            rows = torch.randn(count, dim, device=device)
            return F.normalize(rows, dim=1).requires_grad_()

        self.features = unit_rows(len(labels))
        self.prototypes = unit_rows(num_classes)

    def loss(self) -> None:
        """The package's."""
        self._backward(
            balanced_contrastive_loss(
                self.features, self.labels, self.prototypes, TEMPERATURE
            )
        )

    def reference(self) -> None:
        """The usual way."""
        self._backward(
            reference_style_loss(self.features, self.labels, self.prototypes)
        )

    def product(self) -> None:
        """The (M, K) product alone, with a gradient that is there."""
        if not hasattr(self, 'keys'):
            keys = torch.cat([self.features, self.prototypes])
            self.keys = keys.detach().requires_grad_()
            self.grad = torch.randn(len(self.features), len(keys)).to(keys)
        self.keys.grad = None
        self._backward(self.features @ self.keys.T, self.grad)

    def _backward(self, result: Tensor, grad: Optional[Tensor] = None) -> None:
        self.features.grad = self.prototypes.grad = None
        result.backward(grad)


def loss_of(*size: Any) -> Callable[[], None]:
    """Forward and backward of the loss alone."""
    return Case(*size).loss


def run(settings: Settings) -> Tuple[List[Row], List[Curve]]:
    """Ratios at the sizes of the data sets; curves over C and N."""
    rows = []
    for classes, dim, batch, of_bare, of_reference in (
        QUICK_SIZES if settings.quick else SIZES
    ):
        case = Case(classes, dim, batch, settings.device)
        times = interleave(
            {
                'loss': case.loss,
                BARE: case.product,
                'reference-style loss': case.reference,
            },
            settings.repeats,
            settings.device,
        )
        for baseline, limit in (
            (BARE, of_bare),
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
    classes, dim, batch = QUICK_LARGE if settings.quick else LARGE
    small = 4, 8, 8, settings.device
    memory = [
        peak_memory(loss_of, small, classes, dim, batch, settings.device)
        for _ in range(min(3, settings.repeats))
    ]
    name = f'extra memory, C={classes} N={2 * batch} D={dim}'
    rows.append(Row(name, memory, unit='MB', most=2048))
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
            case = Case(*size, settings.device)
            times = interleave(
                {'loss': case.loss, BARE: case.product},
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
