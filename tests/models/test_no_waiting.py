"""Nothing of a training step waits for the device."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from bcl_mm.utils import labels as checks
from tests.models.head import batch, make

# What reads a value from the device, or has a shape that depends on one.
WAITING = {
    '_local_scalar_dense',
    'is_nonzero',
    'masked_select',
    'nonzero',
    'unique',
    '_unique2',
    'unique_consecutive',
    'unique_dim',
    'bincount',
    'equal',
}
HEADS = {
    'bcl': dict(),
    'sampled classes': dict(),
    'no averaging': dict(
        loss_con=dict(
            type='bcl_mm.BalancedContrastiveLoss', class_averaging=False
        )
    ),
    'linear': dict(classifier='linear'),
    'focal': dict(loss_cls=dict(type='bcl_mm.FocalLoss')),
    'class-balanced': dict(loss_cls=dict(type='bcl_mm.ClassBalancedLoss')),
    'ldam': dict(loss_cls=dict(type='bcl_mm.LDAMLoss', reweight_begin=0.0)),
    'vector scaling': dict(loss_cls=dict(type='bcl_mm.VSLoss')),
    'balanced BCE': dict(loss_cls=dict(type='bcl_mm.BalancedBCELoss')),
    'smoothing': dict(loss_cls=dict(type='bcl_mm.LabelAwareSmoothingLoss')),
    'GCL': dict(loss_cls=dict(type='bcl_mm.GCLLoss')),
    'DBM': dict(loss_cls=dict(type='bcl_mm.DBMLoss')),
    'ProCo': dict(branches=dict(proco=dict(type='bcl_mm.ProCo'))),
}


class Operators(TorchDispatchMode):
    """Remembers the names of all operators."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def step(head, feats, samples):
    losses = head.loss(feats, samples)
    sum(v for k, v in losses.items() if k.startswith('loss')).backward()


def build(name):
    head = make(**HEADS[name])
    head.projection.set_class_complement(
        True, 2 if name == 'sampled classes' else None
    )
    return head


@pytest.mark.parametrize('name', HEADS)
def test_no_operator_waits(name, monkeypatch):
    # On a CPU, labels are checked.
    monkeypatch.setattr(checks, '_must_not_wait', lambda labels: True)
    head = build(name)
    feats, samples = batch([0, 1, 1, 4])
    step(head, feats, samples)  # what is cached after the first
    with Operators() as operators:
        step(head, feats, samples)
    assert 'addmm_' in operators.names
    assert not operators.names & WAITING


@pytest.mark.skipif(not torch.cuda.is_available(), reason='wants a GPU')
@pytest.mark.parametrize('name', HEADS)
def test_cuda_sees_no_waiting(name):
    head = build(name).cuda()
    feats, samples = batch([0, 1, 1, 4])
    feats = tuple(f.cuda() for f in feats)
    samples = [sample.to('cuda') for sample in samples]
    step(head, feats, samples)
    torch.cuda.set_sync_debug_mode('error')
    try:
        step(head, feats, samples)
    finally:
        torch.cuda.set_sync_debug_mode('default')
