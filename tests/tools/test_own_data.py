"""A data set that nobody has seen before, from its check to a table."""

import json
import sys

import pytest
import torch
from mmengine.config import Config

from tests.conftest import ROOT
from tests.tools.common import TEST, TRAIN, accuracies, assert_quiet
from tests.trees import write_classes

LEAF = 'configs/bcl_resnet32_custom.py'
COUNTS = (30, 20, 14, 10, 8, 6, 5, 4, 3, 2, 2, 2)
# A net so small that its training takes a second.
SHORT = ('train_cfg.max_epochs=1', 'model.backbone.depth=8')
SHORT += tuple(f'{p}_dataloader.num_workers=0' for p in ('train', 'val'))


@pytest.fixture
def tree(tmp_path):
    write_classes(tmp_path / 'tree', COUNTS)
    return tmp_path / 'tree'


def train(run, tmp_path, root, *options, ok=True, leaf=LEAF, more=()):
    command = sys.executable, TRAIN, leaf, '--work-dir', tmp_path / 'run'
    options = f'data_root={root}', *SHORT, *options
    return run(*command, *more, '--cfg-options', *options, ok=ok).stdout


def test_from_one_tree_to_a_tested_checkpoint(run, tmp_path, tree):
    output = train(run, tmp_path, tree)
    assert_quiet(output)
    (trained,) = accuracies(output)
    checkpoint = tmp_path / 'run' / 'epoch_1.pth'
    meta = torch.load(checkpoint)['meta']
    names = tuple(f'class {label:02}' for label in range(len(COUNTS)))
    assert meta['dataset_meta']['classes'] == names
    val = [min(max(1, round(0.2 * n)), n - 1) for n in COUNTS]
    assert meta['class_counts'] == [n - v for n, v in zip(COUNTS, val)]
    # What mmpretrain's own tools are given.
    dumped = tmp_path / 'run' / 'bcl_resnet32_custom.py'
    assert Config.fromfile(dumped).model.head.num_classes == 12

    # Without the training set, and with a class that came later.
    rest = tmp_path / 'rest'
    write_classes(rest / 'test', (2, 0, 3), names)
    (rest / 'train' / 'a new class').mkdir(parents=True)
    tests = {
        'val': [f'data_root={tree}'],
        'test': [f'data_root={rest}', 'test_dataloader.dataset.split=test'],
    }
    for split, options in tests.items():
        out = tmp_path / f'{split}.json'
        output = run(
            *(sys.executable, TEST, LEAF, checkpoint, '--out', out),
            *('--out-item', 'metrics', '--work-dir', tmp_path / 'test'),
            *('--cfg-options', 'model.backbone.depth=8', *options),
            'test_dataloader.num_workers=0',
        ).stdout
        assert_quiet(output)
        metrics = json.loads(out.read_text())
        if split == 'val':
            assert metrics['accuracy/top1'] == pytest.approx(float(trained))


def test_pretrained_and_resumed(run, tmp_path, tree):
    output = train(run, tmp_path, tree)
    first = (tmp_path / 'run' / 'epoch_1.pth').rename(tmp_path / 'first.pth')
    option = f'pretrained={first}'
    leaf = 'configs/ce_resnet32_custom.py'
    output = train(run, tmp_path, tree, option, 'optim_wrapper.optimizer.lr=0')
    assert_quiet(output)
    second = torch.load(tmp_path / 'run' / 'epoch_1.pth')['state_dict']
    weights = torch.load(first)['state_dict']
    for name, weight in weights.items():
        if name.startswith('backbone.') and name.endswith('weight'):
            assert torch.equal(second[name], weight), name
    # What is resumed needs the file no more.
    first.rename(tmp_path / 'elsewhere.pth')
    more = '--resume', '--no-validate'
    output = train(run, tmp_path, tree, option, SHORT[0][:-1] + '2', more=more)
    assert 'resumed epoch: 1' in output
    output = train(run, tmp_path, tree, option, ok=False, leaf=leaf)
    assert f"FileNotFoundError: there is no checkpoint '{first}'" in output


def test_relative_paths_in_a_comparison(run, tmp_path, tree):
    configs = [ROOT / f'configs/{m}_resnet32_custom.py' for m in ('ce', 'la')]
    done = run(
        *(sys.executable, ROOT / 'tools/compare.py', *configs),
        *('--work-dir', tmp_path / 'compare', '--cfg-options'),
        *('data_root=tree', *SHORT),
        cwd=tmp_path,
    )
    assert 'logit adjustment | la_resnet32_custom' in done.stdout
    assert (tmp_path / 'compare' / 'results.csv').is_file()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (
            ['data_root=nowhere'],
            "'nowhere' of the train_dataloader does not exist. It is a folder",
        ),
        (['split_seed=-1'], 'ValueError: split_seed must be >= 0, got -1'),
        (
            ['pretrained=timm://resnet5'],
            "ValueError: timm has no model 'resnet5'; similar are",
        ),
        (
            ['model.head.num_classes=3'],
            'num_classes is 3, but the training set (or class_counts) has 12',
        ),
    ],
)
def test_errors(run, tmp_path, tree, options, message):
    output = train(run, tmp_path, tree, *options, ok=False)
    assert message in output
