"""Sharpness of the rare classes, against its definition."""

import pytest
import torch
from mmpretrain.structures import DataSample
from torch import nn

from bcl_mm.classes import ClassInfo
from bcl_mm.engine.focal_sam import FocalSAMOptimWrapper
from bcl_mm.models import ExpertHead, LongTailHead
from bcl_mm.utils.modules import set_class_info
from tests.engine.test_sam import PlainModel

COUNTS = [60, 30, 10]
LR, RHO, GAMMA, STRENGTH = 0.01, 0.3, 1.7, 0.6


class Model(PlainModel):
    """A layer and a head, in float64."""

    def __init__(self, head):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(4, 6)
        self.head = head
        self.double()
        if isinstance(head, LongTailHead):
            set_class_info(head, ClassInfo(COUNTS))

    def forward(self, inputs, data_samples=None, mode='loss'):
        return self.head.loss((self.layer(inputs),), data_samples)


def wrapper(model, **options):
    options = dict(dict(rho=RHO, gamma=GAMMA, strength=STRENGTH), **options)
    optimizer = torch.optim.SGD(model.parameters(), lr=LR)
    return FocalSAMOptimWrapper(optimizer=optimizer, **options)


def batch(soft=False):
    torch.manual_seed(1)
    samples = [DataSample().set_gt_label(label) for label in (0, 2, 1, 0, 2)]
    if soft:
        for sample in samples:
            sample.set_gt_score(torch.rand(3).softmax(0))
    return dict(inputs=torch.randn(5, 4).double(), data_samples=samples)


def functional_loss(weights, data, sample_weights, taus):
    """Mean of weighted losses, each written out, as a function of weights."""
    layer, bias, *classifiers = weights
    total = 0
    for image, sample, own in zip(*data.values(), sample_weights):
        feature = layer @ image + bias
        target = sample.gt_score.double() if 'gt_score' in sample else None
        parts = feature.chunk(len(taus))
        for part, classifier, tau in zip(parts, classifiers, taus):
            unit = part / part.norm()
            vectors = classifier / classifier.norm(dim=1, keepdim=True)
            prior = torch.tensor(COUNTS).double() / sum(COUNTS)
            log_p = (30 * vectors @ unit + tau * prior.log()).log_softmax(0)
            if target is None:
                value = -log_p[int(sample.gt_label)]
            else:
                value = -(target * log_p).sum()
            total = total + own * value / len(taus)
    return total / len(sample_weights)


@pytest.mark.parametrize('soft', [False, True], ids=['labels', 'soft labels'])
@pytest.mark.parametrize('taus', [(1,), (0, 1, 2)], ids=['one', 'experts'])
def test_a_step_equals_the_definition(taus, soft):
    head = LongTailHead(3, 6) if len(taus) == 1 else ExpertHead(3, 6)
    model = Model(head)
    weights = [p.detach().clone() for p in model.parameters()]
    data = batch(soft)
    focus = [STRENGTH * (1 - n / sum(COUNTS)) ** GAMMA for n in COUNTS]
    sharp = []
    for sample in data['data_samples']:
        if soft:
            shares = zip(focus, sample.gt_score.tolist())
            sharp.append(sum(f * share for f, share in shares))
        else:
            sharp.append(focus[int(sample.gt_label)])

    def gradient(at, sample_weights):
        at = [w.clone().requires_grad_() for w in at]
        loss = functional_loss(at, data, sample_weights, taus)
        return torch.autograd.grad(loss, at)

    plain = gradient(weights, [1] * 5)
    here = gradient(weights, sharp)
    norm = torch.cat([g.flatten() for g in here]).norm()
    uphill = [w + RHO * g / norm for w, g in zip(weights, here)]
    there = gradient(uphill, sharp)
    expected = [
        w - LR * (a - b + c) for w, a, b, c in zip(weights, plain, here, there)
    ]
    log = model.train_step(data, wrapper(model))
    for parameter, value in zip(model.parameters(), expected):
        assert torch.allclose(parameter, value, rtol=1e-6, atol=1e-8)
    loss = functional_loss(weights, data, [1] * 5, taus)
    assert float(log['loss']) == pytest.approx(float(loss), rel=1e-6)
    assert head.sample_weights is None


class Deaf(LongTailHead):
    """Does not weigh its samples."""

    def classification_loss(self, features, targets):
        return self.loss_module(self.logits(features), targets)


def test_bad_heads_and_settings():
    with pytest.raises(ValueError, match='gamma must be >= 0, got -1'):
        wrapper(Model(LongTailHead(3, 6)), gamma=-1)
    paco = dict(type='bcl_mm.GPaCo', hidden_channels=4, out_channels=4)
    options = dict(loss_cls=None, branches=dict(paco=paco))
    for head in (Deaf(3, 6), LongTailHead(3, 6, **options)):
        model = Model(head)
        data = batch()
        if head.branches:
            data['inputs'] = data['inputs'].repeat(3, 1)
        with pytest.raises(TypeError, match='weighs the samples of loss_cls'):
            model.train_step(data, wrapper(model))
        assert head.sample_weights is None
    strange = nn.Linear(6, 3)
    strange.loss = lambda feats, samples: dict(loss=feats[0].sum())
    model = Model(strange)
    with pytest.raises(TypeError, match='derives from LongTailHead, got Lin'):
        model.train_step(batch(), wrapper(model))
