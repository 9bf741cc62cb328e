"""compare.py, run as a user runs it."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import bcl_mm
from bcl_mm.apis.comparison import Launcher, plan_runs, read_commit
from bcl_mm.apis.comparison_table import (
    find_reference,
    make_table,
    markdown,
)
from bcl_mm.evaluation import difference
from tests.cli.common import (
    BCL,
    CE,
    NO_GPU,
    SHORT,
    assert_quiet,
    children,
)
from tests.conftest import ROOT

TOOL = ROOT / 'tools' / 'compare.py'
LA = 'configs/la_resnet8_digits_lt.py'
DEVICE = 'CPU' if NO_GPU else 'GPU'


@pytest.fixture
def compare(run, tmp_path):
    """Run the tool in tmp_path/runs with short trainings."""

    def call(*arguments, options=SHORT, work_dir=tmp_path / 'runs', ok=True):
        words = command(work_dir, *arguments, options=options)
        return run(*words, ok=ok, OMP_NUM_THREADS='1').stdout

    return call


def command(work_dir, *arguments, options=SHORT):
    words = [sys.executable, TOOL, *arguments, '--work-dir', work_dir]
    if options:
        words += ['--cfg-options', *options]
    return list(map(str, words))


def table_of(runs, *arguments):
    return make_table([run.record() for run in runs], *arguments)


def table(output):
    """Cells of the rows that a command printed."""
    rows = [line for line in output.splitlines() if line[:1] == '|']
    return [[c.strip() for c in row.split('|')[1:-1]] for row in rows]


def read_notes(tmp_path):
    paths = sorted((tmp_path / 'runs').glob('*/*/run.json'))
    return {path.parent: json.loads(path.read_text()) for path in paths}


def test_table_and_finished_runs(compare, tmp_path):
    arguments = CE, BCL, '--seeds', 0, 1, '--jobs', 2
    output = compare(*arguments, '--log', 'tensorboard')
    assert_quiet(output)
    assert '[4 of 4 runs]' in output
    runs = tmp_path / 'runs'
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

    written = (tmp_path / 'runs' / 'results.md').read_text()
    assert table(written) == table(output)
    with (tmp_path / 'runs' / 'results.csv').open() as file:
        rows = list(csv.DictReader(file))
    assert [row['method'] for row in rows] == ['cross-entropy', 'BCL']
    assert float(rows[0]['top1_mean']) == pytest.approx(mean)
    assert float(rows[0]['top1_std']) == pytest.approx(deviation)
    assert rows[0]['seeds'] == '0 1'

    again = compare(*arguments)
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


def finished(work_dir, config, seeds, balanced, **note):
    """Runs with these balanced accuracies."""
    runs = plan_runs([config], seeds, [], work_dir)
    for run, value in zip(runs, balanced):
        run.folder.mkdir(parents=True)
        figures = {'accuracy/top1': 50.0, 'accuracy/balanced': value}
        run.write_note(figures=figures, **note)
    return runs


def test_differences_and_times_by_hand(tmp_path):
    seeds = 0, 1, 2
    time = dict(seconds_per_epoch=2.0, kind_of_time='cpu')
    first = finished(tmp_path, CE, seeds, (70, 71, 72), **time)
    second = finished(tmp_path, BCL, seeds, (71, 74, 74), **time)
    header, _, one, two = table(markdown(table_of(first + second)))
    # As in test_statistics.py: 2 +- 4.3027 / sqrt(3).
    assert two[header.index('above cross-entropy')] == '+2.0 [-0.5, 4.5]'
    assert (two[-2], header[-2]) == ('2', 'CPU s / epoch')
    # One seed is no basis.
    rows = table_of([first[0], second[0]])
    assert '+1.0' in markdown(rows)
    assert 'One seed is not conclusive' in markdown(rows)
    assert rows[1]['difference_low'] is None
    assert rows[1]['difference_pairs'] == 1
    rows = table_of([*first[:2], *finished(tmp_path, LA, (0, 1), (71, 72))])
    assert 'do not show how much it varies' in markdown(rows)
    # One method has no rival.
    assert 'above' not in markdown(table_of(first))


def test_the_reference_and_what_does_not_differ(tmp_path):
    seeds = 0, 1, 2
    runs = [
        *finished(tmp_path, CE, seeds, (60, 61, 62.5)),
        *finished(tmp_path, LA, seeds, (70, 71, 72)),
        *finished(tmp_path, BCL, seeds, (70.5, 72, 71.9)),
    ]
    for name in ('la_resnet8_digits_lt', 'logit adjustment'):
        reference = find_reference(runs, name)
        rows = table_of(runs, reference)
        text = markdown(rows)
        header, _, ce, la, bcl = table(text)
        gaps = header.index('above logit adjustment')
        assert [la[gaps], la[gaps + 1]] == ['', '']
        assert ce[gaps].startswith('-9.8 [')
    # Two tests: Holm doubles the smaller p-value.
    own = dict(zip(seeds, (60, 61, 62.5)))
    gap = difference(own, dict(zip(seeds, (70, 71, 72))))
    assert rows[0]['p_holm'] == pytest.approx(2 * gap.p_value)
    # BCL is ahead, which may be chance.
    cells = [row[header.index('balanced')] for row in (ce, la, bcl)]
    assert [cell.startswith('**') for cell in cells] == [False, True, True]
    assert 'Bold: the best' in text
    assert find_reference(runs, None) == runs[0].config
    with pytest.raises(ValueError, match="one of the configs .*got 'x'"):
        find_reference(runs, 'x')
    # Its runs have failed: nothing is compared with another one instead.
    rows = table_of(runs[3:], runs[0].config)
    assert [row['difference_mean'] for row in rows] == [None, None]


def test_folds(tmp_path):
    def runs_of(config, values):
        options = ['+data_root=x_{fold}.csv']
        folds = list('abcde')
        runs = plan_runs([config], [0, 1], options, tmp_path, folds)
        assert len({run.folder for run in runs}) == 10
        for i, run in enumerate(runs):
            assert run.options == [f'+data_root=x_{folds[i // 2]}.csv']
            assert run.options[0] in run.command(1)
            run.folder.mkdir(parents=True)
            value = values[i // 2] + (-1, 1)[i % 2]  # around it, by the seed
            figures = {'accuracy/top1': 50.0, 'accuracy/balanced': value}
            run.write_note(figures=figures)
        return runs

    ours, theirs = (11, 12, 13, 14, 15), (10,) * 5
    rows = table_of([*runs_of(CE, theirs), *runs_of(BCL, ours)])
    gap = difference(
        dict(enumerate(ours)), dict(enumerate(theirs)), test_per_train=1 / 4
    )
    assert rows[1]['difference_low'] == pytest.approx(gap.low)
    assert rows[1]['difference_pairs'] == 5
    assert rows[1]['p_holm'] == pytest.approx(gap.p_value)
    assert 'Nadeau and Bengio' in markdown(rows)
    with pytest.raises(ValueError, match='--folds needs a setting'):
        plan_runs([CE], [0], ['+a=1'], tmp_path, ['a'])
    untrained = 'tau_norm_resnet8_fashion_mnist_lt'
    with pytest.raises(ValueError, match='leave it out with --part val'):
        plan_runs([untrained], [0], [], tmp_path, part='val')


def test_times_of_several_kinds(tmp_path):
    kinds = {CE: 'cpu', BCL: 'gpu', LA: None}
    runs = []
    for config, kind in kinds.items():
        note = dict(seconds_per_epoch=2.0)
        note.update(kind_of_time=kind) if kind else None
        runs += finished(tmp_path, config, (0,), (70,), **note)
    header, _, *rows = table(markdown(table_of(runs)))
    assert header[-2] == 's / epoch'
    assert [row[-2] for row in rows] == ['2 CPU', '2 GPU', '2']


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
    # The figures of the validation are of another run, which is not tested.
    output = compare(config, '--part', 'val', options=())
    assert 'testing' not in output and 'Seeds [0], validation images' in output
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
