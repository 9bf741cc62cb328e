"""Second stages, failed runs and signals in a comparison."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import bcl_mm
from bcl_mm.apis.comparison import RunError, plan_runs
from bcl_mm.apis.launcher import Launcher
from tests.cli.common import (
    CE,
    children,
)
from tests.cli.comparisons import command, table, table_of
from tests.conftest import ROOT


def stages(tmp_path, first_options=''):
    """Configs of a first stage and of two second ones, on digits."""
    model = (
        'model = dict(backbone=_base_.resnet8, '
        'head=dict(num_classes=10, in_channels=64))\n'
    )
    for name, method in dict(
        first='ce', second='crt', third='tau_norm'
    ).items():
        bases = [
            str(ROOT / 'configs' / '_base_' / f'{base}.py')
            for base in (
                f'methods/{method}',
                'datasets/digits_lt',
                'schedules/digits_lt',
                'runtime/default',
            )
        ]
        text = f'_base_ = {bases}\n{model}'
        if name == 'first':
            text += f"model['head']['classifier'] = 'linear'\n{first_options}"
        else:
            text += "first_stage = 'first.py'\n"
        (tmp_path / f'{name}.py').write_text(text)
    return [tmp_path / f'{name}.py' for name in ('second', 'third', 'first')]


def test_second_stages_and_failed_runs(compare, tmp_path):
    second, third, first = stages(tmp_path, "model['neck'] = 1\n")
    output = compare(second, third, CE, '--jobs', 2, ok=False)
    for name in ('second', 'third'):
        message = f'{name}, seed 0 failed: its first stage did'
        assert message in output.splitlines()
    assert 'first, seed 0 failed: ' in output
    assert 'Its output is in' in output
    assert [row[1] for row in table(output)[2:]] == ['ce_resnet8_digits_lt']

    stages(tmp_path)  # fixed
    output = compare(second, third, CE, '--jobs', 2)
    assert output.count('finished before') == 1
    rows = {row[1]: row for row in table(output)[2:]}
    assert list(rows) == ['first', 'second', 'third', 'ce_resnet8_digits_lt']
    # Nothing is trained in the last stage.
    assert rows['second'][8] and not rows['third'][8]
    assert output.index('first, seed 0: top-1') < output.index('second, seed')


def test_a_first_stage_without_its_checkpoint(tmp_path):
    _, third, _ = stages(tmp_path)
    first, run = plan_runs([str(third)], [0], [], tmp_path / 'runs')
    message = f'third, seed 0 failed: {first.folder} has no checkpoint to test'
    with pytest.raises(RunError, match=message):
        run.test_command()


def test_a_damaged_note_fails_its_run_alone(tmp_path):
    configs = 'ce_resnet8_digits_lt', 'bcl_resnet8_digits_lt'
    bad, good = runs = plan_runs(configs, [0], [], tmp_path)
    bad.folder.mkdir(parents=True)
    (bad.folder / 'run.json').write_text('{"figures": {}}')
    good.folder.mkdir(parents=True)
    good.write_note(figures={'accuracy/top1': 50.0})
    (failure,) = Launcher(gpus=1, jobs=1).finish_all(runs)
    path = bad.folder / 'run.json'
    assert f'{path}: figures has no accuracy/top1' in failure
    assert 'without this file, the run is completed' in failure
    assert (bad.is_finished, good.is_finished) == (False, True)
    (row,) = table_of([good])
    assert (row['top1_mean'], row['seeds']) == (50.0, '0')


@pytest.mark.slow
@pytest.mark.parametrize(
    ('number', 'status'), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_signals_are_named_and_end_the_trainings(tmp_path, number, status):
    options = ('train_cfg.max_epochs=10000',)
    log = tmp_path / 'log'
    with log.open('wb') as file:
        process = subprocess.Popen(
            command(tmp_path / 'runs', CE, options=options),
            cwd=ROOT,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    while not list(tmp_path.glob('runs/*/*/*.py')):
        assert process.poll() is None, log.read_text()
        time.sleep(0.02)
    (training,) = children(process.pid)
    process.send_signal(number)
    assert process.wait(timeout=30) == status
    *_, last = log.read_text().splitlines()
    name = signal.Signals(number).name
    assert last == f'Interrupted by {name}: the same command resumes.'
    assert 'Traceback' not in log.read_text()
    with pytest.raises(ProcessLookupError):
        os.kill(training, 0)


def test_names_of_configs_and_their_first_stages(tmp_path):
    config = 'crt_resnet8_fashion_mnist_lt'
    first, second = plan_runs([config], [3, 3], ['+a=1'], tmp_path)
    assert Path(first.config).stem == 'ce_linear_resnet8_fashion_mnist_lt'
    assert Path(second.config).stem == config
    assert second.first is first
    # Commands of the package, which need no file of tools/.
    start = [sys.executable, '-m', 'bcl_mm']
    path = bcl_mm.config_path('ce_linear_resnet8_fashion_mnist_lt')
    options = '--cfg-options', 'randomness.seed=3', '+a=1'
    assert first.command(1) == [
        *(*start, 'train', path, '--work-dir', str(first.folder), *options)
    ]
    assert first.command(2)[:6] == [*start, 'launch', '2', 'train']
