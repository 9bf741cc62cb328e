import pytest
import torch
from mmpretrain.structures import DataSample

from bcl_mm.models.weight_scaling import WeightScalingHead


def make(**options):
    plain = dict(type='mmpretrain.CrossEntropyLoss')
    return WeightScalingHead(
        3, 4, classifier='linear', loss_cls=plain, **options
    )


def step(head):
    samples = [DataSample().set_gt_label(i) for i in (0, 1, 2, 2)]
    head.loss((torch.randn(4, 4),), samples)['loss_cls'].backward()


def test_a_factor_of_one_changes_nothing():
    head = make()
    rows = torch.randn(5, 4)
    assert torch.equal(head.logits(rows), head.classifier(rows))
    with torch.no_grad():
        head.class_scales.copy_(torch.tensor([1.0, 2.0, 0.5]))
    expected = head.classifier(rows) * torch.tensor([1.0, 2.0, 0.5])
    assert torch.equal(head.eval()((rows,)), expected)
    assert 'class_scales' in head.state_dict()


@pytest.mark.parametrize('freeze', [True, False])
def test_what_learns(freeze):
    head = make(freeze_classifier=freeze)
    step(head)
    assert head.class_scales.grad.any()
    assert (head.classifier.weight.grad is None) == freeze


def test_a_flag_must_be_a_bool():
    with pytest.raises(TypeError, match='freeze_classifier must be True or F'):
        make(freeze_classifier='no')
