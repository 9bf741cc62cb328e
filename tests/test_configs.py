"""Every config builds and takes real training steps."""

import hashlib
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.runner import Runner
from mmpretrain.datasets import CIFAR100
from sklearn.datasets import load_digits, load_sample_images
from torch import from_numpy

import bcl_mm
from tests.conftest import ROOT
from tests.datasets.test_lists import write_lists

LEAVES = sorted(path.stem for path in (ROOT / 'configs').glob('*.py'))


def write_fashion_mnist(root: Path) -> None:
    """Real grey images, of digits, in the data set's four files."""
    digits = load_digits()
    images = from_numpy(digits.images).float()[:, None] * (255 / 16)
    images = F.interpolate(images, (28, 28), mode='bilinear')
    images = images[:, 0].round().byte().numpy()
    root.mkdir(parents=True, exist_ok=True)
    for split, part in dict(
        train=slice(0, 1500), t10k=slice(1500, 1797)
    ).items():
        pixels = images[part]
        header = struct.pack('>iiii', 2051, *pixels.shape)
        path = root / f'{split}-images-idx3-ubyte'
        path.write_bytes(header + pixels.tobytes())
        labels = digits.target[part].astype(np.uint8)
        header = struct.pack('>ii', 2049, len(labels))
        path = root / f'{split}-labels-idx1-ubyte'
        path.write_bytes(header + labels.tobytes())


def write_cifar100(root: Path, monkeypatch) -> None:
    """Real crops of photographs in CIFAR-100's pickled files."""
    folder = root / 'cifar-100-python'
    folder.mkdir(parents=True)
    photo = load_sample_images().images[0]
    random = np.random.RandomState(0)
    checksums = {}
    for name, per_class in dict(train=4, test=1).items():
        labels = np.repeat(np.arange(100), per_class)
        tops = random.randint(photo.shape[0] - 32, size=len(labels))
        crops = [photo[top : top + 32, :32].transpose(2, 0, 1) for top in tops]
        content = dict(
            data=np.stack(crops).reshape(len(labels), -1),
            fine_labels=labels.tolist(),
        )
        (folder / name).write_bytes(pickle.dumps(content))
    names = [f'class {i}' for i in range(100)]
    (folder / 'meta').write_bytes(pickle.dumps(dict(fine_label_names=names)))
    for name in ('train', 'test', 'meta'):
        checksums[name] = hashlib.md5((folder / name).read_bytes()).hexdigest()
    monkeypatch.setattr(
        CIFAR100, 'train_list', [['train', checksums['train']]]
    )
    monkeypatch.setattr(CIFAR100, 'test_list', [['test', checksums['test']]])
    meta = dict(CIFAR100.meta, md5=checksums['meta'])
    monkeypatch.setattr(CIFAR100, 'meta', meta)


@pytest.mark.parametrize('leaf', LEAVES)
def test_leaf_trains_and_validates(leaf, tmp_path, monkeypatch):
    cfg = Config.fromfile(bcl_mm.config_path(leaf))
    root = tmp_path / 'data'
    options = {'train_cfg.max_epochs': 1, 'log_level': 'ERROR'}
    if 'fashion_mnist' in leaf:
        write_fashion_mnist(root)
        options['train_dataloader.dataset.imbalance_factor'] = 10
    elif 'cifar100' in leaf:
        write_cifar100(root, monkeypatch)
        options['train_dataloader.dataset.imbalance_factor'] = 4
    elif 'imagenet' in leaf:
        write_lists(root, per_class=(3, 2))
        options['model.head.num_classes'] = 2
        options['train_dataloader.batch_size'] = 3
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        options[f'{loader}.num_workers'] = 0
        options[f'{loader}.persistent_workers'] = False
        if 'fashion_mnist' in leaf or 'cifar100' in leaf:
            inner = 'dataset.dataset' if 'train' in loader else 'dataset'
            options[f'{loader}.{inner}.data_root'] = str(root)
        elif 'imagenet' in leaf:
            options[f'{loader}.dataset.data_root'] = str(root)
    cfg.merge_from_dict(options)
    cfg.work_dir = str(tmp_path / 'run')
    runner = Runner.from_cfg(cfg)
    runner.train()
    losses = runner.message_hub.log_scalars
    expected = {'train/loss', 'train/loss_cls'}
    if leaf.startswith('bcl'):
        expected |= {'train/loss_con', 'train/batch_classes'}
    assert expected <= set(losses)
    assert all(np.isfinite(losses[name].current()) for name in expected)
    assert np.isfinite(losses['val/accuracy/top1'].current())


@pytest.mark.parametrize('leaf', LEAVES)
def test_leaf_is_short_and_flat(leaf):
    path = Path(bcl_mm.config_path(leaf))
    code = [
        line
        for line in path.read_text().splitlines()
        if line.strip() and not line.startswith('#')
    ]
    assert len(code) <= 20
    for base in (ROOT / 'configs' / '_base_').glob('*/*.py'):
        assert '_base_ =' not in base.read_text()


@pytest.mark.parametrize('data', ['digits_lt', 'fashion_mnist_lt'])
def test_leaves_of_a_data_set_differ_in_the_method_only(data):
    merged = {}
    for method in ('ce', 'la', 'bcl'):
        cfg = Config.fromfile(bcl_mm.config_path(f'{method}_resnet8_{data}'))
        cfg = cfg.to_dict()
        head = cfg['model']['head']
        method_is = {
            key: head.pop(key, None)
            for key in (
                'loss_cls',
                'loss_con',
                'cls_weight',
                'con_weight',
                'hidden_channels',
                'out_channels',
            )
        }
        assert (method_is['loss_con'] is None) == (method != 'bcl')
        inner = cfg['train_dataloader']['dataset']['dataset']
        views = 'three_views' if method == 'bcl' else 'one_view'
        assert inner.pop('pipeline') == cfg[views]
        merged[method] = cfg
    assert merged['ce'] == merged['la'] == merged['bcl']


def test_imagenet_lt_is_the_papers():
    cfg = Config.fromfile(bcl_mm.config_path('bcl_resnext50_imagenet_lt'))
    assert cfg.train_dataloader.batch_size * 8 == 256
    assert cfg.auto_scale_lr == dict(base_batch_size=256, enable=False)
    assert cfg.train_cfg.max_epochs == cfg.param_scheduler.T_max == 90
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.lr, optimizer.weight_decay) == (0.1, 5e-4)
    head = cfg.model.head
    assert (head.cls_weight, head.con_weight) == (1.0, 0.35)
    assert head.loss_con.temperature == 0.07
    assert (head.hidden_channels, head.out_channels) == (2048, 1024)
    policies = cfg.rand_augment.policies
    assert len(policies) == 2 * 15
    assert len(cfg.train_dataloader.dataset.pipeline[1].transforms) == 2


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
