"""Schedules, views and batches of the papers."""

import math

import pytest
import torch
from mmengine.registry import PARAM_SCHEDULERS

from tests.leaves import LOADERS, read


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


def test_mislas_smooths_more_on_cifar_100():
    # (0.4, 0.1) there, (0.3, 0.0) on the authors' other data sets.
    losses = [
        read(f'mislas_{data}').model.head.loss_cls
        for data in ('resnet32_cifar100_lt', 'resnext50_imagenet_lt')
    ]
    found = [(loss.head, loss.tail) for loss in losses]
    assert found == [(0.4, 0.1), (0.3, 0.0)]


@pytest.mark.parametrize('data', ['fashion_mnist_lt', 'cifar100_lt'])
def test_los_trains_on_as_its_authors(data):
    # On images as they come, with the first stage's classifier. Unlike in
    # the authors' code, batch norm stays.
    backbone = 'resnet32' if 'cifar' in data else 'resnet8'
    cfg = read(f'los_{backbone}_{data}')
    loss = cfg.model.head.loss_cls
    assert (loss.label_smooth_val, loss.mode) == (0.98, 'original')
    assert cfg.model.keep_classifier and not cfg.model.get('track_bn')
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.lr, optimizer.weight_decay) == (5e-4, 0)
    assert cfg.train_dataloader.sampler.type == 'DefaultSampler'


@pytest.mark.parametrize(
    'data, weights',
    [
        ('resnet32_cifar100_lt', (2.0, 0.6, 0.1)),
        # Not CIFAR's, as by the defaults of the authors' code.
        ('resnext50_imagenet_lt', (1.0, 0.35, 0.07)),
    ],
)
def test_dbm_keeps_the_weights_of_bcl(data, weights):
    for method in ('bcl', 'bcl_dbm'):
        head = read(f'{method}_{data}').model.head
        temperature = head.loss_con.get('temperature', 0.1)
        assert (head.cls_weight, head.con_weight, temperature) == weights


def test_balpoe_is_calibrated_by_mixup():
    for data in ('resnet32_cifar100_lt', 'resnext50_imagenet_lt'):
        model = read(f'balpoe_{data}').model
        assert model.head.taus == [0, 1, 2]
        mixup = dict(type='mmpretrain.Mixup', alpha=0.4)
        assert model.train_cfg.augments == mixup
