import math

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS

from bcl_mm.classes import ClassInfo
from bcl_mm.models.losses import (
    LogitAdjustedLoss,
    logit_adjusted_cross_entropy,
)
from tests import oracles

COUNTS = [900, 90, 9, 1]


def data(rows=12):
    logits = torch.randn(rows, 4, dtype=torch.float64, requires_grad=True)
    return logits, torch.randint(0, 4, (rows,))


def log_prior():
    counts = torch.tensor(COUNTS, dtype=torch.float64)
    return (counts / counts.sum()).log()


@pytest.mark.parametrize('tau', [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize('seed', range(3))
def test_equals_the_definition(tau, seed):
    torch.manual_seed(seed)
    logits, labels = data()
    ours = logit_adjusted_cross_entropy(logits, labels, log_prior(), tau)
    oracle = oracles.logit_adjusted(logits, labels, COUNTS, tau)
    assert torch.allclose(ours, oracle, rtol=1e-12)
    for got, want in zip(
        torch.autograd.grad(ours, logits), torch.autograd.grad(oracle, logits)
    ):
        assert torch.allclose(got, want, rtol=1e-9, atol=1e-15)


def test_two_classes_by_hand():
    # Prior (3/4, 1/4), equal logits, tau 1: the adjusted softmax is the
    # prior itself, and a sample of class 1 costs -log(1/4).
    loss = logit_adjusted_cross_entropy(
        torch.zeros(1, 2), torch.tensor([1]), torch.tensor([0.75, 0.25]).log()
    )
    assert loss.item() == pytest.approx(math.log(4))


def test_uniform_prior_and_tau_zero_are_cross_entropy():
    logits, labels = data()
    plain = F.cross_entropy(logits, labels)
    uniform = torch.full((4,), 0.25, dtype=torch.float64).log()
    for loss in (
        logit_adjusted_cross_entropy(logits, labels, uniform),
        logit_adjusted_cross_entropy(logits, labels, log_prior(), tau=0),
    ):
        assert torch.allclose(loss, plain, rtol=1e-12)


def test_soft_labels():
    logits, labels = data()
    hard = logit_adjusted_cross_entropy(logits, labels, log_prior())
    soft = logit_adjusted_cross_entropy(
        logits, F.one_hot(labels, 4).float(), log_prior()
    )
    assert torch.allclose(hard, soft, rtol=1e-12)


def test_module_in_mmpretrains_convention():
    logits, labels = data()
    module = MODELS.build(
        dict(
            type='bcl_mm.LogitAdjustedLoss',
            tau=0.5,
            loss_weight=3.0,
            class_counts=COUNTS,
        )
    )
    each = 3 * logit_adjusted_cross_entropy(
        logits, labels, log_prior(), 0.5, 'none'
    )
    options = dict(rtol=1e-6, atol=1e-7)
    assert torch.allclose(module(logits, labels), each.mean(), **options)
    assert torch.allclose(
        module(logits, labels, avg_factor=5), each.sum() / 5, **options
    )
    none = module(logits, labels, reduction_override='none')
    assert torch.allclose(none, each, **options)
    weight = torch.rand(12)
    assert torch.allclose(
        module(logits, labels, weight), (each * weight).mean(), **options
    )


def test_half_precision_is_computed_in_float32():
    logits, labels = data()
    for dtype in (torch.float16, torch.bfloat16):
        loss = logit_adjusted_cross_entropy(
            logits.to(dtype), labels, log_prior().float()
        )
        assert loss.dtype == torch.float32
        assert loss.isfinite()


def test_extreme_counts_are_finite():
    loss = LogitAdjustedLoss(class_counts=[1, 10**7])
    logits = torch.zeros(2, 2, requires_grad=True)
    value = loss(logits, torch.tensor([0, 1]))
    value.backward()
    assert value.isfinite()
    assert logits.grad.isfinite().all()


def test_missing_counts_say_how_to_give_them():
    logits, labels = data()
    with pytest.raises(ValueError, match='add ClassInfoHook'):
        LogitAdjustedLoss()(logits, labels)


def test_counts_are_checked():
    loss = LogitAdjustedLoss()
    with pytest.raises(ValueError, match='none of class 1'):
        loss.set_class_info(ClassInfo([5, 0, 5]))
    with pytest.raises(ValueError, match='whole numbers'):
        loss.set_class_info(ClassInfo([5, 0.5]))
    given = LogitAdjustedLoss(class_counts=[5, 3])
    with pytest.raises(ValueError, match='LogitAdjustedLoss contradicts'):
        given.set_class_info(ClassInfo([5, 4]))
    with pytest.raises(ValueError, match='of 2 classes, but there are 4'):
        given(*data())


def test_prior_is_not_in_the_checkpoint():
    assert not LogitAdjustedLoss(class_counts=COUNTS).state_dict()
