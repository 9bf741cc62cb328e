"""Every config builds and takes real training steps."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import MODELS, PARAM_SCHEDULERS, TRANSFORMS
from mmengine.runner import Runner
from mmpretrain.datasets import remove_transform
from mmpretrain.structures import DataSample
from sklearn.datasets import load_sample_image

import bcl_mm
from bcl_mm.apis.from_data import resolve_num_classes
from bcl_mm.classes import ClassInfo
from bcl_mm.utils.modules import tell
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
        }
    if 'cifar' in leaf:
        write_cifar(root, monkeypatch, 100 if 'cifar100' in leaf else 10)
        return {f'{subset(leaf)}.imbalance_factor': 4}
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
    is_variant |= leaf.endswith('resnet50_custom')
    is_variant |= 'openclipart' in leaf and not leaf.startswith('bcl_resnet')
    return pytest.param(leaf, marks=[pytest.mark.slow] if is_variant else [])


@pytest.mark.parametrize('leaf', map(in_short, TRAINED))
def test_leaf_trains_and_validates(leaf, tmp_path, monkeypatch):
    cfg = read(leaf)
    cfg.merge_from_dict(write_data(leaf, tmp_path / 'data', monkeypatch))
    set_data_root(cfg, tmp_path / 'data')
    resolve_num_classes(cfg)
    cfg.train_cfg.max_epochs = 1
    cfg.default_hooks.checkpoint = None
    cfg.log_level = 'ERROR'
    cfg.work_dir = str(tmp_path / 'run')
    if 'frozen' in cfg.model.backbone:
        weights = MODELS.build(cfg.model.backbone.frozen).state_dict()
        torch.save(weights, tmp_path / 'vit.pth')
        cfg.model.backbone.weights_file = str(tmp_path / 'vit.pth')
    if 'first_stage' in cfg:
        first = Config.fromfile(ROOT / 'configs' / cfg.first_stage)
        preprocessor = first.data_preprocessor
        model = dict(first.model, data_preprocessor=preprocessor)
        weights = MODELS.build(model).state_dict()
        torch.save(dict(state_dict=weights), tmp_path / 'first.pth')
        if cfg.get('is_trained', True):
            cfg.model.pretrained = str(tmp_path / 'first.pth')
    if not cfg.get('is_trained', True):
        cfg.load_from = str(tmp_path / 'first.pth')
        accuracy = Runner.from_cfg(cfg).test()['accuracy/top1']
        assert 0 <= accuracy <= 100
        return
    runner = Runner.from_cfg(cfg)
    runner.train()
    losses = runner.message_hub.log_scalars
    expected = {'train/loss'}
    if cfg.model.head.get('loss_cls', True):
        expected.add('train/loss_cls')
    if leaf.startswith(WITH_CONTRAST):
        expected |= {'train/loss_con', 'train/batch_classes'}
        expected |= {'train/batch_coverage'}
    for branch in cfg.model.head.get('branches', {}):
        expected.add(f'train/loss_{branch}')
    assert expected <= set(losses)
    assert all(np.isfinite(losses[name].current()) for name in expected)
    assert np.isfinite(losses['val/accuracy/top1'].current())


@pytest.mark.parametrize('leaf', BUILT)
def test_large_leaf_takes_a_step(leaf):
    cfg = read(leaf)
    head = MODELS.build(cfg.model.head)
    info = ClassInfo(range(cfg.model.head.num_classes, 0, -1))
    tell(head, 'set_class_info', info)
    loader = cfg.train_dataloader.dataset
    while 'dataset' in loader:
        loader = loader.dataset
    views = 3 if loader.pipeline == cfg.three_views else 1
    features = torch.randn(views * 4, head.in_channels)
    samples = [DataSample().set_gt_label(label) for label in (0, 1, 1, 2)]
    losses = head.loss((features,), samples)
    assert all(torch.isfinite(value) for value in losses.values())
    backbone = cfg.model.backbone
    experts = 3 if backbone.type == 'bcl_mm.SharedTrunk' else 1
    assert head.in_channels == experts * (64 if 'cifar' in leaf else 2048)


@pytest.mark.parametrize('leaf', LONGER)
def test_longer_schedules_change_nothing_else(leaf):
    longer, usual = read(leaf), read(leaf.rpartition('_')[0])
    assert longer.train_cfg.max_epochs >= 2 * usual.train_cfg.max_epochs
    for key in set(longer) | set(usual):
        if key not in ('train_cfg', 'param_scheduler'):
            assert longer[key] == usual[key], key


@pytest.mark.parametrize('leaf', LEAVES)
def test_leaf_is_short_and_flat(leaf):
    path = Path(bcl_mm.config_path(leaf))
    code = [
        line
        for line in path.read_text().splitlines()
        if line.strip() and not line.startswith('#')
    ]
    bases = path.read_text()
    parents = re.findall(r"^_base_ = './(\w+)\.py'$", bases, re.M)
    if parents:  # a variant: a few lines over its parent
        assert len(code) <= 10
        assert re.sub('_(sam|focal_sam|cmo)_', '_', leaf).startswith(
            parents[0]
        )
        return
    assert len(code) <= 20
    for kind in ('methods', 'datasets', 'schedules', 'runtime'):
        assert bases.count(f'./_base_/{kind}/') == 1


# Of a linear classifier, or with another backbone: another frame.
TWO_STAGES = {'ce_linear', 'crt', 'tau_norm', 'los', 'lws', 'mislas'}
EXPERTS = {'balpoe', 'sade'}
# What a method may need of its own.
OF_THE_METHOD = (
    'type',
    'loss_cls',
    'loss_con',
    'cls_weight',
    'con_weight',
    'hidden_channels',
    'out_channels',
    'classify_all_views',
    'branches',
)


@pytest.mark.parametrize(
    'data',
    [
        'resnet8_digits_lt',
        'resnet8_fashion_mnist_lt',
        'resnet8_openclipart_lt',
        'resnet32_cifar100_lt',
        'resnext50_imagenet_lt',
        'resnet32_custom',
        'resnet50_custom',
    ],
)
def test_leaves_of_a_data_set_differ_in_the_method_only(data):
    merged = {}
    methods = [
        leaf.removesuffix(f'_{data}') for leaf in LEAVES if leaf.endswith(data)
    ]
    for method in set(methods) - TWO_STAGES - EXPERTS:
        cfg = read(f'{method}_{data}').to_dict()
        cfg.pop('method_name')
        if method.endswith('_sam'):
            kind = 'FocalSAM' if 'focal' in method else 'SAM'
            wrapper = cfg['optim_wrapper']
            assert wrapper.pop('type') == f'bcl_mm.{kind}OptimWrapper'
            assert wrapper.pop('rho') > 0
            wrapper.pop('gamma', None)
            wrapper.pop('strength', None)
        if method == 'paco':
            assert cfg['model'].pop('momentum') == 0.999
            kind = cfg['model'].pop('type')
            assert kind == 'bcl_mm.MomentumClassifier'
            cfg['model']['type'] = 'mmpretrain.ImageClassifier'
        head = cfg['model']['head']
        is_cosine = head.get('classifier', 'cosine') == 'cosine'
        needs_cosines = method.endswith(('dbm', 'gcl', 'ldam_drw'))
        if method not in ('gpaco', 'paco'):  # always linear
            assert is_cosine == (needs_cosines or 'cifar' not in data)
        head.pop('classifier', None)
        own = {key: head.pop(key, None) for key in OF_THE_METHOD}
        # Plain methods run nothing of BCL's.
        is_bcl = own['type'] == 'bcl_mm.BCLHead'
        assert is_bcl == (own['loss_con'] is not None)
        has_prototypes = is_bcl or 'con' in (own['branches'] or {})
        assert has_prototypes == ('custom_hooks' in cfg)
        cfg.pop('custom_hooks', None)
        assert has_prototypes == method.startswith(WITH_CONTRAST)
        if method.endswith('_cmo'):
            wrapper = cfg['train_dataloader']['dataset']
            assert wrapper['pipeline'] == cfg['one_view']
            cfg['train_dataloader']['dataset'] = wrapper['dataset']
        dataset = cfg['train_dataloader']['dataset']
        dataset = dataset.get('dataset', dataset)
        has_views = method.startswith(THREE_VIEWS)
        has_views |= bool(own['classify_all_views'])
        views = 'three_views' if has_views else 'one_view'
        assert dataset.pop('pipeline') == cfg[views]
        merged[method] = cfg
    assert {'ce', 'la', 'bcl'} <= set(merged)
    for cfg in merged.values():
        assert cfg == merged['ce']


def test_fashion_mnist_lt_has_every_method():
    methods = {
        path.stem for path in (ROOT / 'configs/_base_/methods').glob('*.py')
    } - {'common', 'lift'}  # a transformer's
    names = set()
    for method in methods:
        cfg = read(f'{method}_resnet8_fashion_mnist_lt')
        names.add(cfg.method_name)
        losses = [
            cfg.model.head.get(name) for name in ('loss_cls', 'loss_con')
        ]
        head = {k: v for k, v in cfg.model.head.items() if 'loss' not in k}
        if method in ('supcon', 'bcl_no_averaging', 'bcl_no_complement'):
            bcl = read('bcl_resnet8_fashion_mnist_lt').model.head
            assert losses[0] == bcl.loss_cls
            assert losses[1].pop('class_averaging', True) == (
                method == 'bcl_no_complement'
            )
            assert losses[1].pop('class_complement', True) == (
                method == 'bcl_no_averaging'
            )
            assert losses[1] == bcl.loss_con
            assert head == {k: v for k, v in bcl.items() if 'loss' not in k}
    assert len(names) == len(methods) == 29
    fashion = 'resnet8_fashion_mnist_lt'
    for leaf in [leaf for leaf in LEAVES if leaf.endswith(fashion)]:
        assert leaf.replace('fashion_mnist', 'openclipart') in LEAVES
    for second in ('crt', 'tau_norm', 'los', 'lws', 'mislas'):
        cfg = read(f'{second}_resnet8_fashion_mnist_lt')
        first = Config.fromfile(ROOT / 'configs' / cfg.first_stage)
        assert cfg.model.backbone == first.model.backbone
        assert first.model.head.classifier == 'linear'
        assert cfg.model.head.classifier == 'linear'


def rates(leaf):
    """The learning rate of each epoch of a leaf's schedule."""
    cfg = read(leaf)
    parameter = torch.nn.Parameter(torch.zeros(1))
    lr = cfg.optim_wrapper.optimizer.lr
    optimizer = torch.optim.SGD([parameter], lr=lr)
    schedules = cfg.param_scheduler
    if isinstance(schedules, dict):
        schedules = [schedules]
    schedules = [
        PARAM_SCHEDULERS.build(
            dict(s, optimizer=optimizer, end=s.get('end', epochs(cfg)))
        )
        for s in schedules
    ]
    found = []
    for _ in range(epochs(cfg)):
        found.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        for schedule in schedules:
            schedule.step()
    return found


def epochs(cfg):
    return cfg.train_cfg.max_epochs


@pytest.mark.parametrize('backbone', ['resnet50', 'resnext50'])
@pytest.mark.parametrize('suffix', ['', '_sim_rand', '_rand_rand'])
@pytest.mark.parametrize('number', [90, 180])
def test_imagenet_lt_is_the_papers(backbone, suffix, number):
    leaf = f'bcl_{backbone}_imagenet_lt{suffix}'
    leaf += '_180e' if number == 180 else ''
    cfg = read(leaf)
    assert epochs(cfg) == number
    assert rates(leaf) == pytest.approx(
        [
            0.1 / 2 * (1 + math.cos(math.pi * (e + 1) / (number + 1)))
            for e in range(number)
        ]
    )
    assert cfg.train_dataloader.batch_size * 8 == 256
    assert cfg.auto_scale_lr == dict(base_batch_size=256, enable=False)
    assert cfg.optim_wrapper.optimizer.weight_decay == 5e-4
    head = cfg.model.head
    assert (head.cls_weight, head.con_weight) == (1.0, 0.35)
    assert head.loss_con.temperature == 0.07
    assert (head.hidden_channels, head.out_channels) == (2048, 1024)
    assert cfg.model.backbone.type.lower() == f'mmpretrain.{backbone[:-2]}'
    assert not cfg.model.backbone.zero_init_residual
    assert len(cfg.rand_augment.policies) == 2 * 15
    views = [cfg.classification_view, cfg.sim_view, cfg.sim_view]
    rand_view = [*cfg.sim_view, cfg.rand_augment]
    if suffix == '_sim_rand':
        views[2] = rand_view
    elif suffix == '_rand_rand':
        views[1:] = [rand_view, rand_view]
    multi_view = cfg.train_dataloader.dataset.pipeline[1]
    found = [
        transforms
        for number, transforms in zip(
            multi_view.num_views, multi_view.transforms
        )
        for _ in range(number)
    ]
    assert found == views


@pytest.mark.parametrize('num_classes', [10, 100])
@pytest.mark.parametrize('number', [200, 400])
def test_cifar_lt_is_the_papers(num_classes, number):
    suffix = '_400e' if number == 400 else ''
    leaf = f'bcl_resnet32_cifar{num_classes}_lt{suffix}'
    cfg = read(leaf)
    warm_up, first, second = (5, 160, 180) if number == 200 else (10, 360, 380)
    expected = [0.15 * min(1, (e + 1) / warm_up) for e in range(first)]
    expected += [0.015] * (second - first) + [0.0015] * (number - second)
    assert rates(leaf) == pytest.approx(expected)
    assert cfg.train_dataloader.batch_size == 256
    assert cfg.train_dataloader.dataset.imbalance_factor == 100
    head = cfg.model.head
    assert (head.cls_weight, head.con_weight) == (2.0, 0.6)
    assert head.classifier == 'linear'
    assert head.num_classes == num_classes
    kinds = [step.type for step in cfg.classification_view]
    assert kinds[2:] == ['bcl_mm.CIFARAutoAugment', 'mmpretrain.Cutout']
    for loader in LOADERS:
        dataset = cfg[loader].dataset
        dataset = dataset.get('dataset', dataset)
        assert dataset.type == f'mmpretrain.CIFAR{num_classes}'


def test_inaturalist_is_the_papers():
    cfg = read('bcl_resnet50_inaturalist2018')
    assert epochs(cfg) == 100
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.lr, optimizer.weight_decay) == (0.2, 1e-4)
    assert cfg.model.head.num_classes == 8142
    mean = [value / 255 for value in cfg.data_preprocessor.mean]
    std = [value / 255 for value in cfg.data_preprocessor.std]
    assert mean == pytest.approx([0.466, 0.471, 0.380])
    assert std == pytest.approx([0.195, 0.194, 0.192])


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
