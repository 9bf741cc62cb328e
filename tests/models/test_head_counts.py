"""Class counts of a head and its losses."""

import pytest
import torch
from mmpretrain.structures import DataSample

from bcl_mm.classes import ClassInfo
from bcl_mm.models.heads import BCLHead, LongTailHead
from bcl_mm.utils.modules import set_class_info
from tests.models.head import COUNTS, batch, make


def test_counts_are_in_the_checkpoint():
    head = BCLHead(num_classes=5, in_channels=6)
    assert head.class_counts.tolist() == [0] * 5
    head.load_state_dict(
        make(hidden_channels=512, out_channels=128).state_dict()
    )
    assert head.class_counts.tolist() == COUNTS


def test_counts_are_checked():
    head = make()
    with pytest.raises(ValueError, match='num_classes is 5, but .* has 3'):
        set_class_info(head, ClassInfo([1, 2, 3]))
    with pytest.raises(ValueError, match='contradicts .* in class 4: '):
        set_class_info(head, ClassInfo([40, 20, 10, 5, 3]))
    free = make(class_counts=None)
    feats, samples = batch([0, 1])
    with pytest.raises(ValueError, match='needs class_counts'):
        free.loss(feats, samples)
    with pytest.raises(ValueError, match='none of class 3'):
        set_class_info(free, ClassInfo([40, 20, 10, 0, 3]))
    set_class_info(free, ClassInfo(COUNTS))
    assert free.loss(feats, samples)['loss_cls'].isfinite()


def test_counts_given_to_the_loss_are_the_heads():
    loss_cls = dict(type='bcl_mm.LogitAdjustedLoss', class_counts=COUNTS)
    head = make(class_counts=None, loss_cls=loss_cls)
    assert head.class_counts.tolist() == COUNTS
    loss_cls = dict(type='bcl_mm.LogitAdjustedLoss', class_counts=[9, 1])
    with pytest.raises(ValueError, match='num_classes is 5, but .* has 2'):
        make(class_counts=None, loss_cls=loss_cls)


def test_loaded_counts_reach_the_loss():
    head = make(class_counts=None)
    head.load_state_dict(make().state_dict())
    feats, samples = batch([0, 1])
    assert head.loss(feats, samples)['loss_cls'].isfinite()


def test_margins_know_the_scale_of_the_logits():
    head = make(loss_cls=dict(type='bcl_mm.LDAMLoss'), scale=16.0)
    assert head.loss_module.scale == 16.0
    with pytest.raises(ValueError, match='LDAMLoss needs a normalised class'):
        make(loss_cls=dict(type='bcl_mm.LDAMLoss'), classifier='linear')


@pytest.mark.parametrize(
    'settings',
    [
        dict(loss_cls=dict(type='bcl_mm.DBMLoss')),
        dict(branches=dict(proco=dict(type='bcl_mm.ProCo'))),
    ],
    ids=str,
)
def test_counts_of_a_checkpoint_reach_all_losses(settings):
    sizes = dict(num_classes=4, in_channels=6)
    counts = [9, 5, 2, 1]
    trained = LongTailHead(**sizes, **settings, class_counts=counts)
    head = LongTailHead(**sizes, **settings)
    head.load_state_dict(trained.state_dict())
    samples = [DataSample().set_gt_label(label) for label in (0, 3)]
    losses = head.loss((torch.randn(6, 6),), samples)
    assert all(torch.isfinite(value) for value in losses.values())
