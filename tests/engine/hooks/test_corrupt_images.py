"""Damaged training images: an error, or replaced and listed."""

import os
import re
from types import SimpleNamespace

import pytest
from mmengine.registry import DefaultScope
from mmpretrain.datasets import CustomDataset

from bcl_mm.datasets import ImageNetLT
from bcl_mm.datasets.transforms.loading import CorruptImageError
from bcl_mm.engine.hooks import CorruptImageHook
from tests.datasets.transforms.test_loading import (
    LOAD,
    jpeg,
)
from tests.engine.hooks.common import INFO_HOOKS, make
from tests.trees import write_lists

MODEL = dict(
    type='mmpretrain.ImageClassifier',
    data_preprocessor=dict(type='bcl_mm.MultiViewDataPreprocessor'),
    backbone=dict(type='bcl_mm.CIFARResNet', depth=8, base_channels=4),
    neck=dict(type='mmpretrain.GlobalAveragePooling'),
    head=dict(
        type='bcl_mm.BCLHead', num_classes=3, in_channels=16, loss_con=None
    ),
)


def train(root, work_dir, on_corrupt='error', workers=0, wrap=None, **options):
    """Train on a tree of lists; returns the runner and its warnings."""
    dataset = dict(
        type='bcl_mm.ImageNetLT',
        data_root=str(root),
        ann_file='ImageNet_LT_train.txt',
        pipeline=[
            LOAD,
            dict(type='bcl_mm.RandomResizedCrop', size=16),
            dict(type='mmpretrain.PackInputs'),
        ],
    )
    options['experiment_name'] = f'{work_dir.parent.name}_{work_dir.name}'
    runner = make(
        work_dir,
        train=dict(wrap, dataset=dataset) if wrap else dataset,
        default_hooks=dict(
            logger=dict(type='LoggerHook'),
            **INFO_HOOKS,
            corrupt_images=dict(
                type='bcl_mm.CorruptImageHook', on_corrupt=on_corrupt
            ),
            sample_seed=dict(type='bcl_mm.SampleSeedHook'),
            finite_loss=dict(type='bcl_mm.FiniteLossHook'),
        ),
        model=MODEL,
        val_cfg=None,
        val_dataloader=None,
        val_evaluator=None,
        **options,
    )
    runner._train_dataloader.update(batch_size=4, num_workers=workers)
    warnings, seen = [], []
    runner.logger.warning = warnings.append
    step = runner.model.train_step

    def train_step(data, optim_wrapper):
        seen.extend(data['data_samples'])
        return step(data, optim_wrapper)

    runner.model.train_step = train_step
    runner.train()
    return runner, [w for w in warnings if 'loaded' in w], seen


@pytest.fixture
def tree(tmp_path):
    """12 images of 3 classes, two of the first class cut short."""
    root = tmp_path / 'imagenet'
    write_lists(root)
    bad = sorted((root / 'train' / 'n01440764').iterdir())[1:3]
    for path in bad:
        os.truncate(path, path.stat().st_size // 2)
    return root, list(map(str, bad))


@pytest.mark.parametrize('workers', [0, 2])
def test_an_error_ends_training(tree, tmp_path, workers):
    root, bad = tree
    with pytest.raises(CorruptImageError) as raised:
        train(root, tmp_path / 'work', workers=workers)
    last_line = str(raised.value).strip().splitlines()[-1]
    assert re.search(r"image '(.+)' is cut short", last_line)[1] in bad


@pytest.mark.long
def test_skipped_images_are_listed_for_each_epoch(tree, tmp_path):
    root, bad = tree
    weights = []
    for workers in (0, 2):
        runner, warnings, seen = train(
            root, tmp_path / f'work{workers}', 'skip', workers
        )
        weights.append(runner.model.state_dict())
        assert len(warnings) == 2  # one for each epoch
        for epoch, warning in enumerate(warnings, 1):
            head, *lines = warning.splitlines()
            assert head == (
                f'Epoch {epoch}: 2 images could not be loaded; in place of 2 '
                'samples, others of the class were taken:'
            )
            assert [line.split("'")[1] for line in lines] == bad
            assert all('is cut short' in line for line in lines)
        # As many images of each class as without damage.
        labels = [int(sample.gt_label) for sample in seen]
        assert [labels.count(i) for i in range(3)] == [12, 8, 4]
        assert not {sample.img_path for sample in seen} & set(bad)
    for name, value in weights[0].items():
        assert value.equal(weights[1][name])


def test_what_replaces_an_image_is_in_the_subset(tree, tmp_path):
    root, bad = tree
    wrap = dict(type='bcl_mm.LongTailDataset', imbalance_factor=2)
    runner, (first, _), seen = train(root, tmp_path / 'w', 'skip', wrap=wrap)
    kept = {
        runner.train_dataloader.dataset.get_data_info(i)['img_path']
        for i in range(len(runner.train_dataloader.dataset))
    }
    assert {sample.img_path for sample in seen} == kept - set(bad)


@pytest.mark.long
def test_iterations_instead_of_epochs(tree, tmp_path):
    root, _ = tree
    _, warnings, _ = train(
        root,
        tmp_path / 'work',
        'skip',
        train_cfg=dict(by_epoch=False, max_iters=5),
    )
    # 3 iterations per epoch; the second epoch is incomplete.
    assert warnings[0].startswith('Epoch 1: 2 images could not be loaded')
    assert len(warnings) == 1 or warnings[1].startswith('Epoch 2: ')


@pytest.mark.long
def test_a_class_without_any_image_ends_training(tree, tmp_path):
    root, _ = tree
    for path in (root / 'train' / 'n01440766').iterdir():
        path.write_bytes(b'')
    with pytest.raises(
        CorruptImageError,
        match=r"n01440766/.*' is empty; no other image of class 2 can be",
    ):
        train(root, tmp_path / 'work', 'skip')


def test_a_loss_of_nan_names_the_paths(tree, tmp_path):
    root, _ = tree
    with pytest.raises(FloatingPointError) as raised:
        train(
            root,
            tmp_path / 'work',
            'skip',
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=1e38)),
        )
    _, listed = str(raised.value).split('Images of the batch: ')
    named = re.findall("'(.*?)'", listed)
    assert named
    assert all(os.path.isfile(path) for path in named)


def test_on_corrupt_is_checked():
    with pytest.raises(ValueError, match="'error' or 'skip', got 'ignore'"):
        CorruptImageHook('ignore')


def test_ranks_report_together(monkeypatch):
    hook, lines = CorruptImageHook('skip'), []
    monkeypatch.setattr(
        'bcl_mm.engine.hooks.corrupt_images.all_gather_object',
        lambda own: [own, ({"image 'b'"}, 1)],
    )
    # One sample had a damaged substitute first, one had none, one is whole.
    samples = [
        dict(left_out=["image 'c'", "image 'b'"]),
        dict(left_out=["image 'c'"]),
        {},
    ]
    runner = SimpleNamespace(
        logger=SimpleNamespace(warning=lines.append),
        train_dataloader=[None] * 5,
        train_loop=None,
        iter=14,
        max_iters=100,
    )
    hook.after_train_iter(runner, 4, dict(data_samples=samples))
    assert lines == [
        'Epoch 3: 2 images could not be loaded; in place of 3 samples, '
        "others of the class were taken:\nimage 'b'\nimage 'c'"
    ]
    runner.iter = 19
    hook.after_train_iter(runner, 4, dict(data_samples=[{}]))
    assert lines[1].startswith(
        'Epoch 4: 1 image could not be loaded; in place of 1 '
    )


def test_a_folder_of_a_class_may_hold_anything(tmp_path):
    """Names that are not text, and a folder named like an image."""
    for split, names in dict(train=(b'caf\xe9.jpg', b'b.jpg')).items():
        folder = os.fsencode(tmp_path / split) + b'/bird'
        os.makedirs(folder)
        for name in names:
            with open(folder + b'/' + name, 'wb') as file:
                file.write(jpeg())
        os.makedirs(folder + b'/folder.jpg')
    pipeline = [LOAD, dict(type='mmpretrain.PackInputs')]
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        dataset = CustomDataset(
            data_root=str(tmp_path), data_prefix='train', pipeline=pipeline
        )
    assert len(dataset) == 2
    for data in dataset:
        assert data['inputs'].shape == (3, 120, 160)


def test_labels_with_gaps_name_class_and_source(tree, tmp_path):
    root, _ = tree
    file = root / 'ImageNet_LT_train.txt'
    lines = [x for x in file.read_text().splitlines() if x[-1] != '1']
    file.write_text('\n'.join(lines))
    with pytest.raises(
        ValueError,
        match=r'training set .*ImageNet_LT_train\.txt: every class needs at '
        r'least one training image, but there is none of class 1$',
    ):
        train(root, tmp_path / 'work')


def test_an_empty_folder_names_class_and_source(tmp_path):
    for name in ('ant', 'bee', 'cat'):
        (tmp_path / 'data' / 'train' / name).mkdir(parents=True)
        if name != 'bee':
            (tmp_path / 'data' / 'train' / name / 'a.jpg').write_bytes(jpeg())
    runner = make(
        tmp_path / 'work',
        train=dict(
            type='mmpretrain.CustomDataset',
            data_root=str(tmp_path / 'data'),
            data_prefix='train',
            pipeline=[LOAD, dict(type='mmpretrain.PackInputs')],
        ),
        model=MODEL,
    )
    with pytest.raises(
        ValueError,
        match=r'training set .*data/train: .* is none of class 1 \(bee\)$',
    ):
        runner.train()


def test_lists_name_what_is_no_file_and_no_label(tree):
    root, _ = tree
    file = root / 'list.txt'
    for line, error, message in (
        (
            'train 0',
            FileNotFoundError,
            r"list\.txt:2: image '.*' does not exist",
        ),
        ('a.jpg 1.0', ValueError, r'list\.txt:2: .* a whole number'),
    ):
        first = (root / 'ImageNet_LT_train.txt').read_text().splitlines()[0]
        file.write_bytes(f'{first}\r\n{line}\r\n'.encode())
        with pytest.raises(error, match=message):
            ImageNetLT('list.txt', data_root=str(root))
