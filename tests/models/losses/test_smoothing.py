import math

import pytest
import torch
import torch.nn.functional as F

from bcl_mm.models.losses import LabelAwareSmoothingLoss
from tests.models.losses.test_classification import COUNTS, data
from tests.models.losses.test_reweighting import assert_same


def smoothed(logits, labels, head, tail, counts=COUNTS):
    losses = []
    span = max(counts) - min(counts)
    for row, label in zip(logits, labels):
        share = (counts[label] - min(counts)) / span
        eps = tail + (head - tail) * math.sin(share * math.pi / 2)
        log_p = row - sum(f.exp() for f in row).log()
        # All classes share the smoothing, the sample's own too (MiSLAS's
        # code; its paper leaves that one out).
        others = sum(log_p) / len(row)
        losses.append(-(1 - eps) * log_p[label] - eps * others)
    return sum(losses) / len(losses)


@pytest.mark.parametrize('head, tail', [(0.3, 0.0), (0.4, 0.1), (0.0, 0.2)])
def test_equals_the_definition(head, tail):
    logits, labels = data()
    ours = LabelAwareSmoothingLoss(head, tail, class_counts=COUNTS)
    oracle = smoothed(logits, labels, head, tail)
    assert_same(ours(logits, labels), oracle, logits)


def test_counts_need_not_be_sorted():
    logits, labels = data()
    counts = [9, 900, 1, 90]
    ours = LabelAwareSmoothingLoss(0.4, 0.1, class_counts=counts)
    oracle = smoothed(logits, labels, 0.4, 0.1, counts)
    assert_same(ours(logits, labels), oracle, logits)


def test_the_largest_class_is_smoothed_most():
    loss = LabelAwareSmoothingLoss(0.4, 0.1, class_counts=COUNTS)
    smoothing = loss.from_counts(torch.zeros(1, 4))
    assert smoothing[0] == pytest.approx(0.4)
    assert smoothing[3] == pytest.approx(0.1)
    assert (smoothing.diff() < 0).all()


def test_without_smoothing_it_is_cross_entropy():
    logits, labels = data()
    loss = LabelAwareSmoothingLoss(0.0, 0.0, class_counts=COUNTS)
    assert torch.allclose(
        loss(logits, labels), F.cross_entropy(logits, labels)
    )
    equal = LabelAwareSmoothingLoss(0.3, 0.0, class_counts=[7] * 4)
    assert torch.allclose(equal(logits, labels), loss(logits, labels))


def test_soft_labels_are_means_of_hard_ones():
    logits, labels = data()
    loss = LabelAwareSmoothingLoss(class_counts=COUNTS)
    other = labels.roll(1)
    soft = 0.3 * F.one_hot(labels, 4) + 0.7 * F.one_hot(other, 4)
    mixed = 0.3 * loss(logits, labels) + 0.7 * loss(logits, other)
    assert torch.allclose(loss(logits, soft.double()), mixed, rtol=1e-6)


@pytest.mark.parametrize('name', ['head', 'tail'])
def test_bad_arguments(name):
    with pytest.raises(
        ValueError, match=rf'{name} must be in \[0, 1\), got 1'
    ):
        LabelAwareSmoothingLoss(**{name: 1})
