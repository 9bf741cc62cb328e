import math

import pytest
import torch
import torch.nn.functional as F

from bcl_mm.models.losses import (
    LDAMLoss,
    SeesawLoss,
    ldam_cross_entropy,
    ldam_margins,
)
from tests import oracles
from tests.models.losses.test_classification import COUNTS, data
from tests.models.losses.test_reweighting import assert_same


@pytest.mark.parametrize('max_margin', [0.3, 0.5])
@pytest.mark.parametrize('beta', [None, 0.9, 0.9999])
def test_equals_the_definition(max_margin, beta):
    logits, labels = data()
    loss = LDAMLoss(
        max_margin,
        reweight_begin=0.8,
        beta=beta or 0.9999,
        scale=16.0,
        class_counts=COUNTS,
    )
    loss.set_progress(0.0 if beta is None else 0.8)
    oracle = oracles.ldam(logits, labels, COUNTS, max_margin, 16.0, beta)
    # Margins and weights are float32.
    ours = loss(logits, labels, avg_factor=len(labels))
    assert_same(ours, oracle, logits, rtol=1e-5)


def test_by_hand():
    # Counts 16 and 1: margins 1/4 and 1/2 (16^(1/4) = 2). Both logits are
    # 0, the scale is 4: class 1 is at -2, and costs log(1 + e^2).
    margins = ldam_margins([16, 1], max_margin=0.5)
    assert margins.tolist() == [0.25, 0.5]
    loss = ldam_cross_entropy(
        torch.zeros(1, 2), torch.tensor([1]), margins, scale=4.0
    )
    assert loss.item() == pytest.approx(math.log(1 + math.exp(2)))


def test_re_weighting_begins_late():
    logits, labels = data()
    loss = LDAMLoss(class_counts=COUNTS)
    plain = loss(logits, labels)
    loss.set_progress(0.79)
    assert torch.equal(loss(logits, labels), plain)
    loss.set_progress(0.8)
    assert not torch.allclose(loss(logits, labels), plain)
    loss.set_progress(0.1)  # as when a run resumes from an earlier epoch
    assert torch.equal(loss(logits, labels), plain)
    never = LDAMLoss(reweight_begin=1, class_counts=COUNTS)
    never.set_progress(0.99)
    assert torch.equal(never(logits, labels), plain)


def test_half_precision_is_finite():
    for dtype in (torch.float16, torch.bfloat16):
        logits = (torch.randn(8, 4) * 16).to(dtype).requires_grad_()
        loss = LDAMLoss(class_counts=COUNTS)(logits, torch.arange(8) % 4)
        loss.backward()
        assert loss.dtype == torch.float32
        assert torch.isfinite(logits.grad).all()


def test_errors():
    logits, labels = data()
    with pytest.raises(ValueError, match='max_margin must be > 0, got 0'):
        LDAMLoss(max_margin=0)
    with pytest.raises(ValueError, match=r'reweight_begin .* got 160'):
        LDAMLoss(reweight_begin=160)
    with pytest.raises(ValueError, match='beta must be in'):
        LDAMLoss(beta=-0.1)
    with pytest.raises(ValueError, match='LDAMLoss needs class_counts'):
        LDAMLoss()(logits, labels)
    with pytest.raises(ValueError, match=r'margins must have shape \(4,\)'):
        ldam_cross_entropy(logits, labels, torch.ones(3))
    with pytest.raises(ValueError, match=r'got shape \(12, 4\)'):
        ldam_cross_entropy(logits, F.one_hot(labels, 4), torch.ones(4))


def test_seesaw_equals_the_definition():
    """The implementation of mmpretrain follows the paper."""
    loss = SeesawLoss(num_classes=4, p=0.8, q=2.0)
    loss.eps = 0
    seen = [0, 0, 0, 0]
    for _ in range(3):
        logits, labels = data()
        for label in labels:
            seen[int(label)] += 1
        oracle = oracles.seesaw(logits, labels, seen, 0.8, 2.0)
        assert_same(loss(logits, labels), oracle, logits, rtol=1e-6)
