"""What a config leaves to the data."""

import pytest
import torch
from mmengine.config import Config

import bcl_mm
from bcl_mm.apis.from_data import for_checking, resolve_num_classes
from bcl_mm.models.heads import BCLHead
from tests.trees import write_classes

LEAF = 'bcl_resnet32_custom'


def read(root, leaf=LEAF):
    cfg = Config.fromfile(bcl_mm.config_path(leaf))
    for name in ('train', 'val', 'test'):
        cfg[f'{name}_dataloader'].dataset.data_root = str(root)
    return cfg


@pytest.fixture
def tree(tmp_path):
    write_classes(tmp_path / 'tree', (3, 2, 2))
    return tmp_path / 'tree'


def test_classes_are_counted_wherever_they_are_asked_for(tree):
    cfg = read(tree)
    cfg.model.head.loss_cls = dict(
        type='bcl_mm.SeesawLoss', num_classes='from_data'
    )
    cfg.model.head.heads = [dict(num_classes='from_data'), dict(a=1)]
    cfg.train_dataloader.dataset = dict(
        type='RepeatDataset', times=2, dataset=cfg.train_dataloader.dataset
    )
    resolve_num_classes(cfg)
    head = cfg.model.head
    assert head.num_classes == head.loss_cls.num_classes == 3
    assert head.heads == [dict(num_classes=3), dict(a=1)]
    assert 'classes' not in cfg.val_dataloader.dataset


def test_a_number_is_kept(tree):
    cfg = read(tree)
    cfg.model.head.num_classes = 7
    resolve_num_classes(cfg)
    assert cfg.model.head.num_classes == 7
    resolve_num_classes(Config())


def test_of_a_long_tailed_subset(tree):
    cfg = read(tree)
    cfg.train_dataloader.dataset = dict(
        type='bcl_mm.LongTailDataset',
        imbalance_factor=2,
        dataset=cfg.train_dataloader.dataset,
    )
    resolve_num_classes(cfg)
    assert cfg.model.head.num_classes == 3


@pytest.mark.parametrize('kind', ['meta', 'weights'])
def test_a_checkpoint_needs_no_training_set(tmp_path, kind):
    path = tmp_path / 'a.pth'
    content = dict(state_dict={'head.classifier.weight': torch.ones(4, 2)})
    if kind == 'meta':
        content['meta'] = dict(
            class_counts=[3, 2, 1, 1], dataset_meta=dict(classes=tuple('abcd'))
        )
    torch.save(content, path)
    cfg = read('/nowhere')
    cfg.test_dataloader.dataset = dict(
        type='RepeatDataset', times=1, dataset=cfg.test_dataloader.dataset
    )
    resolve_num_classes(cfg, str(path))
    assert cfg.model.head.num_classes == 4
    names = list('abcd') if kind == 'meta' else None
    assert cfg.val_dataloader.dataset.get('classes') == names
    assert cfg.test_dataloader.dataset.dataset.get('classes') == names
    assert cfg.train_dataloader.dataset.get('classes') == names


def test_neither_training_set_nor_checkpoint(tmp_path, tree):
    torch.save(dict(x=torch.ones(1)), tmp_path / 'a.pth')
    for checkpoint in (None, str(tmp_path / 'a.pth')):
        cfg = read(tree)
        cfg.pop('train_dataloader')
        with pytest.raises(ValueError, match='needs train_dataloader, or a n'):
            resolve_num_classes(cfg, checkpoint)
        cfg = read('/nowhere')
        with pytest.raises(FileNotFoundError, match="root '/nowhere' does no"):
            resolve_num_classes(cfg, checkpoint)


def test_the_head_alone_cannot_count():
    with pytest.raises(
        ValueError, match=r'works with the commands .*bcl-mm train'
    ):
        BCLHead(num_classes='from_data', in_channels=4)


def test_files_are_not_looked_for(tmp_path):
    rows = '\n'.join(f'{i}.jpg,{i % 2}' for i in range(4))
    (tmp_path / 'all.csv').write_text(rows)
    cfg = read(tmp_path)
    resolve_num_classes(cfg)
    assert cfg.model.head.num_classes == 2
    config = for_checking(cfg.train_dataloader.dataset)
    assert (config['pipeline'], config['check_files']) == ([], False)
    assert cfg.train_dataloader.dataset.pipeline
