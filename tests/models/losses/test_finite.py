"""Losses and gradients stay finite for extreme inputs."""

import pytest
import torch
import torch.nn.functional as F
from mmpretrain.structures import DataSample

from bcl_mm.classes import ClassInfo
from bcl_mm.models.heads import BCLHead
from bcl_mm.models.losses import (
    BalancedBCELoss,
    BalancedContrastiveLoss,
    ClassBalancedLoss,
    DBMLoss,
    FocalLoss,
    GCLLoss,
    LabelAwareSmoothingLoss,
    LDAMLoss,
    LogitAdjustedLoss,
    VSLoss,
    balanced_contrastive_loss,
)
from bcl_mm.utils.modules import set_class_info

HALF = [torch.float16, torch.bfloat16]
DTYPES = [torch.float32, *HALF]
TEMPERATURES = [0.01, 0.07, 1.0]


def assert_finite(loss, *leaves):
    assert loss.isfinite()
    assert loss.dtype == torch.float32
    loss.backward()
    for leaf in leaves:
        assert leaf.grad.isfinite().all()


def unit(*shape):
    return F.normalize(torch.randn(*shape), dim=1)


def contrastive_case(name):
    """Features, labels, prototypes."""
    features, labels = unit(12, 16), torch.arange(12) % 5
    prototypes = unit(5, 16)
    if name == 'one pair':
        features, labels = features[:2], torch.tensor([3, 3])
    elif name == 'two rows of two classes':
        features, labels = features[:2], torch.tensor([3, 1])
    elif name == 'one class':
        labels = torch.full((12,), 2)
    elif name == 'C = 2':
        labels, prototypes = labels % 2, prototypes[:2]
    elif name == 'C = 10,000':
        prototypes = unit(10_000, 16)
        labels[0] = 9_999
    elif name == 'all identical':
        features = features[:1].repeat(12, 1)
        prototypes = features[:5].clone()
    elif name == 'all opposite':
        features[::2] = features[0].clone()
        features[1::2] = -features[0].clone()
    elif name == 'zero rows':
        features[:4] = 0
        prototypes[1] = 0
    return features, labels, prototypes


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize(
    'case',
    [
        'plain',
        'one pair',
        'two rows of two classes',
        'one class',
        'C = 2',
        'C = 10,000',
        'all identical',
        'all opposite',
        'zero rows',
    ],
)
def test_contrastive(case, dtype):
    for temperature in TEMPERATURES:
        for averaging in (True, False):
            for complement in (True, False):
                features, labels, prototypes = contrastive_case(case)
                features = features.to(dtype).requires_grad_()
                prototypes = prototypes.to(dtype).requires_grad_()
                loss = balanced_contrastive_loss(
                    features,
                    labels,
                    prototypes,
                    temperature,
                    averaging,
                    complement,
                )
                leaves = [features] + [prototypes] * complement
                assert_finite(loss, *leaves)
                assert loss > -1e-3


@pytest.mark.parametrize('dtype', HALF)
def test_contrastive_maths_is_float32_under_autocast(dtype):
    features, labels, prototypes = contrastive_case('plain')
    results = []
    for enabled in (False, True):
        for x in (features, prototypes):
            x.requires_grad_().grad = None
        with torch.autocast('cpu', dtype=dtype, enabled=enabled):
            loss = BalancedContrastiveLoss(0.01)(features, labels, prototypes)
        loss.backward()
        results.append((loss, features.grad, prototypes.grad))
    for plain, mixed in zip(*results):  # bit for bit
        assert mixed.dtype == torch.float32
        assert torch.equal(plain, mixed)
    # Half-precision rows add only their own rounding.
    halves = features.to(dtype), prototypes.to(dtype)
    with torch.autocast('cpu', dtype=dtype):
        mixed = balanced_contrastive_loss(halves[0], labels, halves[1], 0.01)
    floats = [half.float() for half in halves]
    plain = balanced_contrastive_loss(floats[0], labels, floats[1], 0.01)
    assert torch.equal(plain, mixed)


def counts(num_classes):
    """From 10 million images per class to one."""
    return torch.logspace(7, 0, num_classes).long().tolist()


def losses(num_classes):
    n = counts(num_classes)
    return [
        LogitAdjustedLoss(class_counts=n),
        LogitAdjustedLoss(tau=3.0, class_counts=n),
        LDAMLoss(class_counts=n),
        LDAMLoss(class_counts=n, reweight_begin=0),
        ClassBalancedLoss(class_counts=n),
        ClassBalancedLoss(class_counts=n, beta=1 - 1e-12, gamma=2.0),
        ClassBalancedLoss(class_counts=n, beta=0.0, gamma=0.5),
        FocalLoss(),
        FocalLoss(gamma=0.5),
        VSLoss(class_counts=n),
        BalancedBCELoss(class_counts=n),
        LabelAwareSmoothingLoss(class_counts=n),
        GCLLoss(class_counts=n),
        DBMLoss(class_counts=n),
    ]


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('num_classes', [2, 100, 10_000])
@pytest.mark.parametrize('size', [0.0, 1.0, 1e4])
def test_classification(num_classes, size, dtype):
    for loss in losses(num_classes):
        for labels in (
            torch.arange(6) % num_classes,
            torch.full((6,), num_classes - 1),  # of one image
        ):
            logits = torch.randn(6, num_classes)
            logits[0, -1] = logits[1, 0] = 6.0  # right, and wrong
            logits = (size * logits).to(dtype).requires_grad_()
            assert_finite(loss(logits, labels), logits)


HEAD_LOSSES = {
    'logit adjustment': dict(type='bcl_mm.LogitAdjustedLoss'),
    'LDAM': dict(type='bcl_mm.LDAMLoss', reweight_begin=0),
    'class-balanced': dict(type='bcl_mm.ClassBalancedLoss'),
    'focal': dict(type='bcl_mm.FocalLoss', gamma=0.5),
    'vector scaling': dict(type='bcl_mm.VSLoss'),
    'balanced BCE': dict(type='bcl_mm.BalancedBCELoss'),
    'label-aware smoothing': dict(type='bcl_mm.LabelAwareSmoothingLoss'),
    'GCL': dict(type='bcl_mm.GCLLoss'),
    'DBM': dict(type='bcl_mm.DBMLoss'),
}


def samples(labels):
    return [DataSample().set_gt_label(label) for label in labels]


def head_features(case, rows):
    features = torch.randn(rows, 16)
    if case == 'all identical':
        features[:] = features[0].clone()
    elif case == 'zero rows':
        features[::2] = 0
    elif case == 'all zero':
        features[:] = 0
    elif case == 'large':
        features *= 1e3
    return features


@pytest.mark.parametrize('loss_cls', HEAD_LOSSES)
@pytest.mark.parametrize(
    'case', ['plain', 'all identical', 'zero rows', 'all zero', 'large']
)
def test_head(case, loss_cls):
    for num_classes in (2, 1000):
        for dtype in DTYPES:
            head = BCLHead(
                num_classes=num_classes,
                in_channels=16,
                hidden_channels=16,
                out_channels=8,
                loss_cls=HEAD_LOSSES[loss_cls],
                loss_con=dict(
                    type='bcl_mm.BalancedContrastiveLoss', temperature=0.01
                ),
            )
            set_class_info(head, ClassInfo(counts(num_classes)))
            for labels in ([0, 1, 1], [1]):
                features = head_features(case, 3 * len(labels))
                features = features.to(dtype).requires_grad_()
                with torch.autocast(
                    'cpu',
                    dtype if dtype in HALF else torch.bfloat16,
                    enabled=dtype in HALF,
                ):
                    terms = head.loss((features,), samples(labels))
                    loss = terms['loss_cls'] + terms['loss_con']
                assert_finite(loss, features, *head.parameters())


@pytest.mark.parametrize('classifier', ['cosine', 'linear'])
def test_nan_features_are_not_hidden(classifier):
    head = BCLHead(num_classes=3, in_channels=16, classifier=classifier)
    set_class_info(head, ClassInfo([3, 2, 1]))
    features = torch.randn(6, 16)
    features[4, 0] = torch.nan
    terms = head.loss((features,), samples([0, 1]))
    assert terms['loss_con'].isnan()
