"""Configs that others inherit, and other programs read."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import TRANSFORMS
from mmengine.runner import Runner
from mmpretrain.datasets import remove_transform
from sklearn.datasets import load_sample_image

import bcl_mm
from tests.leaves import LEAVES, LOADERS, read, set_data_root
from tests.trees import (
    write_lists,
)


@pytest.mark.parametrize(
    'method',
    [
        pytest.param('la', marks=pytest.mark.slow),
        'bcl',
        'class_balanced',
    ],
)
def test_a_folder_per_class_by_inheriting_the_bases(tmp_path, method):
    write_lists(tmp_path / 'source', (3, 2))
    for split, source in dict(train='train', val='val').items():
        (tmp_path / 'source' / source).rename(tmp_path / split)
    views = 'three_views' if method == 'bcl' else 'one_view'
    # The larger images once.
    size, schedule, width = '_small', 'cifar_lt_200e', 64
    backbone = '_base_.resnet32'
    if method == 'la':
        size, schedule, width = '', 'imagenet_lt_90e', 512
        backbone = "dict(type='mmpretrain.ResNet', depth=18)"
    config = tmp_path / 'mine.py'
    config.write_text(
        f"""
_base_ = [
    __import__('bcl_mm').config_path(f'_base_/{{base}}')
    for base in (
        'methods/{method}',
        'datasets/folder{size}',
        'schedules/{schedule}',
        'runtime/ema',
    )
]
model = dict(
    backbone={backbone},
    head=dict(num_classes=2, in_channels={width}),
)
train_dataloader = dict(
    batch_size=5,
    dataset=dict(pipeline=_base_.{views}),
    sampler=dict(
        _delete_=True, type='bcl_mm.ClassBalancedSampler', power=0.5
    ),
)
"""
    )
    cfg = Config.fromfile(config)
    set_data_root(cfg, tmp_path)
    cfg.train_cfg.max_epochs = 1
    cfg.log_level = 'ERROR'
    cfg.work_dir = str(tmp_path / 'run')
    runner = Runner.from_cfg(cfg)
    runner.train()
    checkpoint = torch.load(tmp_path / 'run' / 'epoch_1.pth')
    assert 'ema_state_dict' in checkpoint
    assert checkpoint['meta']['class_counts'] == [5, 4]


@pytest.mark.parametrize(
    ('leaf', 'array', 'shape'),
    [
        ('bcl_resnet8_digits_lt', (8, 8), (1, 8, 8)),
        ('bcl_resnet8_fashion_mnist_lt', (28, 28, 1), (1, 28, 28)),
        ('bcl_resnet32_cifar100_lt', (32, 32, 3), (3, 32, 32)),
        ('bcl_resnext50_imagenet_lt', None, (3, 224, 224)),
    ],
)
def test_models_take_arrays_as_they_are_and_any_file(leaf, array, shape):
    steps = read(leaf).test_dataloader.dataset.pipeline
    # As mmpretrain's inferencer does, which loads files itself.
    steps = remove_transform(steps, 'LoadImageFromFile')
    pipeline = Compose([TRANSFORMS.build(step) for step in steps])
    photo = load_sample_image('china.jpg')
    size = photo.shape[:2]
    inputs = pipeline(dict(img=photo, img_shape=size, ori_shape=size))
    assert inputs['inputs'].shape == shape
    if array is not None:  # of the data set
        img = photo[: array[0], : array[1], : (*array, 1)[2]].reshape(array)
        img = np.ascontiguousarray(img)
        expected = img.reshape(*shape[1:], -1).transpose(2, 0, 1)
        assert (pipeline(dict(img=img))['inputs'].numpy() == expected).all()


@pytest.mark.parametrize('leaf', LEAVES)
def test_other_programs_start_no_persistent_workers_without_workers(leaf):
    cfg = read(leaf)
    for loader in LOADERS:
        # mmpretrain's train.py sets it where the config does not.
        if cfg[loader].num_workers == 0:
            assert cfg[loader].persistent_workers is False


def test_config_path():
    for leaf in LEAVES:
        assert Path(bcl_mm.config_path(leaf)).is_file()
        assert bcl_mm.config_path(f'{leaf}.py') == bcl_mm.config_path(leaf)
    with pytest.raises(ValueError, match="no config 'x'; there are .*bcl_res"):
        bcl_mm.config_path('x')


def test_a_config_elsewhere_inherits_one(tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text(
        "_base_ = __import__('bcl_mm').config_path('bcl_resnet8_digits_lt')\n"
        'optim_wrapper = dict(optimizer=dict(lr=0.2))\n'
    )
    cfg = Config.fromfile(path)
    assert cfg.optim_wrapper.optimizer.lr == 0.2
    assert cfg.model.head.type == 'bcl_mm.BCLHead'
