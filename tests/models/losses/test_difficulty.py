"""DBM against its definition, and the traps of its reference."""

import math

import pytest
import torch
import torch.nn.functional as F

from bcl_mm.classes import ClassInfo
from bcl_mm.models import BCLHead
from bcl_mm.models.losses import DBMLoss, LDAMLoss, LogitAdjustedLoss
from bcl_mm.models.losses.difficulty import add_angular_margin
from tests.models.losses.test_reweighting import assert_same

COUNTS = [9, 900, 1, 90]  # not sorted
CE = dict(type='mmpretrain.CrossEntropyLoss')


def data(rows=12, scale=16.0):
    torch.manual_seed(0)
    cosines = torch.rand(rows, 4, dtype=torch.float64) * 1.4 - 0.5
    return (scale * cosines).requires_grad_(), torch.randint(0, 4, (rows,))


def balanced_margin(logits, labels, options, scale=16.0):
    """The logits that the other loss gets, row by row."""
    moved = []
    for row, label in zip(logits, labels):
        label = int(label)
        angle = (row[label] / scale).acos()
        margin = options['max_margin']
        margin *= (min(COUNTS) / COUNTS[label]) ** options['tau']
        is_wrong = max(range(4), key=row.tolist().__getitem__) != label
        difficulty = (1 - angle.cos()) / 2 if is_wrong else 0
        angle = angle + margin * (1 + options['difficulty'] * difficulty)
        own = scale * angle.cos()
        moved.append(
            torch.stack([own if c == label else row[c] for c in range(4)])
        )
    return torch.stack(moved)


OPTIONS = [
    dict(max_margin=0.1, tau=1.0, difficulty=1.0),
    dict(max_margin=0.3, tau=0.5, difficulty=2.0),
    dict(max_margin=0.2, tau=0.0, difficulty=0.0),
]


@pytest.mark.parametrize('options', OPTIONS, ids=str)
def test_equals_the_definition(options):
    logits, labels = data()
    loss = DBMLoss(**options, scale=16.0, class_counts=COUNTS)
    moved = balanced_margin(logits, labels, options)
    log_prior = (torch.tensor(COUNTS).double() / sum(COUNTS)).log()
    oracle = F.cross_entropy(moved + log_prior, labels)
    assert_same(loss(logits, labels), oracle, logits)
    plain = DBMLoss(CE, **options, scale=16.0, class_counts=COUNTS)
    moved = balanced_margin(logits, labels, options)
    oracle = F.cross_entropy(moved, labels)
    assert_same(plain(logits, labels), oracle, logits)


def test_the_smallest_class_has_the_largest_margin_wherever_it_stands():
    loss = DBMLoss(class_counts=COUNTS)
    margins = loss.from_counts(torch.zeros(1, 4))
    assert margins.argmax() == 2 and margins.max() == pytest.approx(0.1)


@pytest.mark.parametrize('cosine', [1.0, -1.0, 1.0 + 1e-7])
def test_gradients_are_finite_at_the_border(cosine):
    logits = (30 * torch.tensor([[cosine, 0.2, 0.1, 0.3]])).requires_grad_()
    loss = DBMLoss(class_counts=COUNTS)(logits, torch.tensor([0]))
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(logits.grad).all()


def test_the_margin_has_a_finite_slope_where_an_acos_has_none():
    cosines = torch.tensor([1.0, -1.0, 1.0 - 1e-7], requires_grad=True)
    margins = torch.tensor([0.1, 0.1, 0.1])
    add_angular_margin(cosines, margins).sum().backward()
    assert torch.isfinite(cosines.grad).all() and (cosines.grad > 0).all()


def test_a_larger_angle_never_gives_a_larger_logit():
    angles = torch.linspace(0.01, math.pi - 0.01, 500, dtype=torch.float64)
    moved = add_angular_margin(angles.cos(), torch.full((500,), 0.5).double())
    assert (moved.diff() < 0).all()
    inside = angles + 0.5 < math.pi
    expected = (angles + 0.5).cos()
    assert torch.allclose(moved[inside], expected[inside], atol=1e-12)


def test_wrong_is_decided_before_the_adjustment():
    # Class 1 has the larger logit once adjusted, but not the larger cosine.
    logits = torch.tensor([[1.2, 1.0, 0.0, 0.0]], dtype=torch.float64)
    label = torch.tensor([0])
    loss = DBMLoss(difficulty=50.0, max_margin=0.01, class_counts=COUNTS)
    other = DBMLoss(difficulty=0.0, max_margin=0.01, class_counts=COUNTS)
    assert torch.equal(loss(logits, label), other(logits, label))


def test_the_gradient_passes_through_the_difficulty():
    logits = torch.tensor([[-8.0, 8.0, 0.0, 0.0]], dtype=torch.float64)
    logits.requires_grad_()
    loss = DBMLoss(CE, difficulty=5.0, scale=16.0, class_counts=COUNTS)
    (ours,) = torch.autograd.grad(loss(logits, torch.tensor([0])), logits)
    step = torch.tensor([[1e-6, 0, 0, 0]])
    with torch.no_grad():
        up, down = (
            loss(logits + sign * step, torch.tensor([0])) for sign in (1, -1)
        )
    assert ours[0, 0].item() == pytest.approx(float(up - down) / 2e-6, 1e-5)


def test_the_head_gives_scale_and_counts_to_both_losses():
    inner = dict(type='bcl_mm.LDAMLoss', reweight_begin=1)
    head = BCLHead(
        4,
        6,
        scale=12.0,
        class_counts=COUNTS,
        loss_cls=dict(type='bcl_mm.DBMLoss', loss=inner),
    )
    assert head.loss_module.scale == head.loss_module.loss.scale == 12.0
    logits, labels = data()
    ours = head.loss_module(logits / 2, labels)
    ldam = LDAMLoss(reweight_begin=1, scale=12.0, class_counts=COUNTS)
    moved = balanced_margin(logits / 2, labels, OPTIONS[0], scale=12.0)
    assert torch.allclose(ours, ldam(moved, labels), rtol=1e-5)


def test_counts_of_the_config_reach_the_other_loss():
    logits, labels = data()
    given = DBMLoss(class_counts=COUNTS)
    assert torch.isfinite(given(logits, labels))
    assert isinstance(given.loss, LogitAdjustedLoss)
    told = DBMLoss()
    told.set_class_info(ClassInfo(COUNTS))
    assert torch.equal(told(logits, labels), given(logits, labels))


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(max_margin=0), 'max_margin must be > 0, got 0'),
        (dict(tau=-1), 'tau must be >= 0, got -1'),
        (dict(max_margin=2.0), r'max_margin \* \(1 \+ difficulty\) must be'),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        DBMLoss(**options)


def test_soft_labels_are_refused():
    with pytest.raises(ValueError, match='DBMLoss takes integer labels'):
        DBMLoss(class_counts=COUNTS)(torch.zeros(4, 4), torch.eye(4))
