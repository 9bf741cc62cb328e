"""train.py and test.py, run as a user runs them."""

import json
import sys

import pytest
import torch
from mmengine.config import Config

import bcl_mm  # noqa: F401  (allows torch.load what checkpoints contain)
from bcl_mm.cli import interruption
from bcl_mm.engine.run_config import read_run_config
from tests.cli.common import (
    BCL,
    CE,
    NO_GPU,
    ON_TEST_IMAGES,
    SHORT,
    TEST,
    TRAIN,
    accuracies,
    assert_quiet,
)
from tests.conftest import ROOT


def test_train_resume_and_test(run, run_warm, tmp_path):
    config = tmp_path / 'mine.py'
    config.write_text(ON_TEST_IMAGES)
    done = run(
        sys.executable,
        TRAIN,
        config,
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
        config,
        checkpoint,
        '--work-dir',
        tmp_path / 'test',
        '--out',
        tmp_path / 'metrics.json',
        '--out-item',
        'metrics',
    )
    assert_quiet(done.stdout)
    assert read_run_config(tmp_path / 'config.json').model.type
    metrics = json.loads((tmp_path / 'metrics.json').read_text())
    assert metrics['accuracy/top1'] == pytest.approx(float(trained))
    groups = ('top1', 'many', 'medium', 'few')
    assert {f'accuracy/{name}' for name in groups} < set(metrics)

    done = run_warm(
        sys.executable,
        TRAIN,
        config,
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
def test_errors_of_train(call, monkeypatch, tmp_path, arguments, message):
    monkeypatch.setattr(interruption, 'watch', lambda work_dir=None: None)
    status, _, errors = call('train', *arguments, '--work-dir', tmp_path)
    assert status == 1
    assert message in errors


def test_what_resume_finds(run_warm, tmp_path):
    def resume(**options):
        command = sys.executable, TRAIN, CE, '--resume', '--work-dir', tmp_path
        return run_warm(*command, '--cfg-options', SHORT[0], **options).stdout

    assert f'no checkpoint in {tmp_path}: starting anew' in resume()
    note = tmp_path / 'last_checkpoint'
    latest = note.read_text()
    note.write_text(latest)
    with open(latest, 'r+b') as file:
        file.truncate(1000)
    output = resume()
    assert "epoch_2.pth' is damaged: it is cut short (named by" in output
    assert f'Resuming from {tmp_path / "epoch_1.pth"}, the newest' in output
    assert 'resumed epoch: 1, iter: 6' in output
    assert note.read_text() == latest  # and complete again
    for path in tmp_path.glob('epoch_*.pth'):
        path.write_bytes(b'')
    output = resume(ok=False)
    assert (
        'holds checkpoints, and training can resume from none of th' in output
    )
    assert 'give another one, --resume FILE' in output
    done = run_warm(sys.executable, TEST, CE, latest, ok=False)
    assert "epoch_2.pth' is damaged: it is cut short" in done.stdout


def test_workers_by_options(run_warm, tmp_path):
    for number in (0, 1):
        loader = f'train_dataloader.num_workers={number}'
        run_warm(
            sys.executable,
            TRAIN,
            CE,
            '--work-dir',
            tmp_path,
            '--no-validate',
            '--cfg-options',
            loader,
            'train_dataloader.persistent_workers=True',
            'train_cfg.max_epochs=1',
        )
        cfg = Config.fromfile(tmp_path / 'ce_resnet8_digits_lt.py')
        assert cfg.train_dataloader.persistent_workers == bool(number)


def test_data_root_of_ones_own_config_that_reaches_nothing(run_warm, tmp_path):
    config = tmp_path / 'mine.py'
    config.write_text(
        f"_base_ = '{ROOT}/configs/ce_resnet8_fashion_mnist_lt.py'\n"
        "data_root = 'elsewhere'\n"
    )
    done = run_warm(
        *(sys.executable, TRAIN, config, '--work-dir', tmp_path / 'run'),
        *('--cfg-options', 'test_dataloader.dataset.data_root=nowhere'),
        ok=False,
    )
    assert "Note: data_root = 'elsewhere' of the config reaches" in done.stdout
    assert "which read 'data/fashion_mnist', 'nowhere'" in done.stdout


@pytest.mark.slow
def test_a_compiled_training_step_is_the_same(run, tmp_path):
    def weights(name, *more):
        run(
            *(sys.executable, TRAIN, BCL, '--work-dir', tmp_path / name),
            *('--no-validate', '--cfg-options', 'train_cfg.max_epochs=1'),
            *more,
            OMP_NUM_THREADS='1',
        )
        return torch.load(tmp_path / name / 'epoch_1.pth')['state_dict']

    plain = weights('plain')
    compiled = weights('compiled', 'compile.backend=aot_eager')
    for name, weight in plain.items():
        assert torch.allclose(compiled[name], weight, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_an_error_names_the_checkpoint_to_resume_from(run, tmp_path):
    command = sys.executable, TRAIN, CE, '--work-dir', tmp_path, '--resume'
    command += '--no-validate', '--cfg-options'
    run(*command, 'train_cfg.max_epochs=1')
    options = 'train_cfg.max_epochs=2', 'data_preprocessor.mean=[1e38]'
    done = run(*command, *options, ok=False)
    assert 'the loss is not finite: loss=nan' in done.stdout
    assert 'Traceback' not in done.stdout
    *_, last = done.stdout.splitlines()
    assert last == f'--resume resumes from {tmp_path}/epoch_1.pth.'


def test_a_work_dir_that_cannot_be_is_named_in_a_sentence(run_warm, tmp_path):
    path = tmp_path / 'file'
    path.touch()
    done = run_warm(sys.executable, TRAIN, CE, '--work-dir', path, ok=False)
    *_, last = done.stdout.splitlines()
    assert last == f"Error: work_dir '{path}' cannot be made: File exists"
    assert 'Traceback' not in done.stdout
