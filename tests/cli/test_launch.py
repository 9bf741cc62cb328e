"""dist_train.sh and dist_test.sh, on CPU processes."""

import sys

import mmengine
import pytest

from tests.cli.common import (
    BCL,
    NO_GPU,
    ON_TEST_IMAGES,
    SHORT,
    TEST,
    TRAIN,
    accuracies,
    assert_quiet,
)
from tests.trees import write_lists

# Each process says how many threads of gloo it leaves.
CONFIG = f"""{ON_TEST_IMAGES}
custom_imports = dict(imports=['tests.cli.gloo_threads'])
"""


def test_dist_train_and_test_on_cpu(run, tmp_path, free_port):
    config = tmp_path / 'mine.py'
    config.write_text(CONFIG)
    done = run(
        'bash',
        'tools/dist_train.sh',
        config,
        2,
        '--work-dir',
        tmp_path,
        '--auto-scale-lr',
        *('--log', 'tensorboard'),  # no option of torchrun's
        '--cfg-options',
        *SHORT,
        PORT=free_port,
    )
    assert_quiet(done.stdout)
    assert done.stdout.count('threads of gloo: 0') == 2
    if NO_GPU:
        assert 'no GPU: running 2 CPU processes' in done.stdout
    assert 'the current batch size is 128' in done.stdout
    assert '[2][3/3]' in done.stdout  # 331 images, 2 x 64 a step
    assert len(list(tmp_path.glob('*/vis_data/events.out.tfevents.*'))) == 1
    (trained,) = accuracies(done.stdout)
    done = run(
        'bash',
        'tools/dist_test.sh',
        config,
        tmp_path / 'epoch_2.pth',
        3,
        '--work-dir',
        tmp_path / 'test',
        '--out',
        tmp_path / 'predictions.pkl',
        PORT=free_port,
    )
    assert done.stdout.count('threads of gloo: 0') == 3
    # 500 images on 3 processes are padded; none counts twice. (A batch of
    # another size may round the logits of an undecided image otherwise.)
    (tested,) = accuracies(done.stdout)
    assert float(tested) == pytest.approx(float(trained), abs=1)
    assert len(mmengine.load(tmp_path / 'predictions.pkl')) == 500


@pytest.mark.slow
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


def test_errors_of_the_launchers(run):
    done = run('bash', 'tools/dist_train.sh', BCL, ok=False)
    assert 'usage: tools/dist_train.sh CONFIG GPUS' in done.stdout
    done = run('bash', 'tools/dist_test.sh', BCL, 2, ok=False)
    assert 'usage: tools/dist_test.sh CONFIG CHECKPOINT' in done.stdout
    done = run('bash', 'tools/dist_train.sh', BCL, 'two', ok=False)
    assert "GPUS: must be a whole number >= 1, got 'two'" in done.stdout
    done = run('bash', 'tools/dist_train.sh', 'none.py', 2, ok=False)
    assert done.stdout == "Error: there is no config 'none.py'\n"
    done = run(sys.executable, TEST, BCL, 'nothing.pth', ok=False)
    assert "there is no checkpoint 'nothing.pth'" in done.stdout


@pytest.mark.slow
@pytest.mark.skipif(not NO_GPU, reason='GPUs can')
@pytest.mark.parametrize(
    'option', ['sync_bn=torch', 'model.backbone.norm_cfg.type=SyncBN']
)
def test_sync_batch_norm_needs_gpus(run, option):
    command = sys.executable, TRAIN, BCL, '--launcher', 'pytorch'
    done = run(*command, '--cfg-options', option, ok=False)
    assert 'SyncBatchNorm needs GPUs, and this machine has none' in done.stdout
