"""Every config builds and takes real training steps."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from mmengine.runner import Runner
from mmpretrain.structures import DataSample

import bcl_mm
from bcl_mm.apis.from_data import resolve_num_classes
from bcl_mm.classes import ClassInfo
from bcl_mm.utils.modules import set_class_info
from tests.conftest import ROOT
from tests.leaves import (
    BUILT,
    LEAVES,
    LONGER,
    THREE_VIEWS,
    TRAINED,
    WITH_CONTRAST,
    in_short,
    read,
    set_data_root,
    write_data,
)


@pytest.mark.parametrize('leaf', [in_short(leaf) for leaf in TRAINED])
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
    set_class_info(head, info)
    loader = cfg.train_dataloader.dataset
    while 'dataset' in loader:
        loader = loader.dataset
    views = 3 if loader.pipeline == cfg.three_views else 1
    features = torch.randn(views * 4, head.in_channels)
    samples = [DataSample().set_gt_label(label) for label in (0, 1, 1, 2)]
    if cfg.get('is_trained', True):
        results = head.loss((features,), samples).values()
    else:  # it is only tested
        results = [head((features,))]
    assert all(torch.isfinite(value).all() for value in results)
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
