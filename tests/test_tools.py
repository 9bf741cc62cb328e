"""The tools, run as a user runs them."""

import gzip
import json
import re
import sys

import mmengine
import pytest
import torch
from mmengine.config import Config

from tests.conftest import ROOT
from tests.datasets.test_lists import write_lists
from tests.test_configs import write_fashion_mnist

TRAIN = ROOT / 'tools' / 'train.py'
TEST = ROOT / 'tools' / 'test.py'
BCL = 'configs/bcl_resnet8_digits_lt.py'
CE = 'configs/ce_resnet8_digits_lt.py'
SHORT = ('train_cfg.max_epochs=2', 'train_cfg.val_interval=2')
# What a newcomer would wonder about.
NOISE = re.compile(
    r'^(?!  - Build settings).*(Warning: |WARNING|deprecated|Traceback)'
)
NO_GPU = not torch.accelerator.is_available()


def accuracies(output):
    return re.findall(r'Epoch\((?:val|test)\).*top1: (\S+)', output)


def assert_quiet(output):
    noisy = [line for line in output.splitlines() if NOISE.search(line)]
    assert not noisy


def test_train_resume_and_test(run, tmp_path):
    done = run(
        sys.executable,
        TRAIN,
        BCL,
        '--work-dir',
        tmp_path,
        '--cfg-options',
        *SHORT,
    )
    assert_quiet(done.stdout)
    (trained,) = accuracies(done.stdout)
    checkpoint = tmp_path / 'epoch_2.pth'

    done = run(
        sys.executable,
        TEST,
        BCL,
        checkpoint,
        '--work-dir',
        tmp_path / 'test',
        '--out',
        tmp_path / 'metrics.json',
        '--out-item',
        'metrics',
    )
    assert_quiet(done.stdout)
    metrics = json.loads((tmp_path / 'metrics.json').read_text())
    assert metrics['accuracy/top1'] == pytest.approx(float(trained))
    assert set(metrics) == {
        f'accuracy/{name}' for name in ('top1', 'many', 'medium', 'few')
    }

    done = run(
        sys.executable,
        TRAIN,
        BCL,
        '--work-dir',
        tmp_path,
        '--resume',
        '--no-validate',
        '--cfg-options',
        'train_cfg.max_epochs=3',
    )
    assert 'resumed epoch: 2, iter: 12' in done.stdout
    assert not accuracies(done.stdout)
    assert (tmp_path / 'epoch_3.pth').is_file()


def test_dist_train_and_test_on_cpu(run, tmp_path, free_port):
    done = run(
        'bash',
        'tools/dist_train.sh',
        BCL,
        2,
        '--work-dir',
        tmp_path,
        '--auto-scale-lr',
        '--cfg-options',
        *SHORT,
        PORT=free_port,
    )
    assert_quiet(done.stdout)
    if NO_GPU:
        assert 'no GPU: running 2 CPU processes' in done.stdout
    assert 'the current batch size is 128' in done.stdout
    assert '[2][3/3]' in done.stdout  # 331 images, 2 x 64 a step
    (trained,) = accuracies(done.stdout)
    done = run(
        'bash',
        'tools/dist_test.sh',
        BCL,
        tmp_path / 'epoch_2.pth',
        3,
        '--work-dir',
        tmp_path / 'test',
        '--out',
        tmp_path / 'predictions.pkl',
        PORT=free_port,
    )
    # 500 images on 3 processes are padded; none counts twice. (A batch of
    # another size may round the logits of an undecided image otherwise.)
    (tested,) = accuracies(done.stdout)
    assert float(tested) == pytest.approx(float(trained), abs=1)
    assert len(mmengine.load(tmp_path / 'predictions.pkl')) == 500


def test_imagenet_lt_by_options_alone(run, tmp_path, free_port):
    write_lists(tmp_path / 'imagenet', per_class=(3, 2), size=80)
    options = [
        f'data_root={tmp_path / "imagenet"}',
        'model.head.num_classes=2',
        'train_cfg.max_epochs=1',
        'train_dataloader.batch_size=2',
        'train_dataloader.num_workers=1',
        'val_dataloader.num_workers=1',
        'test_dataloader.num_workers=1',
        'model.head.hidden_channels=32',
    ]
    config = 'configs/bcl_resnext50_imagenet_lt.py'
    done = run(
        'bash',
        'tools/dist_train.sh',
        config,
        2,
        '--work-dir',
        tmp_path / 'run',
        '--cfg-options',
        *options,
        PORT=free_port,
    )
    assert 'loss_con' in done.stdout
    assert len(accuracies(done.stdout)) == 1
    done = run(
        sys.executable,
        TEST,
        config,
        tmp_path / 'run' / 'epoch_1.pth',
        '--work-dir',
        tmp_path / 'test',
        '--cfg-options',
        *options,
    )
    assert len(accuracies(done.stdout)) == 1


def test_compare_prints_a_table(run, tmp_path):
    done = run(
        sys.executable,
        'tools/compare.py',
        CE,
        BCL,
        '--seeds',
        0,
        1,
        '--work-dir',
        tmp_path,
        '--cfg-options',
        *SHORT,
    )
    assert_quiet(done.stdout)
    table = [line for line in done.stdout.splitlines() if line[:1] == '|']
    header = '| method | config | top-1 | many-shot | medium-shot | few-shot |'
    assert table[0].split() == header.split()
    cells = [[c.strip() for c in row.split('|')[1:-1]] for row in table[2:]]
    assert [row[:2] for row in cells] == [
        ['cross-entropy', 'ce_resnet8_digits_lt'],
        ['BCL', 'bcl_resnet8_digits_lt'],
    ]
    assert all(row.count('±') == 4 for row in table[2:])
    scalars = [
        json.loads(path.read_text().splitlines()[-1])['accuracy/top1']
        for path in sorted(tmp_path.glob('ce*/*/*/vis_data/scalars.json'))
    ]
    assert len(scalars) == 2
    assert cells[0][2].split()[0] == f'{sum(scalars) / 2:.1f}'


def test_compare_reports_a_failed_run_and_goes_on(run, tmp_path):
    broken = tmp_path / 'broken.py'
    broken.write_text(f"_base_ = '{ROOT / CE}'\nmodel = dict(neck=1)\n")
    done = run(
        sys.executable,
        'tools/compare.py',
        broken,
        CE,
        '--work-dir',
        tmp_path / 'runs',
        '--cfg-options',
        *SHORT,
        ok=False,
    )
    assert 'broken, seed 0 failed: ' in done.stdout
    assert 'Its output is in' in done.stdout
    assert '| cross-entropy' in done.stdout
    assert '| broken' not in done.stdout


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['configs/none.py'], "there is no config 'configs/none.py'"),
        (
            [
                'configs/la_resnet8_fashion_mnist_lt.py',
                '--cfg-options',
                'data_root=nowhere',
            ],
            "data_root 'nowhere' of the train_dataloader does not exist. Fill "
            'it with: python tools/prepare_fashion_mnist.py',
        ),
        (
            [
                'configs/bcl_resnext50_imagenet_lt.py',
                '--cfg-options',
                'data_root=nowhere',
            ],
            "data_root 'nowhere' of the train_dataloader does not exist. It "
            "is ImageNet's folder",
        ),
        (
            [
                'configs/bcl_resnet32_cifar100_lt.py',
                '--cfg-options',
                'data_root=nowhere',
            ],
            "data_root 'nowhere' of the train_dataloader does not exist. "
            'torchvision downloads it',
        ),
        (
            [
                CE,
                '--cfg-options',
                'train_dataloader.batch_size=400',
                'train_dataloader.drop_last=True',
            ],
            'the training set has 331 images, too few for one batch of 400',
        ),
        (
            [CE, '--cfg-options', 'model.head.num_classes=9'],
            'num_classes is 9, but the training set (or class_counts) has 10',
        ),
        (
            [CE, '--resume', 'nothing.pth'],
            'there is no checkpoint',
        ),
        pytest.param(
            [CE, '--amp'],
            '--amp needs an accelerator (a GPU), and this machine has none',
            marks=[] if NO_GPU else pytest.mark.xfail(strict=True),
        ),
    ],
)
def test_errors_of_train(run, tmp_path, arguments, message):
    done = run(
        sys.executable, TRAIN, *arguments, '--work-dir', tmp_path, ok=False
    )
    assert message in done.stdout


def test_what_resume_finds(run, tmp_path):
    def resume(**options):
        command = sys.executable, TRAIN, CE, '--resume', '--work-dir', tmp_path
        return run(*command, '--cfg-options', SHORT[0], **options).stdout

    assert f'no checkpoint in {tmp_path}: starting anew' in resume()
    note = tmp_path / 'last_checkpoint'
    latest = note.read_text()
    note.unlink()
    assert 'holds checkpoints, but' in resume(ok=False)
    note.write_text(f'{latest}.gone')
    assert "epoch_2.pth.gone' (named by" in resume(ok=False)
    note.write_text(latest)
    with open(latest, 'r+b') as file:
        file.truncate(1000)
    assert "epoch_2.pth' is damaged: it is cut short" in resume(ok=False)
    done = run(sys.executable, TEST, CE, latest, ok=False)
    assert "epoch_2.pth' is damaged: it is cut short" in done.stdout


def test_workers_by_options(run, tmp_path):
    for number in (0, 1):
        loader = f'train_dataloader.num_workers={number}'
        run(
            sys.executable,
            TRAIN,
            CE,
            '--work-dir',
            tmp_path,
            '--no-validate',
            '--cfg-options',
            loader,
            'train_cfg.max_epochs=1',
        )
        cfg = Config.fromfile(tmp_path / 'ce_resnet8_digits_lt.py')
        assert cfg.train_dataloader.persistent_workers == bool(number)


def test_errors_of_the_launchers(run):
    done = run('bash', 'tools/dist_train.sh', BCL, ok=False)
    assert 'usage: tools/dist_train.sh CONFIG GPUS' in done.stdout
    done = run('bash', 'tools/dist_test.sh', BCL, 2, ok=False)
    assert 'usage: tools/dist_test.sh CONFIG CHECKPOINT' in done.stdout
    done = run('bash', 'tools/dist_train.sh', BCL, 'two', ok=False)
    assert "GPUS must be a whole number >= 1, got 'two'" in done.stdout
    done = run('bash', 'tools/dist_train.sh', 'none.py', 2, ok=False)
    assert done.stdout == "there is no config 'none.py'\n"
    done = run(sys.executable, TEST, BCL, 'nothing.pth', ok=False)
    assert "there is no checkpoint 'nothing.pth'" in done.stdout


def test_prepare_fashion_mnist(run, tmp_path, monkeypatch):
    tool = ROOT / 'tools' / 'prepare_fashion_mnist.py'
    write_fashion_mnist(tmp_path / 'source')
    for path in (tmp_path / 'source').iterdir():
        path.with_name(f'{path.name}.gz').write_bytes(
            gzip.compress(path.read_bytes())
        )
    folder = tmp_path / 'out'
    command = sys.executable, tool, '--source', tmp_path / 'source', '--out'
    # Whole archives, but of other images than Fashion-MNIST's.
    done = run(*command, folder, ok=False)
    assert 'train-images-idx3-ubyte is damaged: its checksum' in done.stdout
    assert not list(folder.iterdir())
