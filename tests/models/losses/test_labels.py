"""Labels of every integer type, and labels out of range."""

import pytest
import torch
import torch.nn.functional as F
from mmpretrain.structures import DataSample

from bcl_mm.models.heads import BCLHead, LongTailHead
from bcl_mm.models.losses import (
    BalancedBCELoss,
    ClassBalancedLoss,
    DBMLoss,
    FocalLoss,
    GCLLoss,
    LabelAwareSmoothingLoss,
    LDAMLoss,
    LogitAdjustedLoss,
    SeesawLoss,
    VSLoss,
    balanced_contrastive_loss,
)
from bcl_mm.utils import labels as checks

C = 300  # more classes than uint8 and int8 hold
COUNTS = list(range(C, 0, -1))
LOSSES = {
    'logit-adjusted': lambda: LogitAdjustedLoss(class_counts=COUNTS),
    'focal': FocalLoss,
    'class-balanced': lambda: ClassBalancedLoss(class_counts=COUNTS),
    'LDAM': lambda: LDAMLoss(class_counts=COUNTS, reweight_begin=0),
    'seesaw': lambda: SeesawLoss(num_classes=C),
    'vector scaling': lambda: VSLoss(class_counts=COUNTS),
    'balanced BCE': lambda: BalancedBCELoss(class_counts=COUNTS),
    'smoothing': lambda: LabelAwareSmoothingLoss(class_counts=COUNTS),
    'GCL': lambda: GCLLoss(class_counts=COUNTS),
    'DBM': lambda: DBMLoss(class_counts=COUNTS),
}


def logits():
    torch.manual_seed(0)
    return torch.randn(4, C).requires_grad_()


def contrast(labels, prototypes=True):
    torch.manual_seed(0)
    rows = F.normalize(torch.randn(4 + C, 8), dim=1)
    keys = rows[4:] if prototypes else None
    return balanced_contrastive_loss(rows[:4], labels, keys)


def head_losses(labels):
    torch.manual_seed(0)
    head = BCLHead(C, 8, loss_cls=dict(type='bcl_mm.FocalLoss'))
    samples = [DataSample() for _ in labels]
    for sample, label in zip(samples, labels):
        sample.gt_label = label[None]
    return sum(
        value
        for name, value in head.loss((torch.randn(12, 8),), samples).items()
        if 'loss' in name
    )


INTEGERS = ['uint8', 'int8', 'int16', 'int32', 'uint16', 'uint32', 'uint64']


@pytest.mark.parametrize('dtype', [getattr(torch, n) for n in INTEGERS])
@pytest.mark.parametrize('name', [*LOSSES, 'contrastive', 'head'])
def test_integers_of_any_width(name, dtype):
    labels = torch.tensor([0, 1, 1, 2])
    if name in LOSSES:
        values = [
            LOSSES[name]()(logits(), n) for n in (labels, labels.to(dtype))
        ]
    else:
        function = contrast if name == 'contrastive' else head_losses
        values = [function(n) for n in (labels, labels.to(dtype))]
    assert torch.equal(*values)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bool, torch.complex64])
def test_other_types_are_refused(dtype):
    labels = torch.tensor([0, 1, 1, 0]).to(dtype)
    for name in LOSSES:
        with pytest.raises(TypeError, match='labels must be integers, got'):
            LOSSES[name]()(logits(), labels)
    for function in (contrast, head_losses):
        with pytest.raises(TypeError, match='labels must be integers, got'):
            function(labels)


@pytest.mark.parametrize('label', [C, 2**40, -1, -100, -(2**31), -(2**63)])
@pytest.mark.parametrize('name', [*LOSSES, 'contrastive', 'head'])
def test_labels_out_of_range(name, label, monkeypatch):
    labels = torch.tensor([0, 1, 1, label])

    def loss():
        if name in LOSSES:
            return LOSSES[name]()(logits(), labels)
        return (
            contrast(labels) if name == 'contrastive' else head_losses(labels)
        )

    with pytest.raises(ValueError, match=rf'in \[0, {C}\), got {label}'):
        loss()
    # The path of a GPU: no check, no assertion, a NaN.
    monkeypatch.setattr(checks, '_must_not_wait', lambda labels: True)
    assert loss().isnan().all()


def test_the_path_of_a_gpu_changes_no_bit(monkeypatch):
    labels = torch.tensor([0, 1, 1, 2])

    def values():
        for make in LOSSES.values():
            x = logits()
            loss = make()(x, labels)
            yield loss
            yield from torch.autograd.grad(loss, x)
        yield contrast(labels)
        yield head_losses(labels)

    checked = list(values())
    monkeypatch.setattr(checks, '_must_not_wait', lambda labels: True)
    assert all(map(torch.equal, checked, values()))


def test_contrast_without_prototypes_takes_any_label_from_0_on():
    labels = torch.tensor([7, 7, 10**9, 10**9])
    few = torch.tensor([0, 0, 1, 1])
    assert torch.equal(contrast(labels, False), contrast(few, False))
    with pytest.raises(ValueError, match='labels must be >= 0, got -1'):
        contrast(few - 1, False)


def test_losses_of_mmpretrain_ignore_no_label_either():
    head = LongTailHead(
        4, 8, loss_cls=dict(type='mmpretrain.CrossEntropyLoss')
    )
    samples = [DataSample() for _ in range(2)]
    for sample, label in zip(samples, (1, -100)):
        sample.gt_label = torch.tensor([label])
    with pytest.raises(ValueError, match=r'in \[0, 4\), got -100'):
        head.loss((torch.randn(2, 8),), samples)


@pytest.mark.parametrize('shape', [(4, 1), (3,), (4, C - 1), (4, C, 1)])
def test_shapes_that_do_not_fit_the_logits(shape):
    with pytest.raises(ValueError, match='labels of logits of shape'):
        LOSSES['logit-adjusted']()(logits(), torch.zeros(shape).long())


@pytest.mark.parametrize('shape', [(4, 1), (3,), ()])
def test_weights_of_samples_are_not_broadcast(shape):
    labels = torch.tensor([0, 1, 1, 2])
    with pytest.raises(ValueError, match=r'weight must have shape \(4,\)'):
        FocalLoss()(logits(), labels, weight=torch.ones(shape))


def test_seesaw_loss_checks_its_sizes_and_settings():
    labels = torch.tensor([0, 1, 1, 2])
    with pytest.raises(ValueError, match='num_classes=3, but the logits'):
        SeesawLoss(num_classes=3)(logits(), labels)
    with pytest.raises(ValueError, match='labels of logits of shape'):
        SeesawLoss(num_classes=C)(logits(), labels[:3])
    for name, value in dict(p=-1, q=10**400, eps=0, loss_weight='1').items():
        with pytest.raises((ValueError, TypeError), match=f'{name} must be'):
            SeesawLoss(num_classes=C, **{name: value})


def contrast_with(prototype_labels, log_weights=None, classes=3):
    torch.manual_seed(0)
    rows = F.normalize(torch.randn(4 + classes, 8), dim=1)
    return balanced_contrastive_loss(
        rows[:4],
        torch.tensor([0, 1, 1, 2]),
        rows[4:],
        prototype_labels=prototype_labels,
        prototype_log_weights=log_weights,
    )


@pytest.mark.parametrize(
    'classes, error, message',
    [
        ([0, 1, 1], ValueError, 'each class once, got 1 twice'),
        ([0, 1, -1], ValueError, 'labels must be >= 0, got -1'),
        ([0, 1], ValueError, r'3 rows, but its labels have shape \(2,\)'),
        ([0.0, 1.0, 2.0], TypeError, 'labels must be integers'),
    ],
)
def test_classes_of_prototypes(classes, error, message, monkeypatch):
    with pytest.raises(error, match=message):
        contrast_with(torch.tensor(classes))
    if 'twice' in message:  # the path of a GPU
        monkeypatch.setattr(checks, '_must_not_wait', lambda labels: True)
        assert contrast_with(torch.tensor(classes)).isnan()


def test_empty_slots_of_prototypes_may_name_any_class():
    plain = contrast_with(torch.tensor([2, 0]), classes=2)
    weights = torch.tensor([0, 0, -torch.inf, -torch.inf])
    for last in ([0, 2], [-1, -1], [7, 8]):
        for dtype in torch.int64, torch.int8:
            classes = torch.tensor([2, 0, *last], dtype=dtype)
            same = contrast_with(classes, weights, classes=4)
            assert torch.allclose(same, plain)


def test_classes_without_prototypes():
    rows, labels = torch.eye(4), torch.tensor([0, 1, 1, 2])
    with pytest.raises(ValueError, match='need prototypes'):
        balanced_contrastive_loss(rows, labels, prototype_labels=labels)
