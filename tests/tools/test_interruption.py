"""Killed, stopped, or out of disk: what training leaves, and says."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest
import torch

from tests.conftest import ROOT
from tests.test_checkpoint import Call
from tests.tools.common import CE, TEST, TRAIN

EVERYTHING = f"""
_base_ = ['{ROOT}/configs/bcl_resnet8_digits_lt.py']
custom_imports = dict(imports=['tests.tools.slow_disk'])
model = dict(neck=dict(_delete_=True, type='bcl_mm.PoolAndDrop'))
default_hooks = dict(
    checkpoint=dict(save_best='accuracy/top1'),
    class_complement=dict(begin_epoch=2),
)
custom_hooks = [
    dict(type='mmengine.EMAHook', momentum=0.01, update_buffers=True)
]
train_cfg = dict(max_epochs=6, val_interval=3)
"""


def final(folder, name='epoch_6.pth'):
    """Weights, averages and states at the end of a training."""
    content = torch.load(folder / name)
    parts = 'state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers'
    return {part: content[part] for part in parts if part in content}


def assert_same(first, second):
    assert type(first) is type(second)
    if isinstance(first, dict):
        assert list(first) == list(second)
        for key in first:
            assert_same(first[key], second[key])
    elif isinstance(first, list):
        assert len(first) == len(second)
        for one, other in zip(first, second):
            assert_same(one, other)
    elif isinstance(first, torch.Tensor):
        assert torch.equal(first, second)
    else:
        assert first == second


@pytest.mark.slow
def test_killed_at_any_moment(run, tmp_path):
    """20 kills, half of them while a checkpoint is written."""
    config = tmp_path / 'everything.py'
    config.write_text(EVERYTHING)
    command = sys.executable, '-m', 'tests.tools.kills', config
    threads = dict(OMP_NUM_THREADS='1')
    whole = tmp_path / 'whole'
    run(
        *(sys.executable, TRAIN, config, '--work-dir', whole),
        PYTHONPATH=str(ROOT),
        SLOW_DISK_SECONDS='0',
        **threads,
    )
    done = run(*command, tmp_path / 'killed', 20, 0, **threads)
    halves = re.search('20 kills, (.*) with a half-written', done.stdout)
    assert int(halves[1]) >= 5
    expected = final(whole)
    assert len(expected) == 4
    for folder in (tmp_path / 'killed').iterdir():
        assert_same(final(folder), expected)
        left = {path.name for path in folder.glob('*.p*') if path.is_file()}
        assert left - {'everything.py'} == {
            path.name for path in whole.glob('*.pth')
        }
