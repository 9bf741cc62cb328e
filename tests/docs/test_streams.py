"""docs/streams.md does what it says: its shards train."""

import json
import re
import sys

import pytest
import torch

import bcl_mm.registry  # noqa: F401 - lets torch.load read what follows
from tests.cli.common import accuracies
from tests.conftest import ROOT
from tests.trees import write_classes

TEXT = (ROOT / 'docs' / 'streams.md').read_text()
SMALL = [
    'train_cfg.max_epochs=2',
    'train_cfg.val_interval=1',
    'train_dataloader.batch_size=4',
    'val_dataloader.num_workers=0',
    'val_dataloader.persistent_workers=False',
]


@pytest.fixture
def folder(tmp_path):
    """The files of the text, and shards that they have written."""
    for code in re.findall(r'^```python\n(.*?)^```', TEXT, re.M | re.S):
        (name,) = re.findall(r'^# (\w+\.py)\n', code)
        code = code.replace('maxcount=1000', 'maxcount=4')
        (tmp_path / name).write_text(code)
    for name in ('bcl_mm', 'configs'):
        (tmp_path / name).symlink_to(ROOT / name)
    write_classes(tmp_path / 'data' / 'folder', (14, 9, 6), ('a', 'b', 'c'))
    return tmp_path


def train(run, folder, *options, launch=(), **env):
    """Train on the shards; returns the output."""
    return run(
        *(sys.executable, '-m', 'bcl_mm', *launch, 'train', 'on_shards.py'),
        *(*options, '--cfg-options', *SMALL),
        cwd=folder,
        **env,
    ).stdout


def weights(folder, epoch):
    path = folder / f'epoch_{epoch}.pth'
    return torch.load(path)['state_dict']


def test_its_shards_train_resume_and_serve_processes(
    run, run_warm, folder, free_port
):
    run_warm(sys.executable, 'write_shards.py', cwd=folder)
    counts = json.loads((folder / 'shards' / 'counts.json').read_text())
    assert sum(counts['counts']) == 23  # without those for validation
    whole, resumed = folder / 'whole', folder / 'resumed'
    output = train(run_warm, folder, '--work-dir', whole)
    assert output.count('is a stream') == 1
    assert '2 epochs of 6 iterations' in output
    assert len(accuracies(output)) == 2
    resumed.mkdir()
    (resumed / 'epoch_1.pth').symlink_to(whole / 'epoch_1.pth')
    (resumed / 'last_checkpoint').write_text(str(resumed / 'epoch_1.pth'))
    train(run_warm, folder, '--work-dir', resumed, '--resume')
    expected = weights(whole, 2)
    for name, weight in weights(resumed, 2).items():
        assert torch.equal(weight, expected[name]), name
    output = train(run, folder, launch=('launch', '2'), PORT=free_port)
    assert output.count('is a stream') == 1
    assert '2 epochs of 3 iterations' in output  # 12 of 23 images each
    assert len(accuracies(output)) == 2
