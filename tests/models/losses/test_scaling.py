import math

import pytest
import torch
import torch.nn.functional as F

from bcl_mm.models.losses import BalancedBCELoss, LogitAdjustedLoss, VSLoss
from tests.models.losses.test_classification import COUNTS, data
from tests.models.losses.test_reweighting import assert_same

PRIOR = [n / sum(COUNTS) for n in COUNTS]


def vector_scaling(logits, labels, gamma, tau):
    losses = []
    for row, label in zip(logits, labels):
        scaled = []
        for f, n, prior in zip(row, COUNTS, PRIOR):
            divisor = (max(COUNTS) / n) ** gamma
            scaled.append(f / divisor + tau * math.log(prior))
        losses.append(sum(g.exp() for g in scaled).log() - scaled[label])
    return sum(losses) / len(losses)


@pytest.mark.parametrize('gamma', [0.0, 0.3, 1.0])
@pytest.mark.parametrize('tau', [0.0, 1.0, 1.2])
def test_vector_scaling_equals_the_definition(gamma, tau):
    logits, labels = data()
    ours = VSLoss(gamma, tau, class_counts=COUNTS)(logits, labels)
    assert_same(ours, vector_scaling(logits, labels, gamma, tau), logits)


def test_vector_scaling_contains_logit_adjustment_and_cdt():
    logits, labels = data()
    adjusted = LogitAdjustedLoss(1.2, class_counts=COUNTS)(logits, labels)
    ours = VSLoss(0.0, 1.2, class_counts=COUNTS)(logits, labels)
    assert torch.allclose(ours, adjusted)
    factors = torch.tensor([n / max(COUNTS) for n in COUNTS]) ** 0.3
    cdt = F.cross_entropy(logits * factors.double(), labels)
    assert torch.allclose(
        VSLoss(0.3, 0.0, class_counts=COUNTS)(logits, labels), cdt, rtol=1e-6
    )


def balanced_bce(logits, targets, tau, smoothing):
    losses = []
    for row, target in zip(logits, targets):
        for f, prior, t in zip(row, PRIOR, target):
            g = f + tau * (math.log(prior) - math.log(1 - prior))
            t = (1 - smoothing) * t + smoothing / len(row)
            losses.append(t * (1 + (-g).exp()).log())
            losses.append((1 - t) * (1 + g.exp()).log())
    return sum(losses) / len(logits)


@pytest.mark.parametrize('tau', [0.0, 0.5, 1.0])
@pytest.mark.parametrize('smoothing', [0.0, 0.1])
def test_balanced_bce_equals_the_definition(tau, smoothing):
    logits, labels = data()
    loss = BalancedBCELoss(tau, smoothing, class_counts=COUNTS)
    hard = F.one_hot(labels, 4).double()
    oracle = balanced_bce(logits, hard, tau, smoothing)
    assert_same(loss(logits, labels), oracle, logits)
    soft = torch.rand(12, 4).double().softmax(1)
    oracle = balanced_bce(logits, soft, tau, smoothing)
    assert_same(loss(logits, soft), oracle, logits)


def test_balanced_bce_by_hand():
    # Two classes of as many images: the adjustment is zero, and each of the
    # two sigmoids of 0 costs log 2.
    loss = BalancedBCELoss(class_counts=[5, 5])
    value = loss(torch.zeros(1, 2), torch.tensor([1]))
    assert value.item() == pytest.approx(2 * math.log(2))


@pytest.mark.parametrize('loss', [VSLoss, BalancedBCELoss])
def test_soft_labels_of_one_class_are_hard_labels(loss):
    logits, labels = data()
    loss = loss(class_counts=COUNTS)
    soft = F.one_hot(labels, 4).double()
    assert torch.allclose(loss(logits, labels), loss(logits, soft))


@pytest.mark.parametrize(
    'make, message',
    [
        (lambda: VSLoss(gamma=-1), 'gamma must be >= 0, got -1'),
        (lambda: VSLoss(tau=-1), 'tau must be >= 0, got -1'),
        (lambda: BalancedBCELoss(smoothing=1), r'smoothing must be in \[0, 1'),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
