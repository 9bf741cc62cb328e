"""A loss that is not finite ends training before any weight changes."""

import copy
import os
import re
import socket

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.hooks import Hook
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS

from bcl_mm.utils import labels as checks
from tests.engine.hooks.common import INFO_HOOKS, make

UNGUARDED = dict(
    logger=dict(type='LoggerHook'),
    **INFO_HOOKS,
)
GUARDED = dict(UNGUARDED, finite_loss=dict(type='bcl_mm.FiniteLossHook'))
SGD = dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4)


@OPTIM_WRAPPERS.register_module()
class AmpOnCPU(AmpOptimWrapper):
    """mmengine's wrapper, which rejects the CPU, with torch's CPU scaler."""

    def __init__(self, scaled=True, **kwargs):
        OptimWrapper.__init__(self, **kwargs)
        self._scale_update_param = None
        self.loss_scaler = torch.amp.GradScaler('cpu', enabled=scaled)
        self.cast_dtype = torch.bfloat16


def spoil(loss, kind):
    if kind == 'nan':
        return loss * torch.nan
    if kind == 'inf':  # with finite gradients
        return loss + torch.inf
    loss = loss * 1
    if kind == 'gradient':
        loss.register_hook(lambda grad: grad * torch.inf)
    return loss


def state_of(runner):
    # BatchNorm's statistics belong to the forward pass.
    return copy.deepcopy(
        dict(
            weights=dict(runner.model.named_parameters()),
            momentum=runner.optim_wrapper.optimizer.state_dict()['state'],
        )
    )


def same(first, second):
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(
            same(first[key], second[key]) for key in first
        )
    return first is second or torch.equal(first, second)


def train(work_dir, kind, at, hooks=GUARDED, wrapper=None, **options):
    """Train with a spoilt loss in iteration ``at``; returns states there."""
    runner = make(
        work_dir,
        default_hooks=hooks,
        optim_wrapper=dict(dict(optimizer=SGD), **(wrapper or {})),
        val_cfg=None,
        val_dataloader=None,
        val_evaluator=None,
        log_level='INFO',
        **options,
    )
    head = getattr(runner.model, 'module', runner.model).head
    loss_of, seen = head.loss, []

    def loss(*args, **kwargs):
        losses = loss_of(*args, **kwargs)
        if runner.iter + 1 == at:
            seen.append(state_of(runner))
            losses['loss_cls'] = spoil(losses['loss_cls'], kind)
        return losses

    head.loss = loss
    error = None
    try:
        runner.train()
    except FloatingPointError as raised:
        error = str(raised)
    return runner, seen, error


WRAPPERS = {
    'plain': dict(),
    'clipped': dict(clip_grad=dict(max_norm=1.0)),
    'accumulating': dict(accumulative_counts=2),
    'mixed precision': dict(type='AmpOnCPU'),
    'mixed precision without a scale': dict(type='AmpOnCPU', scaled=False),
}


@pytest.mark.parametrize('wrapper', WRAPPERS)
@pytest.mark.parametrize('kind', ['nan', 'inf', 'gradient'])
def test_training_stops_before_the_step(tmp_path, kind, wrapper):
    scaled = wrapper == 'mixed precision'
    runner, (before,), error = train(
        tmp_path, kind, at=6, wrapper=WRAPPERS[wrapper]
    )
    if scaled and kind == 'gradient':  # left to the scaler
        assert error is None
        assert runner.iter == 8
        return
    assert same(state_of(runner), before)
    terms = {'nan': 'nan', 'inf': 'inf'}.get(kind, r'\d\.\d+')
    what = 'gradient' if kind == 'gradient' else 'loss'
    assert re.match(
        rf'iteration 6 \(epoch 2\): the {what} is not finite.*: '
        rf'loss={terms}, loss_cls={terms}\. ',
        error,
    )
    assert f'Last checkpoint: {tmp_path / "epoch_1.pth"}' in error
    # The second batch of 100, unshuffled.
    samples = runner.train_dataloader.dataset.indices[100:200]
    names = [f'image {i} of its dataset' for i in samples]
    first = ', '.join(names[:4])
    assert error.endswith(
        f'Images of the batch: {first}, and 96 more, which the log lists'
    )
    (log,) = tmp_path.glob('*/*.log')
    _, listed = log.read_text().split('Images of the batch that ended it:\n')
    assert listed.splitlines()[:100] == names
    assert not (tmp_path / 'epoch_2.pth').exists()
    checkpoint = torch.load(tmp_path / 'epoch_1.pth')
    assert all(
        value.isfinite().all() for value in checkpoint['state_dict'].values()
    )


def test_without_the_hook_the_weights_are_lost(tmp_path):
    """Proof that the other tests observe the effect of the hook."""
    runner, (before,), error = train(tmp_path, 'nan', at=6, hooks=UNGUARDED)
    assert error is None
    assert not same(state_of(runner), before)


def test_finite_training_is_the_same_to_the_bit(tmp_path):
    results = []
    for hooks in (UNGUARDED, GUARDED):
        work_dir = tmp_path / str(len(results))
        runner, _, error = train(work_dir, None, at=0, hooks=hooks)
        assert error is None
        logged = runner.message_hub.log_scalars['train/loss_cls'].data
        results.append((state_of(runner), logged[0].tolist()))
    (plain, plain_log), (guarded, guarded_log) = results
    assert same(plain, guarded)
    assert plain_log == guarded_log
    assert 'parse_losses' not in vars(runner.model)  # EMA copies them
    assert 'backward' not in vars(runner.optim_wrapper)


@pytest.mark.parametrize('hooks', [UNGUARDED, GUARDED])
def test_no_device_is_waited_for_more_often(tmp_path, monkeypatch, hooks):
    """One read of what the training step computed, not one per loss."""
    reads, on_host = [], set()

    def spy(name):
        original = getattr(torch.Tensor, name)

        def read(tensor, *args):
            # On a CPU, only its history tells whether a tensor was copied to
            # the host.
            if tensor.untyped_storage().data_ptr() not in on_host:
                reads.append(name)
            result = original(tensor, *args)
            if name == 'cpu':
                on_host.add(result.untyped_storage().data_ptr())
            return result

        monkeypatch.setattr(torch.Tensor, name, read)

    for name in ('item', 'tolist', 'cpu', 'numpy', '__bool__', '__float__'):
        spy(name)
    # On a CPU, labels are checked.
    monkeypatch.setattr(checks, '_must_not_wait', lambda labels: True)
    iterations = []

    class Count(Hook):
        priority = 'LOWEST'

        def before_train_iter(self, *args, **kwargs):
            reads.clear()
            on_host.clear()

        def after_train_iter(self, *args, **kwargs):
            iterations.append(list(reads))

    train(tmp_path, None, at=0, hooks=hooks, custom_hooks=[Count()])
    # Without the guard, logging reads loss and loss_cls.
    wanted = ['cpu'] if 'finite_loss' in hooks else ['item', 'item']
    assert iterations == [wanted] * 8


def raise_on_rank_1(rank, port, work_dir, results):
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE='2',
        MASTER_ADDR='127.0.0.1',
        MASTER_PORT=str(port),
    )
    dist.init_process_group('gloo')
    runner, (before,), error = train(
        work_dir,
        'inf' if rank == 1 else None,
        at=2,
        launcher='pytorch',
        cfg=dict(
            model_wrapper_cfg=dict(
                type='MMDistributedDataParallel', device_ids=None
            )
        ),
    )
    results[rank] = same(state_of(runner), before), error
    dist.destroy_process_group()


@pytest.mark.slow
def test_all_processes_stop(tmp_path):
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        port = server.getsockname()[1]
    with mp.get_context('spawn').Manager() as manager:
        results = manager.dict()
        mp.spawn(raise_on_rank_1, (port, tmp_path, results), nprocs=2)
        results = dict(results)
    for rank, what in (
        (0, 'the gradient is not finite: the loss of another process'),
        (1, 'the loss is not finite: loss=inf'),
    ):
        untouched, error = results[rank]
        assert untouched
        assert error.startswith(
            f'iteration 2 (epoch 1) on rank {rank}: {what}'
        )
