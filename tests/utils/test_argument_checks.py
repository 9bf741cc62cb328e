"""Arguments that are checked are named."""

import math
from types import SimpleNamespace

import pytest
import torch

from bcl_mm.classes import shot_groups
from bcl_mm.datasets import Digits, LongTailDataset
from bcl_mm.datasets.long_tail import long_tail_counts
from bcl_mm.datasets.samplers import ClassBalancedSampler
from bcl_mm.engine.hooks import ClassComplementHook
from bcl_mm.engine.schedules import ShiftedCosineLR
from bcl_mm.evaluation import CalibrationError, ShotAccuracy
from bcl_mm.models.backbones import CIFARResNet
from bcl_mm.models.heads import BCLHead
from bcl_mm.models.losses import (
    BalancedContrastiveLoss,
    ClassBalancedLoss,
    FocalLoss,
    LDAMLoss,
    LogitAdjustedLoss,
    balanced_contrastive_loss,
    class_balanced_weights,
    focal_cross_entropy,
    ldam_cross_entropy,
    ldam_margins,
    logit_adjusted_cross_entropy,
)

LABELS = torch.arange(4)
LOGITS = torch.eye(4)
COUNTS = torch.tensor([8, 4, 2, 1])
DATASET = SimpleNamespace(targets=[0, 1] * 9)


def head(**options):
    return BCLHead(**{'num_classes': 4, 'in_channels': 8, **options})


def subset(**options):
    return LongTailDataset(DATASET, **{'imbalance_factor': 2, **options})


def schedule(**options):
    weight = torch.nn.Parameter(torch.zeros(1))
    return ShiftedCosineLR(torch.optim.SGD([weight], lr=1.0), **options)


def sampler(**options):
    return ClassBalancedSampler(DATASET, **options)


def digits(**options):
    return Digits('train', lazy_init=True, **options)


def contrast(**options):
    return balanced_contrastive_loss(LOGITS, LABELS, **options)


@pytest.mark.parametrize(
    ('make', 'name', 'wrong', 'least'),
    [
        (BalancedContrastiveLoss, 'temperature', 0, None),
        (contrast, 'temperature', 0, None),
        (LogitAdjustedLoss, 'tau', -1, 0),
        (LogitAdjustedLoss, 'loss_weight', -1, 0),
        (
            lambda tau: logit_adjusted_cross_entropy(
                LOGITS, LABELS, torch.zeros(4), tau
            ),
            'tau',
            -0.1,
            0,
        ),
        (FocalLoss, 'gamma', -1, 0),
        (FocalLoss, 'loss_weight', -1, 0),
        (
            lambda gamma: focal_cross_entropy(LOGITS, LABELS, gamma),
            'gamma',
            math.inf,
            0,
        ),
        (ClassBalancedLoss, 'beta', 1, 0),
        (ClassBalancedLoss, 'gamma', -1, 0),
        (
            lambda beta: class_balanced_weights(COUNTS, beta),
            'beta',
            -0.1,
            0,
        ),
        (LDAMLoss, 'max_margin', 0, None),
        (LDAMLoss, 'reweight_begin', 160, 0),
        (LDAMLoss, 'beta', 1, 0),
        (LDAMLoss, 'scale', 0, None),
        (LDAMLoss().set_logit_scale, 'scale', math.inf, None),
        (LDAMLoss().set_progress, 'progress', 2, 1),
        (
            lambda max_margin: ldam_margins(COUNTS, max_margin),
            'max_margin',
            math.inf,
            0.5,
        ),
        (
            lambda scale: ldam_cross_entropy(
                LOGITS, LABELS, torch.ones(4), scale
            ),
            'scale',
            -1,
            None,
        ),
        (head, 'num_classes', 1, 2),
        (head, 'in_channels', 0, 1),
        (head, 'hidden_channels', 0, 1),
        (head, 'out_channels', -1, 1),
        (head, 'scale', math.nan, None),
        (head, 'cls_weight', -1, 0),
        (head, 'con_weight', -0.35, 0),
        (head, 'tau_norm', -1, 0),
        (ClassComplementHook, 'begin_epoch', -1, 0),
        (ShotAccuracy, 'many', -1, 20),
        (ShotAccuracy, 'few', -1, 0),
        (CalibrationError, 'num_bins', 0, 1),
        (CalibrationError, 'few', -1, 0),
        (lambda many: shot_groups([1], many), 'many', -1, 100),
        (sampler, 'power', 2, 0),
        (sampler, 'seed', -1, 0),
        (subset, 'imbalance_factor', 0.01, 1),
        (subset, 'max_per_class', 0, 9),
        (subset, 'seed', 2**32, 0),
        (
            lambda num_classes: long_tail_counts(num_classes, 9, 2),
            'num_classes',
            1,
            2,
        ),
        (digits, 'test_per_class', 0, 1),
        (CIFARResNet, 'depth', -4, 8),
        (lambda **size: CIFARResNet(8, **size), 'in_channels', 0, 1),
        (lambda **size: CIFARResNet(8, **size), 'base_channels', 0, 2),
        (lambda **size: CIFARResNet(8, **size), 'stem_stride', 0, 1),
        (schedule, 'T_max', 0, 1),
    ],
)
def test_arguments_are_named(make, name, wrong, least):
    with pytest.raises(ValueError, match=f'{name} .*must be .*, got {wrong}'):
        make(**{name: wrong})
    for value in ('1', [1], True):
        with pytest.raises(TypeError, match=f'{name} .*must be a .*number,'):
            make(**{name: value})
    if least is not None:
        make(**{name: least})


@pytest.mark.parametrize(
    ('make', 'name'),
    [
        (BalancedContrastiveLoss, 'class_averaging'),
        (BalancedContrastiveLoss, 'class_complement'),
        (contrast, 'class_averaging'),
        (contrast, 'class_complement'),
        (head, 'classify_all_views'),
        (
            lambda enabled: head().projection.set_class_complement(enabled),
            'enabled',
        ),
        (ShotAccuracy, 'per_class'),
    ],
)
def test_flags_are_named(make, name):
    with pytest.raises(TypeError, match=f"{name} must be True .* got 'no'"):
        make(**{name: 'no'})
    make(**{name: False})


def test_a_seed_of_none():
    # Each process would choose a subset of its own.
    with pytest.raises(TypeError, match='seed must be a whole number, got No'):
        subset(seed=None)
    sampler(seed=None)  # drawn once, for all processes


@pytest.mark.parametrize('label', [-100, -1, 4])
@pytest.mark.parametrize(
    'make',
    [
        lambda: LogitAdjustedLoss(class_counts=COUNTS),
        lambda: ClassBalancedLoss(class_counts=COUNTS),
        lambda: LDAMLoss(class_counts=COUNTS),
        FocalLoss,
    ],
)
def test_no_label_is_ignored(make, label):
    labels = torch.tensor([0, 1, 2, label])
    with pytest.raises(ValueError, match=rf'in \[0, 4\), got {label}'):
        make()(LOGITS, labels)
