"""A data set that nobody has seen before, from its check to a table."""

import json
import sys

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS

from tests.cli.common import TEST, TRAIN, accuracies, assert_quiet
from tests.conftest import ROOT
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


def train(run, tmp_path, root, *options, ok=True, more=()):
    command = sys.executable, TRAIN, LEAF, '--work-dir', tmp_path / 'run'
    options = f'data_root={root}', *SHORT, *options
    return run(*command, *more, '--cfg-options', *options, ok=ok).stdout


def test_from_one_tree_to_a_tested_checkpoint(run_warm, tmp_path, tree):
    output = train(run_warm, tmp_path, tree)
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
        output = run_warm(
            *(sys.executable, TEST, LEAF, checkpoint, '--out', out),
            *('--out-item', 'metrics', '--work-dir', tmp_path / 'test'),
            *('--cfg-options', 'model.backbone.depth=8', *options),
            'test_dataloader.num_workers=0',
        ).stdout
        assert_quiet(output)
        metrics = json.loads(out.read_text())
        assert 0 <= metrics['accuracy/few'] <= 100
        if split == 'val':
            assert metrics['accuracy/top1'] == pytest.approx(
                float(trained), abs=1e-3
            )


def test_pretrained_and_resumed(run_warm, tmp_path, tree):
    net = MODELS.build(dict(type='bcl_mm.CIFARResNet', depth=8))
    weights, file = net.state_dict(), tmp_path / 'net.pth'
    torch.save(weights, file)
    options = f'pretrained={file}', 'optim_wrapper.optimizer.lr=0'
    output = train(run_warm, tmp_path, tree, *options)
    assert_quiet(output)
    trained = torch.load(tmp_path / 'run' / 'epoch_1.pth')['state_dict']
    for name, weight in weights.items():
        if name.endswith('weight'):
            assert torch.equal(trained[f'backbone.{name}'], weight), name
    # What is resumed needs the file no more.
    file.unlink()
    more = '--resume', '--no-validate'
    output = train(
        *(run_warm, tmp_path, tree, *options, 'train_cfg.max_epochs=2'),
        more=more,
    )
    assert 'resumed epoch: 1' in output
    assert 'max_epochs was 1 when training started, and is 2 now' in output
    write_classes(tree, (3,), ['a new class'])
    output = train(run_warm, tmp_path, tree, ok=False, more=more)
    assert (
        "than the training part (or classes=[...]), but it has 'a n" in output
    )


def test_a_relative_path_in_a_comparison(run, tmp_path, tree):
    done = run(
        *(sys.executable, ROOT / 'tools/compare.py'),
        *(ROOT / 'configs/la_resnet32_custom.py', '--work-dir', 'compare'),
        *('--cfg-options', 'data_root=tree', *SHORT),
        cwd=tmp_path,
    )
    assert '| logit adjustment | la_resnet32_custom |' in done.stdout


def test_an_error_is_a_sentence(run_warm, tmp_path, tree):
    option = 'pretrained=timm://resnet5'
    output = train(run_warm, tmp_path, tree, option, ok=False)
    *_, last = output.splitlines()
    assert last.startswith("Error: timm has no model 'resnet5'; similar")


def test_a_list_with_groups_through_the_config(run_warm, tmp_path, tree):
    paths = sorted(tree.glob('*/*'))
    rows = [
        f'{path.relative_to(tree)};{path.parent.name};p{i % 9}'
        for i, path in enumerate(paths)
    ]
    (tree / 'all.csv').write_text('\n'.join(['Image;dx;patient', *rows]))
    chosen = (
        *('label_column=dx', 'group_column=patient', 'min_images=5'),
        'ignore_classes=[class 01]',
    )
    trained = train(run_warm, tmp_path, tree, *chosen)
    assert_quiet(trained)
    lines = trained.splitlines()
    for line in (
        f'{tree}/all.csv: path is the column Image, label is the column dx, '
        'group is the column patient; separated by semicolons',
        f'{tree}/all.csv: group_column finds 9 groups',
        'left out by ignore_classes: class 01',
    ):
        assert lines.count(line) == 1
    meta = torch.load(tmp_path / 'run' / 'epoch_1.pth')['meta']
    kept = [i for i, n in enumerate(COUNTS) if n >= 5 and i != 1]
    names = tuple(f'class {i:02}' for i in kept)
    assert meta['dataset_meta']['classes'] == names
    output = run_warm(
        *(sys.executable, TEST, LEAF, tmp_path / 'run' / 'epoch_1.pth'),
        *('--work-dir', tmp_path / 'test', '--cfg-options'),
        *(f'data_root={tree}', 'model.backbone.depth=8', *chosen),
        'test_dataloader.num_workers=0',
    ).stdout
    assert accuracies(output) == accuracies(trained)
