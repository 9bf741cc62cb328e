"""Computing time of trainings, also resumed ones."""

import json
import time

import numpy as np
import pytest
import torch
from mmengine.dataset import BaseDataset
from mmengine.hooks import Hook

from bcl_mm.apis.cost import Cost, duration, mean_cost, training_cost
from bcl_mm.apis.run_files import read_scalars
from bcl_mm.engine.hooks.cost import CostHook, _GPUClock, cpu_seconds
from bcl_mm.registry import DATASETS, HOOKS
from tests.cli.common import NO_GPU
from tests.engine.hooks.common import INFO_HOOKS, make


def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


@HOOKS.register_module()
class BurningHook(Hook):
    """Works in each step, sleeps in it, and works in validation."""

    def after_train_iter(self, *_, **__):
        burn(0.2)
        time.sleep(0.1)

    def after_val_iter(self, *_, **__):
        burn(0.5)


@DATASETS.register_module()
class BurningImages(BaseDataset):
    """Ten images, each of which takes 0.1 s of a data worker."""

    METAINFO = dict(classes=tuple('abcdefghij'))

    def load_data_list(self):
        return [dict(gt_label=i) for i in range(10)]

    def prepare_data(self, index):
        burn(0.1)
        image = np.full((8, 8, 1), index, np.uint8)
        return self.pipeline(dict(img=image, gt_label=index))


SETTINGS = dict(
    default_hooks=dict(
        **INFO_HOOKS,
        checkpoint=dict(type='bcl_mm.SafeCheckpointHook', interval=1),
        cost=dict(type='bcl_mm.CostHook'),
    ),
)
BURNING = dict(
    SETTINGS,
    custom_hooks=[dict(type='bcl_mm.BurningHook', priority='ABOVE_NORMAL')],
)

PACK = dict(type='mmpretrain.PackInputs')


def costs(folder):
    return [line for line in read_scalars(folder) if 'cost/epochs' in line]


@pytest.mark.long
def test_epochs_without_sleep_and_validation(tmp_path):
    runner = make(tmp_path, **BURNING)
    runner.train()
    first, second = costs(tmp_path)
    steps = len(runner.train_dataloader)
    # Validation would add 2.5 seconds (and the net a fraction of one).
    for line, epoch in ((first, 1), (second, 2)):
        assert 0.2 * steps <= line['cost/cpu_seconds'] < 0.2 * steps + 2
        assert line['epoch'] == line['cost/epochs'] == epoch
        assert line['step'] == epoch * steps
    total = first['cost/cpu_seconds'] + second['cost/cpu_seconds']
    assert second['cost/cpu_seconds_total'] == pytest.approx(total)
    meta = torch.load(tmp_path / 'epoch_2.pth')['meta']
    assert meta['training_cost'] == dict(cpu=[pytest.approx(total), 2, 2])
    assert training_cost(read_scalars(tmp_path)) == Cost(
        'cpu', pytest.approx(total / 2), 2, 2
    )


@pytest.mark.long
def test_passes_of_sharpness_aware_steps(tmp_path):
    sam = dict(
        type='bcl_mm.SAMOptimWrapper', optimizer=dict(type='SGD', lr=0.01)
    )
    make(tmp_path, **dict(SETTINGS, optim_wrapper=sam)).train()
    assert [line['cost/passes'] for line in costs(tmp_path)] == [2, 4]


@pytest.mark.long
def test_resumed_after_a_kill(tmp_path):
    """The epoch that was trained twice counts once."""
    runner = make(tmp_path, **SETTINGS)
    runner.train()
    first, lost = costs(tmp_path)
    (tmp_path / 'epoch_2.pth').unlink()
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_1.pth'))
    make(tmp_path, resume=True, **SETTINGS).train()
    *_, again = costs(tmp_path)
    assert again['cost/epochs'] == again['epoch'] == 2
    total = first['cost/cpu_seconds'] + again['cost/cpu_seconds']
    assert again['cost/cpu_seconds_total'] == pytest.approx(total)
    # A new training from these weights starts at 0.
    weights = str(tmp_path / 'epoch_2.pth')
    make(tmp_path / 'new', load_from=weights, **SETTINGS).train()
    line = costs(tmp_path / 'new')[0]
    assert line['cost/epochs'] == 1
    assert line['cost/cpu_seconds_total'] == line['cost/cpu_seconds']


@pytest.mark.long
def test_loops_by_iteration(tmp_path):
    loop = dict(by_epoch=False, max_iters=7, val_interval=2)
    runner = make(tmp_path, train_cfg=loop, **BURNING)
    steps = len(runner.train_dataloader)
    assert steps == 4
    runner.train()
    first, second = costs(tmp_path)
    assert (first['epoch'], second['epoch']) == (1, 7 / 4)
    assert 0.8 <= first['cost/cpu_seconds'] < 2.5
    assert 0.6 <= second['cost/cpu_seconds'] < 2.3
    assert second['cost/epochs'] == 7 / 4


@pytest.mark.parametrize('is_persistent', [False, True])
@pytest.mark.long
def test_data_workers_count(tmp_path, is_persistent):
    images = dict(type='bcl_mm.BurningImages', pipeline=[PACK])
    runner = make(tmp_path, images, **BURNING)
    runner._train_dataloader.update(
        num_workers=2, persistent_workers=is_persistent, batch_size=5
    )
    runner.train()
    for line in costs(tmp_path):
        assert line['cost/cpu_seconds'] > 1 + 2 * 0.2 - 0.1


def test_foreign_sums_are_not_taken(tmp_path):
    hook = CostHook()
    for foreign in (3, dict(cpu=3), dict(tpu=[1, 2]), dict(cpu=[1, 2])):
        hook.after_load_checkpoint(
            None, dict(meta=dict(training_cost=foreign))
        )
        assert hook._loaded == {}


def test_cpu_seconds_of_this_process():
    before = cpu_seconds()
    time.sleep(0.3)
    burn(0.2)
    assert 0.2 <= cpu_seconds() - before < 0.3


class FakeEvent:
    """An event of a device that is two records behind."""

    records = []

    def __init__(self, enable_timing):
        assert enable_timing

    def record(self):
        self.time = len(self.records) ** 2  # ms
        self.records.append(self)

    def query(self):
        return self in self.records[:-2]

    def synchronize(self):
        self.records += [None, None]

    def elapsed_time(self, end):
        assert end.query()
        return end.time - self.time


def test_steps_of_a_device_by_hand(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'Event', FakeEvent)
    monkeypatch.setattr(FakeEvent, 'records', [])
    clock = _GPUClock()
    for step in range(3):
        clock.before_step()
        clock.after_step()
        # Nothing waits in a step; what is done needs no memory.
        assert len(clock._steps) == min(step + 1, 1)
        assert None not in FakeEvent.records
    # 0 to 1, 4 to 9 and 16 to 25 ms.
    assert clock.read() == pytest.approx(0.001 + 0.005 + 0.009)
    assert clock.read() == 0


@pytest.mark.skipif(NO_GPU, reason='needs a GPU')
def test_the_gpu_s_time():
    clock = _GPUClock()
    matrix = torch.randn(4000, 4000, device='cuda')
    for _ in range(3):
        clock.before_step()
        for _ in range(20):
            matrix = matrix @ matrix
            matrix = matrix / matrix.norm()
        clock.after_step()
        time.sleep(0.2)
    seconds = clock.read()
    assert 0 < seconds < 0.6
    assert clock.read() == 0


def test_costs_from_logs():
    old = [dict(epoch=2, iter=20, time=t, loss=1.0) for t in (1, 2, 9)]
    assert training_cost(old) == Cost('wall', 20, 2)
    assert training_cost([]) is None
    new = {'cost/cpu_seconds_total': 8.0, 'cost/epochs': 4, 'epoch': 5}
    # Resumed from an earlier version: one epoch is not known.
    assert training_cost([*old, new]) == Cost('cpu', 2, 5)
    gpu = {'cost/gpu_seconds_total': 8.0, 'cost/epochs': 4, 'epoch': 5}
    assert training_cost([new, gpu]) is None


def test_sums_means_and_words():
    one, two = Cost('cpu', 2, 10, 30), Cost('cpu', 1, 30, 30)
    assert one + two == Cost('cpu', 50 / 40, 40, 60)
    assert (one + Cost('cpu', 1, 30)).passes is None
    assert (one + two).seconds == 50
    assert one + Cost('gpu', 1, 1) is None
    assert mean_cost([one, two]) == Cost('cpu', 1.5, 20, 30)
    assert mean_cost([one, None]) is None
    assert mean_cost([one, Cost('wall', 2, 10)]) is None
    assert mean_cost([]) is None
    words = [duration(s) for s in (0.1234, 42, 90, 5400)]
    assert words == ['0.123 s', '42 s', '1.5 min', '1.5 h']
    assert json.loads(json.dumps(one.seconds)) == 20
