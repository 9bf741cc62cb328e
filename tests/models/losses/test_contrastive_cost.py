"""Memory and work of the balanced contrastive loss."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bcl_mm.models.losses import (
    BalancedContrastiveLoss,
    balanced_contrastive_loss,
    chunked,
)
from tests.models.losses.contrastive import (
    BATCHES,
    assert_same,
    batch,
    gradients,
    unit,
)


@pytest.mark.parametrize('averaging', [True, False])
def test_rows_in_chunks(averaging, monkeypatch):
    features, labels, prototypes = batch(BATCHES['skewed'])
    arguments = features, labels, prototypes
    whole = balanced_contrastive_loss(*arguments, class_averaging=averaging)
    monkeypatch.setattr(chunked, '_CHUNK', 3)
    parts = balanced_contrastive_loss(*arguments, class_averaging=averaging)
    assert_same(parts, whole, features, prototypes)


class LargestTensor(TorchDispatchMode):
    """Records the number of elements of the largest result."""

    def __init__(self) -> None:
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self.numel = max(self.numel, leaf.numel())
        return result


def test_memory_does_not_grow_with_anchors_times_keys():
    labels = torch.arange(1500) % 50
    features, prototypes = unit(1500, 2), unit(700, 2)
    with LargestTensor() as largest:
        balanced_contrastive_loss(features, labels, prototypes).backward()
    num_keys = len(features) + len(prototypes)
    assert 0 < largest.numel <= chunked._CHUNK * num_keys


@pytest.mark.parametrize('complement', [True, False])
@pytest.mark.long
def test_compiled(complement):
    features, labels, prototypes = batch(BATCHES['skewed'])
    module = BalancedContrastiveLoss(class_complement=complement)
    compiled = torch.compile(module, fullgraph=True, backend='aot_eager')
    tensors = [features, prototypes][: 1 + complement]
    assert_same(
        compiled(features, labels, prototypes),
        module(features, labels, prototypes),
        *tensors,
    )


class Products(TorchDispatchMode):
    """Remembers the shapes of all matrix products."""

    def __init__(self):
        super().__init__()
        self.shapes = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket.__name__ in ('addmm_', 'mm', 'addmm'):
            self.shapes.append(tuple(args[0].shape))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize('reduction', ['mean_log', 'log_mean_exp'])
@pytest.mark.parametrize('needed', range(8))
def test_only_gradients_that_are_needed_are_computed(needed, reduction):
    own, labels, prototypes = batch(BATCHES['skewed'])
    keys = torch.cat([own, unit(4, 5)]).detach()
    key_labels = torch.cat([labels, torch.arange(4)])
    rows = own, prototypes, keys
    needed = [bool(needed & 1 << i) for i in range(3)]
    rows = [r.detach().requires_grad_(n) for r, n in zip(rows, needed)]

    def loss():
        return balanced_contrastive_loss(
            rows[0],
            labels,
            rows[1],
            reduction=reduction,
            keys=rows[2],
            key_labels=key_labels,
        )

    with Products() as products:
        value = loss()
        if any(needed):
            value.backward()
    # Similarities to views and prototypes; gradients of anchors from both.
    assert len(products.shapes) == 2 + 2 * needed[0] + needed[1] + needed[2]
    every = [r.detach().requires_grad_() for r in rows]
    grads = [r.grad for r in rows]
    rows = every
    expected = gradients(loss(), *every)
    for got, want, is_needed in zip(grads, expected, needed):
        assert (got is not None) == is_needed
        assert not is_needed or torch.equal(got, want)
    with torch.no_grad(), Products() as products:
        assert torch.equal(loss(), value)
    assert len(products.shapes) == 2
