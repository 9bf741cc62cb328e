import math

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bcl_mm.models.losses import (
    BalancedContrastiveLoss,
    balanced_contrastive_loss,
    chunked,
)
from tests import oracles

WRONG = [
    'own class not reduced',
    'anchor in the denominator',
    'prototypes only as negatives',
]


def unit(*shape: int) -> torch.Tensor:
    rows = torch.randn(*shape, dtype=torch.float64)
    return F.normalize(rows, dim=-1).requires_grad_()


def batch(labels, num_classes=7, dim=5):
    """Two views of images with ``labels``, and prototypes."""
    labels = torch.tensor(labels).repeat(2)
    return unit(len(labels), dim), labels, unit(num_classes, dim)


def gradients(loss, *tensors):
    return torch.autograd.grad(loss, tensors, allow_unused=True)


def assert_same(ours, oracle, *tensors):
    assert torch.allclose(ours, oracle, rtol=1e-9, atol=1e-12)
    for got, want in zip(
        gradients(ours, *tensors), gradients(oracle, *tensors)
    ):
        assert torch.allclose(got, want, rtol=1e-6, atol=1e-12)


BATCHES = {
    'skewed': [0, 0, 0, 0, 0, 0, 1, 1, 2, 5],
    'one class': [3, 3, 3],
    'one image': [3],
    'all different': [6, 5, 4, 3, 2, 1, 0],
}


@pytest.mark.parametrize('labels', BATCHES.values(), ids=BATCHES)
@pytest.mark.parametrize('temperature', [0.07, 0.1, 1.0])
@pytest.mark.parametrize('averaging', [True, False])
@pytest.mark.parametrize('reduction', ['mean_log', 'log_mean_exp'])
@pytest.mark.parametrize('seed', range(2))
def test_equals_the_definition(
    labels, temperature, averaging, reduction, seed
):
    torch.manual_seed(seed)
    features, labels, prototypes = batch(labels)
    options = dict(
        temperature=temperature,
        class_averaging=averaging,
        reduction=reduction,
    )
    assert_same(
        balanced_contrastive_loss(features, labels, prototypes, **options),
        oracles.balanced_contrastive(features, labels, prototypes, **options),
        features,
        prototypes,
    )
    assert_same(
        balanced_contrastive_loss(
            features, labels, class_complement=False, **options
        ),
        oracles.balanced_contrastive(features, labels, **options),
        features,
    )


@pytest.mark.parametrize('start', [0, 4, 6])
@pytest.mark.parametrize('reduction', ['mean_log', 'log_mean_exp'])
def test_local_anchors_against_global_keys(start, reduction):
    keys = unit(10, 5)
    key_labels = torch.tensor([0, 0, 0, 1, 1, 0, 2, 2, 5, 5])
    prototypes = unit(7, 5)
    rows = slice(start, start + 4)
    arguments = keys[rows], key_labels[rows], prototypes
    options = dict(
        keys=keys,
        key_labels=key_labels,
        anchor_start=start,
        reduction=reduction,
    )
    assert_same(
        balanced_contrastive_loss(*arguments, **options),
        oracles.balanced_contrastive(*arguments, **options),
        keys,
        prototypes,
    )


@pytest.mark.parametrize('wrong', WRONG)
def test_well_known_mistakes_differ(wrong):
    features, labels, prototypes = batch(BATCHES['skewed'])
    ours = balanced_contrastive_loss(features, labels, prototypes)
    mistake = oracles.balanced_contrastive(
        features, labels, prototypes, wrong=wrong
    )
    assert abs(ours - mistake) > 1e-3 * abs(ours)


def test_two_classes_by_hand():
    # z0 = z1 = (1, 0) of class 0, z2 = (0, 1) of class 1; c0 = (1, 0),
    # c1 = (0, 1); T = 1. Keys of class 0: z0, z1, c0; of class 1: z2, c1.
    # Anchor z0: own class has 3 - 1 = 2 keys at similarity 1, the other has
    # 2 at 0: denominator (e + e) / 2 + (1 + 1) / 2 = e + 1, and both
    # positives give -log(e / (e + 1)). Anchor z1 is the same.
    # Anchor z2: own class has 2 - 1 = 1 key (c1) at similarity 1, the other
    # has 3 at 0: denominator e / 1 + 3 / 3 = e + 1 again.
    features = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    labels = torch.tensor([0, 0, 1])
    loss = balanced_contrastive_loss(
        features, labels, torch.eye(2), temperature=1.0
    )
    assert loss.item() == pytest.approx(math.log(math.e + 1) - 1, rel=1e-6)


def test_gradcheck():
    features, labels, prototypes = batch([0, 0, 1, 4])
    assert torch.autograd.gradcheck(
        lambda f, p: balanced_contrastive_loss(f, labels, p),
        (features, prototypes),
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


def test_permutation_relabelling_and_view_order_change_nothing():
    features, labels, prototypes = batch(BATCHES['skewed'])
    loss = balanced_contrastive_loss(features, labels, prototypes)
    order = torch.randperm(len(labels))
    permuted = balanced_contrastive_loss(
        features[order], labels[order], prototypes
    )
    swapped = balanced_contrastive_loss(
        features.roll(len(labels) // 2, 0), labels, prototypes
    )
    new_name = torch.randperm(7)
    renamed = balanced_contrastive_loss(
        features, new_name[labels], prototypes[new_name.argsort()]
    )
    for other in (permuted, swapped, renamed):
        assert torch.allclose(loss, other, rtol=1e-12)


def test_both_parts_off_is_supcon():
    features, labels, _ = batch([0, 1, 2, 3])
    supcon = balanced_contrastive_loss(
        features, labels, class_averaging=False, class_complement=False
    )
    similarity = features @ features.T / 0.1
    similarity = similarity.masked_fill(
        torch.eye(8, dtype=torch.bool), -torch.inf
    )
    log_prob = similarity - similarity.logsumexp(1, keepdim=True)
    other_view = torch.arange(8).roll(4)
    expected = -log_prob[torch.arange(8), other_view].mean()
    assert torch.allclose(supcon, expected, rtol=1e-12)


def test_prototypes_by_label_in_padded_slots():
    features, labels, prototypes = batch([0, 0, 1, 4])
    full = balanced_contrastive_loss(features, labels, prototypes)
    order = torch.tensor([4, 2, 0, 6, 1, 3, 5])
    slots = torch.cat([prototypes[order], prototypes[:2] * torch.nan])
    slots = torch.nan_to_num(slots)
    sampled = balanced_contrastive_loss(
        features,
        labels,
        slots,
        prototype_labels=torch.cat([order, torch.tensor([-1, -1])]),
        prototype_log_weights=torch.tensor([0.0] * 7 + [-torch.inf] * 2),
    )
    assert torch.allclose(full, sampled, rtol=1e-12)
    # A prototype of weight 2 represents two classes in the denominator.
    absent = torch.tensor([6])
    doubled = balanced_contrastive_loss(
        features,
        labels,
        torch.cat([prototypes, prototypes[absent]]),
        prototype_labels=torch.tensor([*range(7), 99]),
    )
    weighted = balanced_contrastive_loss(
        features,
        labels,
        prototypes,
        prototype_log_weights=torch.tensor([0.0] * 6 + [math.log(2)]),
    )
    assert torch.allclose(doubled, weighted, rtol=1e-9)


def test_anchor_without_positive_counts_as_zero():
    features = unit(3, 5)
    labels = torch.tensor([0, 0, 1])
    loss = balanced_contrastive_loss(features, labels)
    expected = oracles.balanced_contrastive(features, labels)
    assert_same(loss, expected, features)
    lone = unit(1, 5)
    loss = balanced_contrastive_loss(lone, labels[:1])
    loss.backward()
    assert loss == 0
    assert torch.equal(lone.grad, torch.zeros_like(lone))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('temperature', [0.01, 0.07, 1.0])
def test_half_precision_is_computed_in_float32(dtype, temperature):
    features, labels, prototypes = batch(BATCHES['skewed'])
    half = features.detach().to(dtype).requires_grad_()
    half_prototypes = prototypes.detach().to(dtype)
    loss = balanced_contrastive_loss(
        half, labels, half_prototypes, temperature
    )
    exact = oracles.balanced_contrastive(
        half.double(), labels, half_prototypes.double(), temperature
    )
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(exact.item(), rel=1e-4)
    loss.backward()
    assert half.grad.isfinite().all()


def test_autocast_changes_nothing():
    features, labels, prototypes = batch(BATCHES['skewed'])
    arguments = features.float(), labels, prototypes.float(), 0.07
    with torch.autocast('cpu', torch.bfloat16):
        inside = balanced_contrastive_loss(*arguments)
    assert torch.equal(inside, balanced_contrastive_loss(*arguments))


def test_module_follows_the_function():
    features, labels, prototypes = batch(BATCHES['skewed'])
    module = MODELS.build(
        dict(type='bcl_mm.BalancedContrastiveLoss', temperature=0.2)
    )
    assert isinstance(module, BalancedContrastiveLoss)
    expected = balanced_contrastive_loss(features, labels, prototypes, 0.2)
    assert torch.equal(module(features, labels, prototypes), expected)
    summed = module(features, labels, prototypes, avg_factor=1)
    assert torch.allclose(summed, len(labels) * expected)
    off = BalancedContrastiveLoss(0.2, class_complement=False)
    assert torch.equal(
        off(features, labels, prototypes), off(features, labels)
    )


@pytest.mark.parametrize('temperature', [0, -0.1])
def test_temperature_must_be_positive(temperature):
    message = f'temperature must be > 0, got {temperature}'
    with pytest.raises(ValueError, match=message):
        BalancedContrastiveLoss(temperature)
    with pytest.raises(ValueError, match=message):
        balanced_contrastive_loss(
            unit(2, 3), torch.zeros(2), None, temperature
        )


def test_shapes_that_do_not_fit():
    features, labels, prototypes = batch([0, 1])
    with pytest.raises(ValueError, match=r'features must have shape \(M, D\)'):
        balanced_contrastive_loss(features[0], labels)
    with pytest.raises(ValueError, match='features has 4 rows, but its'):
        balanced_contrastive_loss(features, labels[:3])
    with pytest.raises(ValueError, match=r'prototypes must have .*rows, 5\)'):
        balanced_contrastive_loss(features, labels, prototypes[:, :4])
    with pytest.raises(ValueError, match='given together'):
        balanced_contrastive_loss(features, labels, keys=features)
    with pytest.raises(ValueError, match=r'anchor_start must be in \[0, 0\]'):
        balanced_contrastive_loss(
            features, labels, keys=features, key_labels=labels, anchor_start=1
        )


def test_one_local_anchor_among_global_keys():
    keys = unit(4, 5)
    key_labels = torch.tensor([0, 0, 1, 0])
    arguments = keys[:1], key_labels[:1]
    options = dict(keys=keys, key_labels=key_labels)
    assert_same(
        balanced_contrastive_loss(*arguments, **options),
        oracles.balanced_contrastive(*arguments, **options),
        keys,
    )


def test_empty_slot_is_a_key_of_no_class():
    features, labels, prototypes = batch([0, 1, 2])
    padded = balanced_contrastive_loss(
        features,
        labels,
        torch.cat([prototypes, prototypes[:1]]),
        prototype_labels=torch.tensor([*range(7), 0]),
        prototype_log_weights=torch.tensor([0.0] * 7 + [-torch.inf]),
    )
    full = balanced_contrastive_loss(features, labels, prototypes)
    assert torch.allclose(padded, full, rtol=1e-12)
    with pytest.raises(ValueError, match='prototype_log_weights must have'):
        balanced_contrastive_loss(
            features, labels, prototypes, prototype_log_weights=torch.zeros(1)
        )


def test_log_mean_exp_does_not_underflow():
    features, labels, prototypes = batch([0, 0, 1, 2])
    features, prototypes = features.float(), prototypes.float()
    features.retain_grad()
    loss = balanced_contrastive_loss(
        features, labels, prototypes, 0.001, reduction='log_mean_exp'
    )
    exact = balanced_contrastive_loss(
        features.double(),
        labels,
        prototypes.double(),
        0.001,
        reduction='log_mean_exp',
    )
    loss.backward()
    assert loss.item() == pytest.approx(exact.item(), rel=1e-4)
    assert torch.isfinite(features.grad).all()


def test_one_positive_is_the_same_in_both_reductions():
    features, labels, prototypes = batch([0, 1, 2])
    rows, labels = features[:3], labels[:3]
    settings = [
        balanced_contrastive_loss(rows, labels, prototypes, reduction=name)
        for name in ('mean_log', 'log_mean_exp')
    ]
    assert torch.allclose(*settings, rtol=1e-12)


def test_an_unknown_reduction_is_an_error():
    features, labels, prototypes = batch([0, 1])
    with pytest.raises(ValueError, match="'log_mean_exp', got 'mean'"):
        balanced_contrastive_loss(features, labels, reduction='mean')
