"""The leaves in configs/, and small data for them."""

import pytest
from mmengine.config import Config

import bcl_mm
from tests.conftest import ROOT
from tests.trees import (
    write_cifar,
    write_classes,
    write_fashion_mnist,
    write_inaturalist,
    write_lists,
    write_parts,
)

LEAVES = sorted(path.stem for path in (ROOT / 'configs').glob('*.py'))
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
WITH_CONTRAST = ('bcl', 'supcon')
# Other methods that train on three views.
THREE_VIEWS = (*WITH_CONTRAST, 'gpaco', 'paco', 'proco')
# Their schedules apart, the others are these: see test_longer_schedules.
LONGER = [leaf for leaf in LEAVES if leaf.endswith(('_180e', '_400e'))]
# On the large data, these are built; on Fashion-MNIST-LT, they are trained.
LARGE = ('resnet32_cifar100_lt', 'resnext50_imagenet_lt')
TRAINED_ON_ALL = ('bcl', 'ce', 'la')
BUILT = [
    leaf
    for leaf in LEAVES
    if leaf.endswith(LARGE) and leaf.split('_resne')[0] not in TRAINED_ON_ALL
]
TRAINED = [leaf for leaf in LEAVES if leaf not in (*LONGER, *BUILT)]


def read(leaf):
    return Config.fromfile(bcl_mm.config_path(leaf))


def subset(leaf):
    """The key of the long-tailed subset."""
    wrapper = '.dataset' if '_cmo_' in leaf else ''
    return f'train_dataloader.dataset{wrapper}'


# One block, of the width that the leaf has.
SMALL_VIT = {
    'model.backbone.frozen.arch': dict(
        _delete_=True,
        embed_dims=768,
        num_layers=1,
        num_heads=2,
        feedforward_channels=8,
    )
}


def write_data(leaf, root, monkeypatch):
    """A small data set in the leaf's layout; options that go with it."""
    if 'fashion_mnist' in leaf:
        write_fashion_mnist(root)
        return {
            f'{subset(leaf)}.imbalance_factor': 10,
            f'{subset(leaf)}.max_per_class': 20,
            f'{subset(leaf)}.held_out': 10,
            'val_dataloader.dataset.held_out': 10,
        }
    if 'cifar' in leaf:
        write_cifar(root, monkeypatch, 100 if 'cifar100' in leaf else 10)
        options = {f'{subset(leaf)}.imbalance_factor': 4}
        return {**options, **(SMALL_VIT if 'vit' in leaf else {})}
    if 'digits' in leaf:
        return {}
    if 'openclipart' in leaf:
        write_parts(root)
        return {}
    options = {
        'train_dataloader.batch_size': 3,
        'val_dataloader.batch_size': 4,
    }
    if 'custom' in leaf:
        write_classes(root, (3, 2))
        return {**options, **(SMALL_VIT if 'vit' in leaf else {})}
    (write_inaturalist if 'inaturalist' in leaf else write_lists)(root, (2, 1))
    return {'model.head.num_classes': 2, **options}


def set_data_root(cfg, root):
    for loader in LOADERS:
        dataset = cfg[loader].dataset
        while 'dataset' in dataset:
            dataset = dataset.dataset
        if 'data_root' in dataset:
            dataset.data_root = str(root)
        cfg[loader].num_workers = 0
        cfg[loader].persistent_workers = False


def in_short(leaf):
    """Leave what differs from another leaf in views or data to the slow."""
    is_variant = 'imagenet_lt' in leaf and leaf != 'bcl_resnext50_imagenet_lt'
    is_variant |= leaf.endswith(('resnet50_custom', 'vit_base_cifar100_lt'))
    is_variant |= 'openclipart' in leaf and not leaf.startswith('bcl_resnet')
    return pytest.param(leaf, marks=[pytest.mark.slow] if is_variant else [])
