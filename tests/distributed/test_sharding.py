"""A sharded model on two processes against DDP, in float64."""

import re
from types import SimpleNamespace

import pytest
import torch
from mmengine.runner import Runner
from mmengine.utils import digit_version

from bcl_mm.engine.hooks import FiniteLossHook
from bcl_mm.models.averaging import ExponentialMovingAverage
from bcl_mm.models.momentum import MomentumClassifier
from bcl_mm.models.sharding import ShardedModel
from bcl_mm.utils.checkpoint import load_checkpoint
from bcl_mm.utils.distributed import is_sharded
from tests.distributed.common import on_ranks
from tests.distributed.test_training import config

pytestmark = pytest.mark.skipif(
    digit_version(torch.__version__) < digit_version('2.7'),
    reason='its fully_shard needs a GPU',
)
SHARDED = dict(type='bcl_mm.ShardedModel', units=['backbone.blocks.0'])
DDP = dict(
    type='MMDistributedDataParallel',
    device_ids=None,
    broadcast_buffers=False,
    find_unused_parameters=False,
)
CLIPPED = dict(clip_grad=dict(max_norm=1.0))
BRANCHES = dict(
    proco=dict(type='bcl_mm.ProCo', out_channels=8, norm_cfg=None),
    # A queue of whole batches, whose inner order does not matter.
    paco=dict(type='bcl_mm.GPaCo', out_channels=8, queue_size=144),
)
BCL = 'bcl, complement off at first'
CASES = {
    BCL: dict(begin_epoch=1, optim=CLIPPED),
    'SAM, other branches': dict(
        branches=BRANCHES,
        epochs=1,
        optim=dict(type='bcl_mm.SAMOptimWrapper', rho=0.1),
    ),
}


def settings(folder, world_size, wrapper=None, branches=None, **options):
    cfg = config(folder, world_size, **options)
    cfg.model.head.branches = branches
    cfg.train_dataloader.dataset.update(max_per_class=12, imbalance_factor=4)
    cfg.param_scheduler = None
    cfg.default_hooks.checkpoint = dict(
        type='bcl_mm.SafeCheckpointHook', interval=1
    )
    if wrapper is not None:
        cfg.launcher, cfg.model_wrapper_cfg = 'pytorch', wrapper
    return cfg


def train(cfg):
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


def weights(path):
    return load_checkpoint(str(path))


def trainings(rank, world_size, folder):
    """The share of the weights that a process holds, and the errors."""
    for case, options in CASES.items():
        for name, wrapper in (('ddp', DDP), ('sharded', SHARDED)):
            cfg = settings(folder / case / name, 2, wrapper, **options)
            runner = train(cfg)
    model = runner.model.module
    assert all(is_sharded(p) for p in model.parameters())
    share = sum(p.to_local().numel() for p in model.parameters())
    share /= sum(p.numel() for p in model.parameters())
    path = folder / BCL / 'sharded' / 'epoch_1.pth'
    cfg = settings(folder / 'resumed', 2, SHARDED, **CASES[BCL])
    cfg.update(load_from=str(path), resume=True)
    train(cfg)
    return dict(
        share=share,
        errors=dict(errors(folder, model)),
        spoilt=spoilt(rank, folder),
    )


def errors(folder, model):
    with pytest.raises(ValueError) as error:
        model.head.class_vectors()
    yield 'class vectors', str(error.value)
    with pytest.raises(ValueError) as error:
        ExponentialMovingAverage(model)
    yield 'averages', str(error.value)
    checkpoint = dict(state_dict=model.state_dict())  # of MMEngine's hook
    with pytest.raises(ValueError) as error:
        FiniteLossHook().before_save_checkpoint(None, checkpoint)
    yield 'stock checkpoints', str(error.value)
    with pytest.raises(ValueError) as error:
        ShardedModel(torch.nn.Linear(2, 2), units=['neck.x'])
    yield 'units', str(error.value)
    with pytest.raises(TypeError) as error:
        ShardedModel(object.__new__(MomentumClassifier))
    yield 'momentum', str(error.value)
    scaled = SimpleNamespace(loss_scaler=torch.amp.GradScaler('cpu'))
    with pytest.raises(ValueError) as error:
        ShardedModel.train_step(None, None, scaled)
    yield 'loss scale', str(error.value)


def spoilt(rank, folder):
    """What ends a training in which rank 1 has NaN images."""
    runner = Runner.from_cfg(settings(folder / 'spoilt', 2, SHARDED))
    if rank == 1:
        runner.model.module.data_preprocessor.mean.fill_(torch.nan)
    with pytest.raises(FloatingPointError) as error:
        runner.train()
    return str(error.value)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('sharded')


@pytest.fixture(scope='module')
def results(folder):
    return on_ranks(trainings, (2,), folder)[2]


def assert_close(first, second, limit):
    assert first.keys() == second.keys()
    for name, want in second.items():
        assert type(first[name]) is torch.Tensor, name
        error = (first[name].double() - want.double()).abs().max()
        assert error <= limit, name


def momentum(content):
    state = content['optimizer']['state']
    return {i: own['momentum_buffer'] for i, own in state.items()}


@pytest.mark.parametrize('case', CASES)
def test_weights_are_those_of_ddp(case, folder, results):
    epochs = CASES[case].get('epochs', 2)
    ddp, ours = (
        weights(folder / case / name / f'epoch_{epochs}.pth')
        for name in ('ddp', 'sharded')
    )
    assert_close(ours['state_dict'], ddp['state_dict'], 1e-9)
    assert_close(momentum(ours), momentum(ddp), 1e-9)


def test_each_process_has_its_share(results):
    assert all(0.3 < result['share'] < 0.7 for result in results)
    assert sum(result['share'] for result in results) == pytest.approx(1)


def test_it_resumes_bit_for_bit(folder, results):
    whole, resumed = (
        weights(path / 'epoch_2.pth')
        for path in (folder / BCL / 'sharded', folder / 'resumed')
    )
    assert_close(resumed['state_dict'], whole['state_dict'], 0)
    assert_close(momentum(resumed), momentum(whole), 0)


def test_one_process_resumes_from_it(folder, results, tmp_path):
    path = folder / BCL / 'sharded'
    cfg = settings(tmp_path, 1, **CASES[BCL])
    cfg.update(load_from=str(path / 'epoch_1.pth'), resume=True)
    cfg.default_hooks.class_info.allow_changed_data = True
    train(cfg)
    alone, sharded = (
        weights(path / 'epoch_2.pth')['state_dict']
        for path in (tmp_path, path)
    )
    assert_close(alone, sharded, 1e-9)


def test_a_nan_of_one_process_ends_all(results):
    first, second = (result['spoilt'] for result in results)
    assert 'iteration 1 (epoch 1) on rank 0: the loss is not finite' in first
    assert 'iteration 1 (epoch 1) on rank 1: the loss is not finite' in second


@pytest.mark.parametrize(
    'what, message',
    [
        ('class vectors', r'BCLHead.class_vectors\(\) reads weights outside'),
        ('averages', 'ExponentialMovingAverage reads weights outside the for'),
        ('stock checkpoints', 'is saved by bcl_mm.SafeCheckpointHook'),
        ('momentum', 'MomentumClassifier cannot be a ShardedModel'),
        ('loss scale', 'works without a loss scale: use --amp bf16'),
        ('units', r"units must name parts of the model, got \['neck.x'\]"),
    ],
)
def test_what_cannot_be_sharded_is_refused(what, message, results):
    assert re.search(message, results[0]['errors'][what])
