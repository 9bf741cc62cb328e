"""The balanced contrastive loss beside its bare matrix product."""

from __future__ import annotations

from typing import Any, Callable, List, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from bcl_mm.models.losses import balanced_contrastive_loss
from benchmarks.common import Candidates, Curve, Row, Settings, rows_of
from benchmarks.peers import compiled_loss, naive_loss, supcon_loss

TEMPERATURE = 0.07
BARE, REFERENCE = 'bare matrix product', 'reference-style loss'
NAIVE, COMPILED = 'naive loss', 'naive loss, compiled'
SUPCON = 'SupCon of pytorch-metric-learning'
# (C, D, batch size, maximum ratio to the bare product, and to the reference);
# two contrastive views of each image.
SIZES = [
    (10, 128, 256, None, 0.6),
    (100, 128, 256, None, 0.6),
    (1000, 1024, 256, 1.3, None),
    (8142, 1024, 256, 1.15, None),
]
QUICK_SIZES = [(4, 8, 8, None, None)]
# (C, D, batch size) of the memory measurement.
LARGE, QUICK_LARGE = (100_000, 1024, 2048), (20_000, 64, 64)


def reference_style_loss(
    features: Tensor, labels: Tensor, prototypes: Tensor
) -> Tensor:
    """The same loss, computed as the public code does.

    That is: one-hot matrices of all classes to count them, a Python loop
    over all keys for their weights, and full (M, K) masks.
    """
    device, num_classes = labels.device, len(prototypes)
    keys = torch.cat([features, prototypes])
    key_labels = torch.cat([labels, torch.arange(num_classes, device=device)])
    counts = torch.eye(num_classes, device=device)[key_labels].sum(0)
    sizes = [float(counts[label]) for label in key_labels]
    positive = (labels[:, None] == key_labels).float()
    other = torch.ones_like(positive)
    other.fill_diagonal_(0)
    positive = positive * other
    logits = features @ keys.T / TEMPERATURE
    logits = logits - logits.max(1, keepdim=True).values.detach()
    weights = torch.tensor(sizes, device=device) - positive
    shares = logits.exp() * other / weights
    log_prob = logits - shares.sum(1, keepdim=True).log()
    return -((positive * log_prob).sum(1) / positive.sum(1)).mean()


def case(
    num_classes: int,
    dim: int,
    batch_size: int,
    device: torch.device,
    with_peers: bool = False,
) -> Candidates:
    """Forward and backward of the losses and of the (M, K) product."""
    torch.manual_seed(0)
    labels = torch.randint(num_classes, (batch_size,)).repeat(2).to(device)
    features, prototypes = (
        F.normalize(torch.randn(n, dim, device=device), dim=1).requires_grad_()
        for n in (len(labels), num_classes)
    )
    of_product: List[Tensor] = []

    def backward(result: Tensor, grad: Optional[Tensor] = None) -> None:
        features.grad = prototypes.grad = None
        result.backward(grad)

    def loss() -> None:
        inputs = features, labels, prototypes
        backward(balanced_contrastive_loss(*inputs, TEMPERATURE))

    def product() -> None:
        if not of_product:  # so that memory is that of the loss alone
            keys = torch.cat([features, prototypes]).detach()
            grad = torch.randn(len(features), len(keys)).to(keys)
            of_product.extend([keys.requires_grad_(), grad])
        keys, grad = of_product
        keys.grad = None
        backward(features @ keys.T, grad)

    def reference() -> None:
        backward(reference_style_loss(features, labels, prototypes))

    def of(function: Callable[..., Tensor], *options: float) -> Callable:
        inputs = features, labels, prototypes, *options
        return lambda: backward(function(*inputs))

    candidates = {'loss': loss, BARE: product, REFERENCE: reference}
    candidates[NAIVE] = of(naive_loss, TEMPERATURE)
    compiled = compiled_loss(device) if with_peers else None
    if compiled is not None:
        candidates[COMPILED] = of(compiled, TEMPERATURE)
    supcon = supcon_loss(TEMPERATURE) if with_peers else None
    if supcon is not None:
        candidates[SUPCON] = of(supcon)
    return candidates


def one_of(name: str, *size: Any) -> Callable[[], None]:
    """Forward and backward of one of the losses."""
    return case(*size)[name]


def run(settings: Settings) -> Tuple[List[Row], List[Curve]]:
    """Ratios at the sizes of the data sets; curves over C and N."""
    device, rows = settings.device, []
    for classes, dim, batch_size, max_of_bare, max_of_reference in (
        QUICK_SIZES if settings.quick else SIZES
    ):
        name = f'loss, C={classes} D={dim} B={batch_size}'
        # (Compiling takes half a minute.)
        with_peers = not settings.quick
        size = classes, dim, batch_size, device
        times = settings.time(case(*size, with_peers))
        limits = dict.fromkeys(times)
        del limits['loss']
        limits.update({BARE: max_of_bare, REFERENCE: max_of_reference})
        rows += rows_of(name, times, 'loss', limits)
    if settings.quick:
        print('The compiled loss and SupCon are left out by --quick')
    else:
        # The naive loss would not fit at the size below.
        small = 'loss', 4, 8, 8, device
        memory = {
            name: settings.peak_memory(one_of, (name, *size), small)
            for name in ('loss', NAIVE)
        }
        name = f'extra memory, C={classes} N={2 * batch_size} D={dim}'
        rows += rows_of(name, memory, 'loss', {NAIVE: None}, unit='MB')
    classes, dim, batch_size = QUICK_LARGE if settings.quick else LARGE
    size = 'loss', classes, dim, batch_size, device
    small = 'loss', 4, 8, 8, device
    memory = settings.peak_memory(one_of, size, small)
    name = f'extra memory, C={classes} N={2 * batch_size} D={dim}'
    options = dict(unit='MB', max_median=2048)
    rows += rows_of(name, {'loss': memory}, 'loss', **options)

    def without_reference(num_classes: int, num_keys: int) -> Candidates:
        candidates = case(num_classes, 256, num_keys // 2, device)
        del candidates[REFERENCE], candidates[NAIVE]
        return candidates

    many = [4, 8] if settings.quick else [10, 100, 1000, 3000, 10000, 30000]
    keys = [8, 16] if settings.quick else [64, 128, 256, 512, 1024, 2048]
    over_classes = ('over_classes', 'classes C', many)
    over_keys = ('over_keys', 'keys of views N', keys)
    return rows, [
        settings.curve(*over_classes, lambda c: without_reference(c, 256)),
        settings.curve(*over_keys, lambda n: without_reference(1000, n)),
    ]
