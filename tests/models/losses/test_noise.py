import math

import pytest
import torch
import torch.nn.functional as F

from bcl_mm.models.losses import GCLLoss
from tests.models.losses.test_classification import COUNTS, data
from tests.models.losses.test_reweighting import assert_same


def clouded(logits, labels, noise, k, margin, scale):
    losses = []
    for row, draws, label in zip(logits, noise, labels):
        moved = []
        for j, (f, e, n) in enumerate(zip(row, draws, COUNTS)):
            strength = math.log(max(COUNTS)) - math.log(n)
            strength /= math.log(max(COUNTS)) - math.log(min(COUNTS))
            cosine = f / scale - k * abs(float(e)) * strength
            moved.append(scale * (cosine - margin * (j == label)))
        losses.append(sum(g.exp() for g in moved).log() - moved[label])
    return sum(losses) / len(losses)


@pytest.mark.parametrize('k, margin', [(1.0, 0.0), (0.5, 0.5)])
def test_equals_the_definition(k, margin):
    logits, labels = data()
    loss = GCLLoss(k, margin, scale=4.0, class_counts=COUNTS)
    torch.manual_seed(3)
    ours = loss(logits, labels)
    torch.manual_seed(3)
    noise = (torch.randn(12, 4, dtype=torch.float64) / 3).clamp(-1, 1)
    oracle = clouded(logits, labels, noise, k, margin, 4.0)
    assert_same(ours, oracle, logits)


def test_every_class_but_the_largest_is_lowered():
    draws = torch.zeros(2000, 4)
    with torch.no_grad():
        loss = GCLLoss(scale=1.0, class_counts=COUNTS)
        losses = loss(draws, torch.zeros(2000, dtype=torch.long))
    # Lower logits of the others: less than log 4.
    assert losses < math.log(4) - 0.05
    # E|e| is sqrt(2 / pi) / 3 but for the cut.
    assert losses == pytest.approx(math.log(4) - 0.126, abs=0.02)


def test_there_is_no_noise_in_evaluation_or_among_equal_classes():
    logits, labels = data()
    plain = F.cross_entropy(logits, labels)
    loss = GCLLoss(class_counts=COUNTS)
    assert not torch.allclose(loss(logits, labels), plain)
    assert torch.allclose(loss.eval()(logits, labels), plain)
    equal = GCLLoss(class_counts=[5] * 4)
    assert torch.allclose(equal(logits, labels), plain)


def test_bad_arguments():
    with pytest.raises(ValueError, match='noise must be >= 0, got -1'):
        GCLLoss(noise=-1)
    with pytest.raises(ValueError, match='margin must be >= 0, got -1'):
        GCLLoss(margin=-1)
    with pytest.raises(ValueError, match='GCLLoss needs a normalised class'):
        GCLLoss().set_logit_scale(None)
    with pytest.raises(ValueError, match='does not support soft labels'):
        GCLLoss(class_counts=[1, 2])(torch.zeros(2, 2), torch.eye(2))
