"""Killed, stopped, or out of disk: what training leaves, and says."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.cli.common import CE, TRAIN, children
from tests.conftest import ROOT

EVERYTHING = f"""
_base_ = ['{ROOT}/configs/bcl_resnet8_digits_lt.py']
custom_imports = dict(imports=['tests.cli.slow_disk'])
model = dict(neck=dict(_delete_=True, type='bcl_mm.PoolAndDrop'))
default_hooks = dict(checkpoint=dict(save_best='accuracy/top1'))
custom_hooks = [
    dict(type='bcl_mm.ClassComplementHook', begin_epoch=2),
    dict(type='mmengine.EMAHook', momentum=0.01, update_buffers=True),
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
    command = sys.executable, '-m', 'tests.cli.kills', config
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
        left, expected_left = (
            {path.name for path in work_dir.glob('*.p[at][rh]*')}
            for work_dir in (folder, whole)
        )
        assert left == expected_left


def start(folder, *options, launcher=(sys.executable, TRAIN), log='log'):
    """A long training, in a process group of its own."""
    folder.mkdir(exist_ok=True)
    command = [*launcher, '--work-dir', folder, '--cfg-options', *options]
    with (folder / log).open('wb') as file:
        return subprocess.Popen(
            [*map(str, command), 'train_cfg.max_epochs=10000'],
            cwd=ROOT,
            env={
                **os.environ,
                'OMP_NUM_THREADS': '1',
                'PYTHON': sys.executable,
            },
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def await_checkpoint(process, folder, name='epoch_1.pth'):
    deadline = time.time() + 120
    while not (folder / 'last_checkpoint').exists():
        assert process.poll() is None, (folder / 'log').read_text()[-2000:]
        assert time.time() < deadline
        time.sleep(0.02)


def stop(process, folder, kill, number):
    """Status and what is said, of a training that gets a signal."""
    began = time.time()
    kill(process.pid, number)
    status = process.wait(timeout=60)
    assert time.time() - began < 15
    output = (folder / 'log').read_text()
    assert 'Traceback' not in output
    latest = (folder / 'last_checkpoint').read_text()
    name = signal.Signals(number).name
    expected = f'Interrupted by {name}: --resume resumes from {latest}.'
    assert output.count(expected) == 1
    return status


@pytest.mark.parametrize('kill', [os.kill, os.killpg])
@pytest.mark.parametrize(
    ('number', 'status'), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
@pytest.mark.slow
def test_signals_with_data_workers(tmp_path, kill, number, status):
    loader = 'train_dataloader.num_workers=2'
    launcher = sys.executable, TRAIN, CE
    process = start(tmp_path, loader, launcher=launcher)
    await_checkpoint(process, tmp_path)
    assert stop(process, tmp_path, kill, number) == status
    with pytest.raises(ProcessLookupError):
        for _ in range(100):  # the workers end, too
            os.killpg(process.pid, 0)
            time.sleep(0.05)


@pytest.mark.slow
def test_signals_before_the_first_checkpoint(tmp_path):
    never = 'default_hooks.checkpoint.interval=-1'
    launcher = sys.executable, TRAIN, CE
    process = start(tmp_path, never, launcher=launcher)
    log = tmp_path / 'log'
    while 'Epoch(train)' not in log.read_text():
        assert process.poll() is None, log.read_text()[-2000:]
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=15) == 143
    expected = f'SIGTERM: there is no checkpoint in {tmp_path} to resume from'
    assert expected in log.read_text()

    process = start(tmp_path, launcher=launcher, log='early')
    time.sleep(1)  # its imports take longer
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=15) == 130
    early = (tmp_path / 'early').read_text()
    assert 'Traceback' not in early
    assert early.startswith('Interrupted by SIGINT: ')


@pytest.mark.slow
@pytest.mark.parametrize(
    ('kill', 'number', 'status'),
    [(os.kill, signal.SIGTERM, 143), (os.killpg, signal.SIGINT, 130)],
)
def test_signals_with_several_processes(
    tmp_path, free_port, monkeypatch, kill, number, status
):
    monkeypatch.setenv('PORT', free_port)
    launcher = 'bash', 'tools/dist_train.sh', CE, 2
    process = start(tmp_path, launcher=launcher)
    await_checkpoint(process, tmp_path)
    assert stop(process, tmp_path, kill, number) == status


def test_a_full_disk_ends_training_in_a_sentence(run, run_warm, tmp_path):
    """The limit on a file's size stands for the full disk."""
    options = '--work-dir', tmp_path, '--no-validate', '--cfg-options'
    command = sys.executable, TRAIN, CE, '--resume', *options
    run_warm(*command, 'train_cfg.max_epochs=1')
    before = (tmp_path / 'epoch_1.pth').read_bytes()
    shell = 'ulimit -f 200; exec "$@"', 'bash', *command
    done = run('bash', '-c', *shell, 'train_cfg.max_epochs=3', ok=False)
    assert done.returncode == 1
    *_, last = done.stdout.splitlines()
    assert last == (
        'Training ends: the checkpoint could not be saved: '
        f'{tmp_path}/epoch_2.pth cannot be written: File too large; when that '
        f'is fixed, --resume resumes from {tmp_path}/epoch_1.pth'
    )
    assert 'Traceback' not in done.stdout
    assert [p.name for p in tmp_path.glob('epoch*')] == ['epoch_1.pth']
    assert (tmp_path / 'epoch_1.pth').read_bytes() == before
    assert 'epoch_1.pth' in (tmp_path / 'last_checkpoint').read_text()


@pytest.mark.slow
@pytest.mark.parametrize('processes', [1, 2])
def test_without_a_seed(run, tmp_path, free_port, processes):
    config = tmp_path / 'everything.py'
    text = EVERYTHING.replace("'tests.cli.slow_disk'", "'slow_disk'")
    config.write_text(f'{text}randomness = dict(seed=None)\n')

    def train(folder, *options):
        command = [sys.executable, TRAIN, config]
        if processes > 1:
            command = ['bash', 'tools/dist_train.sh', config, processes]
        run(
            *(*command, '--work-dir', folder, *options, '--cfg-options'),
            *('train_cfg.max_epochs=4', 'train_dataloader.num_workers=1'),
            'default_hooks.checkpoint.max_keep_ckpts=9',
            PYTHONPATH=f'{ROOT}:{ROOT / "tests" / "cli"}',
            SLOW_DISK_SECONDS='0',
            OMP_NUM_THREADS='1',
            PORT=free_port,
        )

    whole, resumed = tmp_path / 'whole', tmp_path / 'resumed'
    train(whole)
    train(resumed, '--resume', whole / 'epoch_1.pth')
    expected = final(whole, 'epoch_4.pth')
    assert_same(final(resumed, 'epoch_4.pth'), expected)
    seeds = [
        torch.load(folder / 'epoch_4.pth')['meta']['seed']
        for folder in (whole, resumed)
    ]
    assert seeds[0] == seeds[1]


@pytest.mark.slow
def test_a_killed_launcher_leaves_no_processes(tmp_path, free_port):
    """They would write into the folder of a training that resumes."""
    launcher = 'bash', ROOT / 'tools' / 'dist_train.sh', CE, '2'
    process = start(tmp_path, launcher=('env', f'PORT={free_port}', *launcher))
    await_checkpoint(process, tmp_path)
    workers = children(process.pid)
    assert len(workers) >= 2
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.time() + 15
    while any(Path(f'/proc/{pid}/cwd').exists() for pid in workers):
        assert time.time() < deadline
        time.sleep(0.1)
