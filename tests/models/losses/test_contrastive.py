import math

import pytest
import torch
from mmengine.registry import MODELS

from bcl_mm.models.losses import (
    BalancedContrastiveLoss,
    balanced_contrastive_loss,
)
from tests import oracles
from tests.models.losses.contrastive import (
    BATCHES,
    WRONG,
    assert_same,
    batch,
    unit,
)


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
