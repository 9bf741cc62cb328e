"""compare.py, run as a user runs it."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import time

import pytest

import bcl_mm
from bcl_mm.apis.launcher import Launcher, read_commit
from tests.cli.common import (
    BCL,
    CE,
    SHORT,
    assert_quiet,
)
from tests.cli.comparisons import (
    DEVICE,
    TWO_METHODS,
    command,
    read_notes,
    table,
)
from tests.conftest import ROOT


def test_table_and_finished_runs(compared, compare, tmp_path):
    output = (compared / 'output').read_text()
    assert_quiet(output)
    assert '[4 of 4 runs]' in output
    runs = shutil.copytree(compared / 'runs', tmp_path / 'runs')
    assert len(list(runs.glob('*/*/*/vis_data/events.out.tfevents.*'))) == 4
    header, _, ce, bcl = table(output)
    assert header == [
        *('method', 'config', 'top-1', 'balanced', 'many-shot'),
        *('medium-shot', 'few-shot', 'above cross-entropy', 'p'),
        *('passes', f'{DEVICE} s / epoch', 'commit'),
    ]
    assert ce[:2] == ['cross-entropy', 'ce_resnet8_digits_lt']
    assert bcl[:2] == ['BCL', 'bcl_resnet8_digits_lt']
    assert all('±' in cell for cell in ce[2:7])
    assert ce[7] == '' and re.fullmatch(r'[+-]\S+ \[\S+, \S+\]', bcl[7])
    assert ce[8] == '' and 0 <= float(bcl[8]) <= 1
    # Two epochs of one view, and of three.
    assert (ce[9], bcl[9]) == ('2', '6')
    assert float(ce[10]) > 0 and ce[11]
    assert 'minus that of cross-entropy, with its 95 % interval' in output

    notes = read_notes(tmp_path)
    top1 = [
        note['figures']['accuracy/top1']
        for note in notes.values()
        if note['config'] == CE
    ]
    mean, deviation = sum(top1) / 2, abs(top1[0] - top1[1]) / 2**0.5
    assert ce[2] == f'{mean:.1f} ± {deviation:.1f}'
    # The last epoch's, on the test images.
    for folder, note in notes.items():
        tested = json.loads((folder / 'metrics.json').read_text())
        assert note['figures']['accuracy/top1'] == tested['accuracy/top1']
        assert '(epoch 2)' in (folder / 'output.log').read_text()

    written = (runs / 'results.md').read_text()
    assert table(written) == table(output)
    with (runs / 'results.csv').open() as file:
        rows = list(csv.DictReader(file))
    assert [row['method'] for row in rows] == ['cross-entropy', 'BCL']
    assert float(rows[0]['top1_mean']) == pytest.approx(mean)
    assert float(rows[0]['top1_std']) == pytest.approx(deviation)
    assert rows[0]['seeds'] == '0 1'

    again = compare(*TWO_METHODS)
    assert again.count('finished before') == 4
    assert 'starting' not in again
    assert table(again) == table(output)
    # Another setting is another run.
    other = compare(CE, options=(*SHORT, 'optim_wrapper.optimizer.lr=0.01'))
    assert 'starting' in other
    assert len(read_notes(tmp_path)) == 5


@pytest.mark.slow
def test_killed_in_the_middle(compare, tmp_path):
    """Killed with its training, then alone: the table is the same."""
    options = 'train_cfg.max_epochs=30', 'train_cfg.val_interval=30'
    whole = compare(BCL, options=options, work_dir=tmp_path / 'whole')

    def start_and_kill(kill):
        process = subprocess.Popen(
            command(tmp_path / 'runs', BCL, options=options),
            cwd=ROOT,
            env={**os.environ, 'OMP_NUM_THREADS': '1'},
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        before = checkpoint()
        while checkpoint() == before:
            assert process.poll() is None
            time.sleep(0.01)
        kill(process.pid, signal.SIGKILL)
        process.wait()

    def checkpoint():
        for path in tmp_path.glob('runs/*/*/last_checkpoint'):
            return path.read_text()
        return None

    start_and_kill(os.killpg)
    first = checkpoint()
    start_and_kill(os.kill)
    assert checkpoint() != first
    # The training went on without the comparison.
    again = compare(BCL, options=options)
    assert 'another process is at' in again
    assert 'resuming' in again
    assert table(again)[2][:7] == table(whole)[2][:7]


def test_other_test_data_than_those_of_the_validation(compare, tmp_path):
    config = tmp_path / 'mine.py'
    config.write_text(
        f"_base_ = '{ROOT / CE}'\n"
        "test_dataloader = dict(dataset=dict(split='train'))\n"
        'train_cfg = dict(max_epochs=1)\n'
    )
    output = compare(config, options=())
    assert 'mine, seed 0: testing' in output
    ((folder, note),) = read_notes(tmp_path).items()
    metrics = json.loads((folder / 'metrics.json').read_text())
    assert note['figures'] == metrics
    log = (folder / 'output.log').read_text()
    validated = re.findall(r'Epoch\(val\).*balanced: ([\d.]+)', log)
    assert note['validation_balanced'] == pytest.approx(
        float(validated[-1]), abs=1e-4
    )
    # Validation figures belong to a run of their own, which is not tested.
    output = compare(config, '--part', 'val', options=())
    assert 'testing' not in output and 'Seed 0, validation images' in output
    (other,) = read_notes(tmp_path).keys() - {folder}
    figures = read_notes(tmp_path)[other]['figures']
    assert (
        f'top1: {figures["accuracy/top1"]:.4f}'
        in (other / 'output.log').read_text()
    )
    assert not (other / 'metrics.json').exists()


def test_usage_errors(call, tmp_path):
    broken, unknown = tmp_path / 'broken.py', tmp_path / 'unknown.py'
    broken.write_text('model = dict(\n')
    unknown.write_text("first_stage = 'gone.py'\n")
    alone = tmp_path / 'alone.py'
    alone.write_text('is_trained = False\n')
    itself, frozen = tmp_path / 'itself.py', tmp_path / 'frozen.py'
    itself.write_text("first_stage = 'itself.py'\n")
    frozen.write_text("model = dict(type='bcl_mm.FrozenBackboneClassifier')\n")
    (tmp_path / 'runs').write_text('')
    for arguments, message in (
        (['none.py'], "there is no config 'none.py'"),
        ([broken], f'Error: {broken}: SyntaxError: '),
        ([unknown], f'there is no config {str(tmp_path / "gone.py")!r}'),
        ([alone], 'alone.py is not trained (is_trained = False): it must'),
        ([itself], 'itself.py: first_stage leads back to this config'),
        ([frozen], 'frozen.py trains on a frozen backbone: it must name'),
        ([CE, '--cfg-options', 'x'], "must be KEY=VALUE, got 'x'"),
        (
            [CE, '--work-dir', tmp_path / 'runs'],
            "runs' cannot be made: File exists",
        ),
        ([CE, '--jobs', '0'], "must be a whole number >= 1, got '0'"),
    ):
        words = '--work-dir', tmp_path / 'new', *arguments
        status, _, errors = call('compare', *words)
        assert status != 0
        assert message in f'{status} {errors}'


@pytest.mark.parametrize(
    ('given', 'shares'), [('', ['0,1', '2,3']), ('7,5,3,1', ['7,5', '3,1'])]
)
def test_runs_side_by_side_have_gpus_of_their_own(monkeypatch, given, shares):
    monkeypatch.setattr('torch.cuda.is_available', lambda: True)
    monkeypatch.setattr('torch.cuda.device_count', lambda: 4)
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', given)
    launcher = Launcher(gpus=2, jobs=2)
    found = [launcher._environment(slot) for slot in launcher.slots]
    assert [env['CUDA_VISIBLE_DEVICES'] for env in found] == shares
    with pytest.raises(ValueError, match='--jobs 3 of --gpus 2 need 6 GPUs'):
        Launcher(gpus=2, jobs=3)


def test_the_commit_is_that_of_the_checkout(tmp_path, monkeypatch):
    def git(*words):
        name = '-c', 'user.name=a', '-c', 'user.email=a@b'
        words = 'git', '-C', tmp_path, *name, *words
        return subprocess.check_output(words, text=True).strip()

    def package(folder):
        path = folder / 'bcl_mm' / '__init__.py'
        path.parent.mkdir(parents=True)
        path.touch()
        monkeypatch.setattr(bcl_mm, '__file__', str(path))
        return path

    installed = tmp_path / 'venv'
    package(installed)
    assert read_commit() == bcl_mm.__version__
    git('init', '-q')
    git('add', '.')
    git('commit', '-q', '-m', 'x')
    assert read_commit() == bcl_mm.__version__  # in another's checkout
    path = package(tmp_path)
    git('add', '.')
    git('commit', '-q', '-m', 'y')
    commit = git('rev-parse', '--short', 'HEAD')
    assert read_commit() == commit
    path.write_text('changed')
    assert read_commit() == f'{commit}+'
