"""docs/add_a_method.md does what it says: its files train."""

import re
import sys

import pytest
import torch

import bcl_mm.registry  # noqa: F401 - lets torch.load read what follows
from tests.cli.common import SHORT, accuracies, assert_quiet
from tests.conftest import ROOT

TEXT = (ROOT / 'docs' / 'add_a_method.md').read_text()


def blocks(language):
    return re.findall(rf'^```{language}\n(.*?)^```', TEXT, re.M | re.S)


# The console script is tested where the wheel is.
COMMANDS = [
    line.replace('bcl-mm', f'{sys.executable} -m bcl_mm')
    for line in ''.join(blocks('bash')).splitlines()
]
OPTIONS = '--cfg-options', *SHORT


@pytest.fixture
def folder(tmp_path):
    """The files of the text, beside the project's own folders."""
    for code in blocks('python'):
        (name,) = re.findall(r'^# (\w+\.py)\n', code)
        (tmp_path / name).write_text(code)
    for name in ('bcl_mm', 'configs', 'tools'):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def train(run, folder, name):
    """Train as the text says; returns output and state of the model."""
    (command,) = (c for c in COMMANDS if c.endswith(f' train {name}.py'))
    done = run('bash', '-c', ' '.join([command, *OPTIONS]), cwd=folder)
    assert_quiet(done.stdout)
    assert len(accuracies(done.stdout)) == 1
    path = folder / 'work_dirs' / name / 'epoch_2.pth'
    return done.stdout, torch.load(path)['state_dict']


def test_the_loss_is_short():
    code = next(code for code in blocks('python') if 'my_loss.py' in code)
    lines = [line for line in code.splitlines() if line.strip(' #')]
    assert len(lines) <= 20


def test_its_commands(run, folder):
    train(run, folder, 'smooth')
    (compare,) = (c for c in COMMANDS if ' compare ' in c)
    compare = compare.replace('--seeds 0 1', '--seeds 0 --jobs 2')
    done = run('bash', '-c', ' '.join([compare, *OPTIONS]), cwd=folder)
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


def test_its_branch(run, folder):
    output, state = train(run, folder, 'means')
    assert 'loss_means: ' in output
    assert 'batch_distance: ' in output
    means = state['head.branches.means.means']  # (10, 64)
    assert means.any(dim=1).all()
    assert means.isfinite().all()


def test_its_head(run, folder):
    _, state = train(run, folder, 'three')
    weights = [state[f'head.classifier.{i}.weight'] for i in range(3)]
    assert len({weight.sum().item() for weight in weights}) == 3


def test_what_training_tells_its_branch(run, folder, monkeypatch):
    output, state = train(run, folder, 'scheduled')
    for name in ('loss_cls', 'loss_con', 'loss_means'):
        assert f'{name}: ' in output
    prefix = 'head.branches.means.'
    assert state[prefix + 'is_fixed']
    share = state[prefix + 'share']
    counts = state['head.class_counts']
    assert torch.allclose(share, counts / counts.sum())

    monkeypatch.syspath_prepend(str(folder))
    from scheduled_means import ScheduledMeans

    branch = ScheduledMeans(3, 4, weight=2.0)
    branch.set_class_complement(True, None, 0)
    assert branch.sees_all_classes
    branch.set_progress(0.25)
    assert branch.weight == 0.5
    rows, labels = torch.randn(5, 4), torch.tensor([0, 1, 2, 0, 1])
    branch.update(rows, labels)
    before = branch.means.clone()
    assert before.any()
    branch.start_epoch(1)
    branch.update(rows, labels)
    assert torch.equal(branch.means, before)


def test_no_method_that_training_calls_is_left_out():
    """Each is in the table, and in the example."""
    methods = re.findall(r'^\| `((?:set|start)_\w+)\(', TEXT, re.M)
    (code,) = (c for c in blocks('python') if '# scheduled_means.py' in c)
    assert len(methods) == 4
    assert all(f'def {method}(' in code for method in methods)
