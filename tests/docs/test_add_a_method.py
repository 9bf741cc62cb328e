"""docs/add_a_loss.md does what it says: its files train."""

import re
import sys

import pytest

from tests.cli.common import SHORT, accuracies, assert_quiet
from tests.conftest import ROOT

TEXT = (ROOT / 'docs' / 'add_a_loss.md').read_text()


def blocks(language):
    return re.findall(rf'^```{language}\n(.*?)^```', TEXT, re.M | re.S)


@pytest.fixture
def folder(tmp_path):
    """The files of the text, beside the project's own folders."""
    for code in blocks('python'):
        (name,) = re.findall(r'^# (\w+\.py)\n', code)
        (tmp_path / name).write_text(code)
    for name in ('bcl_mm', 'configs', 'tools'):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def test_the_loss_is_short():
    code = next(code for code in blocks('python') if 'my_loss.py' in code)
    lines = [line for line in code.splitlines() if line.strip(' #')]
    assert len(lines) <= 20


def test_its_commands(run, folder):
    options = '--cfg-options', *SHORT
    train, compare = ''.join(blocks('bash')).splitlines()
    done = run('bash', '-c', ' '.join([train, *options]), cwd=folder)
    assert_quiet(done.stdout)
    assert len(accuracies(done.stdout)) == 1
    assert (folder / 'work_dirs' / 'smooth' / 'epoch_2.pth').is_file()
    compare = compare.replace('--seeds 0 1', '--seeds 0 --jobs 2')
    done = run('bash', '-c', ' '.join([compare, *options]), cwd=folder)
    assert_quiet(done.stdout)
    rows = re.findall(r'^\| (\w.*?) +\| \w+ +\| \d', done.stdout, re.M)
    assert rows == ['logit adjustment', 'balanced softmax, smoothed']


def test_its_check(run, folder):
    done = run(sys.executable, 'check_my_loss.py', cwd=folder, PYTHONPATH='.')
    assert done.stdout == 'they agree\n'


def test_a_loss_of_mmpretrain_goes_into_the_head(folder):
    (line,) = re.findall(r'`loss_cls=(dict\(_delete_.*?)`', TEXT)
    from mmengine.registry import MODELS

    settings = eval(line)
    settings.pop('_delete_')
    head = dict(type='bcl_mm.BCLHead', num_classes=4, in_channels=8)
    MODELS.build(dict(head, loss_cls=settings, loss_con=None))
