import math

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS

from bcl_mm.models.losses import (
    ClassBalancedLoss,
    FocalLoss,
    class_balanced_weights,
    focal_cross_entropy,
)
from tests import oracles
from tests.models.losses.test_classification import COUNTS, data


def assert_same(ours, oracle, logits, rtol=1e-12):
    assert torch.allclose(ours, oracle, rtol=rtol)
    (got,) = torch.autograd.grad(ours, logits)
    (want,) = torch.autograd.grad(oracle, logits)
    assert torch.allclose(got, want, rtol=max(rtol, 1e-9), atol=1e-12)


@pytest.mark.parametrize('gamma', [0.0, 0.5, 2.0])
@pytest.mark.parametrize('seed', range(3))
def test_focal_equals_the_definition(gamma, seed):
    torch.manual_seed(seed)
    logits, labels = data()
    ours = focal_cross_entropy(logits, labels, gamma)
    assert_same(ours, oracles.focal(logits, labels, gamma), logits)
    assert torch.equal(FocalLoss(gamma)(logits, labels), ours)


def test_focal_by_hand():
    # Two equal logits: p = 1/2, and (1/2)^2 log 2 is a quarter of log 2.
    loss = focal_cross_entropy(torch.zeros(1, 2), torch.tensor([0]), 2.0)
    assert loss.item() == pytest.approx(math.log(2) / 4)


def test_focal_without_focus_is_cross_entropy():
    logits, labels = data()
    for reduction in ('mean', 'sum', 'none'):
        loss = focal_cross_entropy(logits, labels, 0.0, reduction)
        plain = F.cross_entropy(logits, labels, reduction=reduction)
        assert torch.allclose(loss, plain, rtol=1e-12)


@pytest.mark.parametrize('gamma', [0.5, 1.0, 2.0])
def test_focal_of_sure_samples_is_finite(gamma):
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        logits = torch.tensor([[100.0, -100], [-100, 100]], dtype=dtype)
        logits.requires_grad_()
        loss = focal_cross_entropy(logits, torch.tensor([0, 0]), gamma)
        loss.backward()
        assert loss.dtype == torch.float32
        assert torch.isfinite(loss) and torch.isfinite(logits.grad).all()


@pytest.mark.parametrize('beta', [0.0, 0.9, 0.999, 0.9999])
def test_weights_equal_the_definition(beta):
    ours = class_balanced_weights(COUNTS, beta)
    oracle = oracles.effective_number_weights(COUNTS, beta)
    assert ours.tolist() == pytest.approx(oracle, rel=1e-9)
    assert ours.sum().item() == pytest.approx(len(COUNTS))


def test_weights_by_hand():
    # Effective numbers 1 and 1 + 1/2; inverses 1 and 2/3, scaled to sum 2.
    ours = class_balanced_weights([1, 2], beta=0.5)
    assert ours.tolist() == pytest.approx([6 / 5, 4 / 5])
    # Towards beta = 1, they approach the inverse counts.
    ours = class_balanced_weights([1, 3], beta=1 - 1e-12)
    assert ours.tolist() == pytest.approx([3 / 2, 1 / 2])
    assert torch.isfinite(class_balanced_weights([1, 10**7])).all()


@pytest.mark.parametrize('gamma', [0.0, 2.0])
@pytest.mark.parametrize('beta', [0.9, 0.9999])
def test_class_balanced_equals_the_definition(beta, gamma):
    logits, labels = data()
    loss = ClassBalancedLoss(beta, gamma, class_counts=COUNTS)
    oracle = oracles.class_balanced(logits, labels, COUNTS, beta, gamma)
    # The weights are float32.
    assert_same(loss(logits, labels), oracle, logits, rtol=1e-6)


def test_equal_counts_are_plain():
    logits, labels = data()
    loss = ClassBalancedLoss(class_counts=[7, 7, 7, 7])
    plain = F.cross_entropy(logits, labels)
    assert torch.allclose(loss(logits, labels), plain, rtol=1e-6)


def test_calling_convention():
    logits, labels = data()
    loss = MODELS.build(
        dict(type='bcl_mm.FocalLoss', gamma=1.0, loss_weight=3.0)
    )
    each = loss(logits, labels, reduction_override='none')
    assert each.shape == (12,)
    weight = torch.rand(12)
    total = loss(logits, labels, weight=weight, avg_factor=5)
    assert torch.allclose(total, (each * weight).sum() / 5)


def test_errors():
    logits, labels = data()
    with pytest.raises(ValueError, match='gamma must be >= 0, got -1'):
        FocalLoss(gamma=-1)
    with pytest.raises(ValueError, match="reduction must .*, got 'avg'"):
        focal_cross_entropy(logits, labels, reduction='avg')
    with pytest.raises(ValueError, match=r'beta must be in \[0, 1\), got 1'):
        ClassBalancedLoss(beta=1)
    with pytest.raises(ValueError, match='ClassBalancedLoss needs class_coun'):
        ClassBalancedLoss()(logits, labels)
    message = 'class_counts of 3 classes, but there are 4 logits'
    with pytest.raises(ValueError, match=message):
        ClassBalancedLoss(class_counts=[1, 2, 3])(logits, labels)
    message = r'integer labels of shape \(M,\), got shape \(12, 4\)'
    with pytest.raises(ValueError, match=message):
        FocalLoss()(logits, F.one_hot(labels, 4))
