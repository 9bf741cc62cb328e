"""bcl-mm try: from a folder to a verdict."""

import json
import re
import shlex
import sys

import pytest

from bcl_mm.apis import timing
from bcl_mm.apis.timing import Timing
from bcl_mm.cli import compare, load_command
from tests.conftest import ROOT
from tests.trees import write_classes


@pytest.fixture
def folder(tmp_path):
    write_classes(tmp_path / 'birds', (8, 5, 3), ['tit', 'owl', '1'])
    return tmp_path / 'birds'


@pytest.fixture
def try_folder(call, monkeypatch, tmp_path):
    """Run the command, without training; ``compared`` are its trainings."""

    def measure(config, options, folder, jobs=1):
        measured.append(config)
        return Timing(start=5, epoch=2 if 'bcl' in config else 1, validation=1)

    def run_compare(args):
        compared.append(args)
        return False

    measured, compared = [], []
    monkeypatch.setattr(timing, 'measure', measure)
    monkeypatch.setattr(compare, 'run', run_compare)
    work_dir = tmp_path / 'runs'

    def run(*words):
        return call('try', *words, '--work-dir', work_dir)

    run.measured, run.compared, run.work_dir = measured, compared, work_dir
    return run


def test_the_commands_that_it_runs(try_folder, folder):
    status, output, errors = try_folder(folder)
    assert (status, errors) == (0, '')
    assert try_folder.measured == [
        f'{method}_resnet32_custom' for method in ('ce', 'la', 'bcl')
    ]
    (args,) = try_folder.compared
    # The printed command is the one that is run.
    words = re.search(r'^\$ bcl-mm compare (.*)', output, re.MULTILINE)[1]
    _, parser = load_command('compare')
    printed = vars(parser.parse_args(shlex.split(words)))
    given = vars(args)
    assert {**printed, 'error': None} == {**given, 'error': None}
    assert args.configs == try_folder.measured
    assert args.cfg_options == [f'data_root={folder}']
    assert (args.seeds, args.report) == ([0], True)
    assert (
        f'$ bcl-mm check ce_resnet32_custom --cfg-options data_root={folder}'
    ) in output
    assert '\naugmentation=photos: ' in output
    assert 'No problems.' in output
    assert 'Size: small (32 pixels and ResNet-32)' in output
    assert '--size large takes 224 pixels and ResNet-50.' in output
    # 5 + 100 + 20, twice, and 5 + 200 + 20; the report: 3 + 10.
    assert 'So few epochs' not in output
    assert '3 runs of 100 epochs, with the report: about 9 minutes' in output


def test_it_says_little_before_it_trains(try_folder, tmp_path):
    write_classes(tmp_path / 'many', [4] * 30)
    status, output, _ = try_folder(tmp_path / 'many', '--budget', '3')
    assert status == 0
    before = output.partition('$ bcl-mm compare')[0]
    figures, _, rest = before.partition('Notes (')
    found, _, plan = rest.partition('No problems.')
    assert 'imbalance factor: 1.0' in figures
    # The command, two sets that are read, a line of progress, four of
    # figures; no more than three findings of a kind; and the plan. With three
    # notes, the comparison shows its first progress in line 25.
    assert len(figures.splitlines()) <= 8
    assert len(plan.splitlines()) <= 10
    assert re.search(r'more \(near-dup.*\); \S+check.txt lists them', found)
    assert '█' not in output and '--all' not in output
    text = (try_folder.work_dir / 'check.txt').read_text()
    assert '█' in text and 'formats: ' in text
    assert found.strip().splitlines()[-2] in text


def test_a_budget_cuts_all_alike_and_is_kept(try_folder, folder):
    options = folder, '--budget', '2', '--seeds', '0', '1'
    status, output, errors = try_folder(*options)
    assert status == 0, errors
    epochs = int(re.search(r'6 runs of (\d+) epochs', output)[1])
    assert 'So few epochs may mislead' in output
    assert 5 <= epochs < 12  # 2 x 4 x E of 120 s, without 46 s for the rest
    wanted = f'train_cfg.max_epochs={epochs}'
    assert try_folder.compared[0].cfg_options[-1] == wanted
    assert 'about 2 minutes\n' in output or 'seconds\n' in output
    record = json.loads((try_folder.work_dir / 'try.json').read_text())
    assert record['epochs'] == epochs
    # Started again, nothing is measured, and the epochs are the same.
    del try_folder.measured[:]
    status, output, _ = try_folder(*options, '3')
    assert status == 0
    assert not try_folder.measured
    assert f'9 runs of {epochs} epochs' in output
    assert try_folder.compared[1].cfg_options[-1] == wanted

    status, _, errors = try_folder(folder, '--budget', '0.5')
    assert status == 1
    assert '--budget was 2.0, and is 0.5 now. Give another --work' in errors
    assert len(try_folder.compared) == 2


def test_a_budget_that_is_too_short(try_folder, folder):
    status, _, errors = try_folder(folder, '--budget', '0.5')
    assert status == 1
    assert re.search(
        r'--budget 0.5 is too short: \d epochs fit into it, and fewer than 5 '
        r'say nothing. Give at least --budget [1-3], or fewer',
        errors,
    )
    assert not try_folder.compared
    assert not (try_folder.work_dir / 'try.json').exists()


def test_another_experiment_needs_another_folder(try_folder, folder):
    assert try_folder(folder)[0] == 0
    for words, message in (
        (['--size', 'large'], "--size was 'small', and is 'large' now"),
        (
            ['--cfg-options', 'val_fraction=0.3'],
            "--cfg-options was '', and is 'val_fraction=0.3' now",
        ),
    ):
        status, _, errors = try_folder(folder, *words)
        assert status == 1
        assert message in errors
    write_classes(folder, (9,), ['tit'])
    status, _, errors = try_folder(folder)
    assert status == 1
    assert 'are not those that' in errors
    assert len(try_folder.compared) == 1


def test_problems_of_the_data_stop_it(try_folder, folder):
    (folder / 'tit' / '0.JPG').write_bytes(b'no image')
    status, output, _ = try_folder(folder)
    assert status == 1
    assert re.search(r'tit/0.JPG\S* .*\n', output)
    assert 'Nothing is trained: the data have 1 problem, see above' in output
    assert '--fix-list problems.csv --cfg-options data_root=' in output
    assert '--cfg-options exclude=problems.csv leaves out' in output
    assert not try_folder.measured and not try_folder.compared


def test_problems_that_no_list_solves_name_none(try_folder, folder):
    (folder / 'tit').rename(folder / 'tit ')
    status, output, _ = try_folder(folder)
    assert status == 1
    assert 'Nothing is trained: the data have 1 problem, see above' in output
    assert 'exclude' not in output.partition('Nothing is trained')[2]


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['nowhere'], "FOLDER 'nowhere' does not exist"),
        (['.', '--methods', 'bxl'], "there is no method 'bxl'"),
        (
            ['.', '--cfg-options', 'data_root=x'],
            'FOLDER sets data_root: leave data_root=x out',
        ),
        (
            ['.', '--budget', '3', '--cfg-options', 'train_cfg.max_epochs=3'],
            '--budget sets train_cfg.max_epochs: leave train_cfg.max_epochs=3',
        ),
        (['.', '--budget', '0'], "must be a number of minutes > 0, got '0'"),
    ],
)
def test_errors(try_folder, words, message):
    status, _, errors = try_folder(*words)
    assert status in (1, 2)
    assert message in errors


@pytest.mark.slow
def test_from_the_folder_to_the_report(run, tmp_path, folder):
    """The whole, its printed command, and itself again."""
    command = sys.executable, '-m', 'bcl_mm'
    words = (
        *(*command, 'try', 'birds', '--methods', 'ce', 'la'),
        *('--cfg-options', 'train_cfg.max_epochs=2', 'model.backbone.depth=8'),
        *('train_dataloader.num_workers=0', 'val_dataloader.num_workers=0'),
    )
    threads = dict(OMP_NUM_THREADS='1', PYTHONPATH=str(ROOT))
    output = run(*words, cwd=tmp_path, **threads).stdout
    work_dir = tmp_path / 'work_dirs' / 'try_birds'
    assert (work_dir / 'report.html').is_file()
    assert not (work_dir / 'timing').exists()
    assert re.search(r'^\| logit adjustment ', output, re.MULTILINE)
    printed = re.findall(r'^\$ bcl-mm (.*)', output, re.MULTILINE)
    names = [line.split()[0] for line in printed]
    assert names == ['check', 'compare', 'predict', 'report']
    again = run(
        *(*command, *shlex.split(printed[1].replace(' --report', ''))),
        cwd=tmp_path,
        **threads,
    ).stdout
    assert again.count('finished before') == 2
    image = next((folder / 'owl').iterdir())
    predict = printed[2].replace('IMAGES', str(image))
    done = run(*command, *shlex.split(predict), cwd=tmp_path, **threads)
    assert 'owl' in done.stdout
    assert (
        'Nothing is left to train'
        in run(*words, cwd=tmp_path, **threads).stdout
    )
