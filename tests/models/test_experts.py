"""Experts with a shared trunk against their definition."""

import math

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from mmpretrain.structures import DataSample

from bcl_mm.models import ExpertHead
from bcl_mm.models.losses import ReversedPriorLoss
from tests.models.losses.test_reweighting import assert_same

COUNTS = [9, 900, 1, 90]  # not sorted
RESNET = dict(type='bcl_mm.CIFARResNet', depth=14, base_channels=4)


def samples(labels):
    return [DataSample().set_gt_label(label) for label in labels]


def adjusted(logits, labels, shifts):
    total = 0
    for row, label in zip(logits, labels):
        row = [f + s for f, s in zip(row, shifts)]
        total = total + sum(f.exp() for f in row).log() - row[label]
    return total / len(logits)


def log_prior():
    return [math.log(n / sum(COUNTS)) for n in COUNTS]


@pytest.mark.parametrize('classifier', ['cosine', 'linear'])
def test_balpoe_equals_the_definition(classifier):
    options = dict(classifier=classifier, scale=8.0, class_counts=COUNTS)
    head = ExpertHead(4, 9, taus=[0, 1, 2], **options).double()
    features = torch.randn(6, 9, dtype=torch.float64, requires_grad=True)
    labels = [0, 1, 2, 3, 1, 1]
    ours = head.loss((features,), samples(labels))['loss_cls']
    total, mean = 0, 0
    for number, tau in enumerate((0, 1, 2)):
        own = features[:, 3 * number : 3 * number + 3]
        logits = head.classifier[number](own)
        mean = mean + logits / 3
        shifts = [tau * p for p in log_prior()]
        total = total + adjusted(logits, labels, shifts) / 3
    assert_same(ours, total, features)
    assert torch.allclose(head.eval()((features,)), mean)


def test_soft_labels_reach_every_expert():
    head = ExpertHead(4, 9, class_counts=COUNTS)
    mixed = samples([0, 1])
    mixed[0].set_gt_score(torch.tensor([0.5, 0.5, 0, 0]))
    loss = head.loss((torch.randn(2, 9),), mixed)['loss_cls']
    assert torch.isfinite(loss)


def test_the_third_expert_of_sade_has_the_reversed_prior():
    logits = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 1, 2, 3, 1])
    counts = [9, 900, 90, 1]  # whose ranks are 3, 1, 2, 4
    p = (torch.tensor(counts).double() / 1000).log()
    # The share of rank 5 - r: of 90, 1, 9 and 900. (Not the counts from last
    # to first, which reverse sorted ranks alone.)
    opposite = [p[2], p[3], p[0], p[1]]
    shifts = [own - 2 * other for own, other in zip(p, opposite)]
    loss = ReversedPriorLoss(2.0, class_counts=counts)(logits, labels)
    assert_same(loss, adjusted(logits, labels, shifts), logits)


def test_other_losses_learn_scale_and_counts():
    margin = dict(type='bcl_mm.LDAMLoss', reweight_begin=1)
    plain = dict(type='mmpretrain.CrossEntropyLoss')
    head = ExpertHead(
        4, 6, losses=[plain, margin], scale=12.0, class_counts=COUNTS
    )
    assert head.loss_module.losses[1].scale == 12.0
    loss = head.loss((torch.randn(2, 6),), samples([0, 1]))['loss_cls']
    assert torch.isfinite(loss)


@pytest.mark.parametrize('first, shared', [(-2, 4), (0, 0), (3, 3)])
def test_the_experts_share_the_trunk(first, shared):
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='bcl_mm.SharedTrunk',
            backbone=RESNET,
            stage='blocks',
            first=first,
        )
    )
    model.init_weights()
    images = torch.randn(2, 3, 8, 8)
    (features,) = model.eval()(images)
    assert features.shape[:2] == (2, 3 * 16)
    backbone = model.backbone
    trunk = list(backbone.blocks[:-1]) if shared else []
    side = backbone.blocks[-1] if shared else backbone.blocks
    assert len(trunk) == shared
    x = backbone.stem(images)
    for block in trunk:
        x = block(x)
    parts = [part(x) for part in side.parts]
    assert torch.equal(features, torch.cat(parts, dim=1))
    # Their weights differ from the start.
    assert not torch.allclose(parts[0], parts[1])


def test_mmpretrains_resnet_has_experts():
    resnet = dict(type='mmpretrain.ResNet', depth=18)
    plain = MODELS.build(resnet)
    model = MODELS.build(dict(type='bcl_mm.SharedTrunk', backbone=resnet))
    (features,) = model.eval()(torch.randn(1, 3, 32, 32))
    assert features.shape == (1, 3 * 512, 1, 1)
    first, second, _ = features.chunk(3, dim=1)  # not copies of one another
    assert not torch.allclose(first, second)
    size, whole, last = (
        sum(p.numel() for p in m.parameters())
        for m in (model, plain, plain.layer4)
    )
    assert size == whole + 2 * last


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(stage='layer5'), "has no stage 'layer5' that is a Sequential"),
        (dict(stage='blocks', first=6), r'first must be in \[-6, 5\]'),
        (dict(stage='blocks', num_experts=1), 'num_experts must be >= 2'),
    ],
)
def test_bad_trunks(options, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build(
            dict(type='bcl_mm.SharedTrunk', backbone=RESNET, **options)
        )


def test_features_of_another_width_are_an_error():
    with pytest.raises(ValueError, match='a multiple of the 3 experts, got 8'):
        ExpertHead(4, 8)


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(taus=1.0), 'taus must be a list of one for each.* got 1.0'),
        (dict(taus=[]), r'taus must be a list of one for each.* got \[\]'),
        (dict(losses=[]), r'losses must be a list of one .* got \[\]'),
        (dict(taus=[0, 'a']), "tau must be a number, got 'a'"),
    ],
)
def test_experts_are_a_list(options, message):
    with pytest.raises(TypeError, match=message):
        ExpertHead(4, 6, **options)


def test_scores_are_those_of_the_mean_logits():
    head = ExpertHead(4, 9, class_counts=COUNTS).eval()
    features = torch.randn(2, 9)
    predicted = head.predict((features,), samples([0, 1]))
    scores = head.logits(features).softmax(1)
    for sample, score in zip(predicted, scores):
        assert torch.allclose(sample.pred_score, score)
        assert F.one_hot(sample.pred_label, 4).sum() == 1
