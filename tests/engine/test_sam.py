"""Two passes a step: what they share, and what they leave."""

import argparse

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.optim.optimizer import amp_optimizer_wrapper
from torch import nn

from bcl_mm.cli.train import merge_options
from bcl_mm.engine.sam import SAMOptimWrapper
from bcl_mm.registry import MODELS
from tests.engine.hooks.common import INFO_HOOKS, make
from tests.models.test_branches import THREE_VIEWS, assert_same, state

SAM = dict(type='bcl_mm.SAMOptimWrapper')
SMALL = dict(hidden_channels=8, out_channels=8)


@MODELS.register_module()
class NoisyBranch(nn.Module):
    """Uses every generator, and a state that each step changes."""

    def __init__(self, num_classes, in_channels):
        super().__init__()
        self.register_buffer('steps', torch.zeros(()))
        self.layer = nn.Linear(in_channels, 1)
        self.seen = []

    def forward(self, features, labels, targets, head, **extra):
        self.seen.append((float(torch.rand(())), float(self.steps)))
        self.steps += 1
        rows = nn.functional.dropout(features[0], 0.5)
        return dict(loss=self.layer(rows).mean() + 0 * self.steps)


HEADS = {
    'BCL': dict(SMALL, type='bcl_mm.BCLHead'),
    'ProCo': dict(
        type='bcl_mm.LongTailHead',
        branches=dict(proco=dict(SMALL, type='bcl_mm.ProCo')),
    ),
    'noise': dict(
        type='bcl_mm.LongTailHead',
        branches=dict(noisy=dict(type='bcl_mm.NoisyBranch')),
        loss_cls=dict(type='bcl_mm.GCLLoss'),
    ),
}


def trained(folder, head, **optim):
    runner = make(
        folder,
        train=THREE_VIEWS,
        head=head,
        optim_wrapper=dict(dict(optimizer=dict(type='SGD', lr=0.1)), **optim),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        default_hooks=dict(
            INFO_HOOKS,
            sample_seed=dict(type='bcl_mm.SampleSeedHook'),
            class_complement=dict(
                type='bcl_mm.ClassComplementHook', num_sampled=2
            ),
            finite_loss=dict(type='bcl_mm.FiniteLossHook'),
        ),
    )
    runner.train()
    return runner


@pytest.mark.parametrize('name', HEADS)
@pytest.mark.long
def test_without_a_step_uphill_it_is_plain_training(name, tmp_path):
    plain = state(trained(tmp_path / 'plain', HEADS[name]))
    weight = 'head.classifier.weight'
    for kind in ('SAMOptimWrapper', 'FocalSAMOptimWrapper'):
        sam = dict(type=f'bcl_mm.{kind}')
        ours = trained(tmp_path / kind, HEADS[name], **sam, rho=0.0)
        assert_same(state(ours), plain)
        folder = tmp_path / f'uphill_{kind}'
        uphill = trained(folder, HEADS[name], **sam, rho=0.5)
        assert not torch.equal(state(uphill)[weight], plain[weight])


def test_both_passes_see_the_same(tmp_path):
    branch = trained(tmp_path, HEADS['noise'], **SAM).model.head.branches
    seen = branch['noisy'].seen
    assert seen[::2] == seen[1::2]
    assert [steps for _, steps in seen[::2]] == list(range(len(seen) // 2))


@pytest.mark.parametrize('rho', [None, 0.05])
@pytest.mark.long
def test_bfloat16_trains_nearly_as_float32(rho, tmp_path, monkeypatch):
    # MMEngine's wrapper asks for a GPU; autocast does not.
    module = amp_optimizer_wrapper
    monkeypatch.setattr(module, 'is_cuda_available', lambda: True)
    kind = 'OptimWrapper' if rho is None else 'bcl_mm.SAMOptimWrapper'
    extra = dict() if rho is None else dict(rho=rho)
    args = argparse.Namespace(
        amp='bf16',
        **dict.fromkeys(['resume', 'allow_changed_data', 'auto_scale_lr']),
        **dict.fromkeys(['no_validate', 'no_persistent_workers']),
    )
    cfg = Config(dict(optim_wrapper=dict(type=kind, **extra)))
    merge_options(cfg, args)
    assert cfg.optim_wrapper.dtype == 'bfloat16'
    lower = trained(tmp_path / 'bf16', HEADS['BCL'], **cfg.optim_wrapper)
    assert lower.optim_wrapper.cast_dtype == torch.bfloat16
    assert not lower.optim_wrapper.loss_scaler.is_enabled()
    full = trained(tmp_path / 'full', HEADS['BCL'], type=kind, **extra)
    weight = 'head.classifier.weight'
    difference = (state(lower)[weight] - state(full)[weight]).norm()
    assert 0 < difference < 0.1 * state(full)[weight].norm()


class PlainModel(BaseModel):
    """A model that takes its data as they are."""

    def train_step(self, data, optim_wrapper):
        with optim_wrapper.optim_context(self):
            loss, log_vars = self.parse_losses(self(**data))
        optim_wrapper.update_params(loss)
        return log_vars


class Norm(PlainModel):
    """A loss whose gradient is easy to write down."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([3.0, 4.0]).double())
        self.fails = False

    def forward(self, inputs, data_samples=None, mode='loss'):
        if self.fails and self.weight[0] != 3:
            raise KeyError('in the second pass')
        return dict(loss=(self.weight**4).sum() * inputs)


def wrapper(model, **options):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    return SAMOptimWrapper(optimizer=optimizer, **options)


def test_a_step_equals_the_definition():
    model = Norm()
    log = model.train_step(dict(inputs=2.0), wrapper(model, rho=0.3))
    weight = torch.tensor([3.0, 4.0]).double()
    gradient = 8 * weight**3
    uphill = weight + 0.3 * gradient / gradient.norm()
    expected = weight - 0.01 * 8 * uphill**3
    assert torch.allclose(model.weight, expected, rtol=1e-9)
    assert log['loss'] == 2 * (3**4 + 4**4)  # that of the first pass


class Remembers(Norm):
    """Has a buffer that each pass changes."""

    def __init__(self):
        super().__init__()
        self.register_buffer('mean', torch.zeros(2).double())

    def forward(self, *args, **options):
        self.mean += self.weight.detach()
        return super().forward(*args, **options)


def test_buffers_are_those_of_the_first_pass():
    model = Remembers()
    model.train_step(dict(inputs=2.0), wrapper(model, rho=0.3))
    assert model.mean.tolist() == [3.0, 4.0]


def test_an_error_in_the_second_pass_leaves_the_weights():
    model = Norm()
    model.fails = True
    with pytest.raises(KeyError):
        model.train_step(dict(inputs=2.0), wrapper(model, rho=0.3))
    assert model.weight.tolist() == [3.0, 4.0]


def test_a_gradient_that_overflows_moves_nothing():
    model = Norm()
    optim = wrapper(model, rho=0.3)
    model.weight.grad = torch.tensor([torch.inf, 1.0]).double()
    optim._ascend([model.weight])
    assert model.weight.tolist() == [3.0, 4.0]


def test_bad_settings():
    with pytest.raises(ValueError, match='rho must be >= 0, got -1'):
        wrapper(Norm(), rho=-1)
    with pytest.raises(ValueError, match='SAM does not accumulate'):
        wrapper(Norm(), accumulative_counts=2)
    model = Norm()
    with pytest.raises(ValueError, match='SAM must see the call'):
        wrapper(model).update_params(model(1.0)['loss'])
    assert issubclass(SAMOptimWrapper, OptimWrapper)
