"""slurm_train.sh and slurm_test.sh, with an srun that prints its words."""

import os
import shutil

import pytest

from tests.cli.common import BCL

CHECKPOINT = 'epoch_1.pth'
TRAIN = ('bash', 'tools/slurm_train.sh', 'gpu', 'job name', BCL)
TEST = ('bash', 'tools/slurm_test.sh', 'gpu', 'job', BCL, CHECKPOINT)


@pytest.fixture
def srun(tmp_path, run):
    """Run a script; the words that srun received, and its MASTER_PORT."""
    folder = tmp_path / 'bin'
    folder.mkdir()
    fake = folder / 'srun'
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$MASTER_PORT" "$@"\n')
    fake.chmod(0o755)

    def run_script(*command, **env):
        path = f'{folder}{os.pathsep}{os.environ["PATH"]}'
        done = run(*command, PATH=path, PYTHON='python', **env)
        return done.stdout.splitlines()

    return run_script


def test_words_of_srun(srun):
    port, *words = srun(*TRAIN, 16, '--amp', '--work-dir', 'a folder')
    assert port == '29500'
    assert words[:9] == [
        '--partition=gpu',
        '--job-name=job name',
        '--nodes=2',
        '--ntasks=16',
        '--ntasks-per-node=8',
        '--gres=gpu:8',
        '--cpus-per-task=5',
        '--kill-on-bad-exit=1',
        'python',
    ]
    assert words[9:] == [
        *('-u', '-m', 'bcl_mm', 'train', BCL, '--amp'),
        *('--work-dir', 'a folder', '--launcher', 'slurm'),
    ]


def test_settings_of_srun(srun):
    port, *words = srun(
        *(*TEST, 4, '--out', 'out.pkl'),
        GPUS_PER_NODE='2',
        CPUS_PER_TASK='3',
        SRUN_ARGS='--time=1-0 --qos=low',
        PORT='1234',
    )
    assert port == '1234'
    assert '--nodes=2' in words
    assert '--gres=gpu:2' in words
    assert '--cpus-per-task=3' in words
    assert '--time=1-0' in words
    assert '--qos=low' in words
    assert words[-6:] == [
        *(BCL, CHECKPOINT, '--out', 'out.pkl', '--launcher', 'slurm')
    ]
    _, *words = srun(*TRAIN, 3)
    assert '--gres=gpu:3' in words
    assert '--nodes=1' in words


def test_errors(run):
    def error(*command, **env):
        return run(*command, ok=False, **env).stdout

    usage = 'usage: tools/slurm_train.sh PARTITION JOB_NAME CONFIG GPUS'
    assert error(*TRAIN).startswith(usage)
    assert error(*TEST).startswith('usage: tools/slurm_test.sh PARTITION')
    assert error(*TRAIN, 'two').startswith('GPUS must be a whole number')
    assert 'must be a multiple of GPUS_PER_NODE, got 12 and 8' in error(
        *TRAIN, 12
    )
    assert "CPUS_PER_TASK must be a whole number >= 1, got '0'" in error(
        *TRAIN, 1, CPUS_PER_TASK='0'
    )
    for port in ('99999', '9' * 30):
        assert error(*TRAIN, 1, PORT=port) == (
            f"PORT must be a whole number in [1, 65535], got '{port}'\n"
        )
    assert error(*TRAIN[:-1], 'none.py', 1) == "there is no config 'none.py'\n"
    if shutil.which('srun') is None:
        output = error(*TRAIN, 1)
        assert output.startswith('there is no srun on this machine')
        assert len(output.splitlines()) == 1
