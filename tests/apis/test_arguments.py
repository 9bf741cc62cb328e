"""Arguments of components, followed to their parents."""

import argparse
import os

import mmpretrain
import pytest
from mmengine.config import Config
from mmengine.hooks import Hook

from bcl_mm.apis import config as configs
from bcl_mm.apis.arguments import arguments_of
from bcl_mm.apis.comparison import plan_runs
from bcl_mm.apis.validation import check_config, resembling
from bcl_mm.cli.options import add_common_options
from bcl_mm.registry import HOOKS, MODELS
from bcl_mm.utils.errors import InputValueError
from tests.apis.settings import changed
from tests.conftest import ROOT

LEAVES = sorted((ROOT / 'configs').glob('*.py'))
STOCK = os.path.join(os.path.dirname(mmpretrain.__file__), '.mim', 'configs')


def load(*options, config='bcl_resnet8_digits_lt'):
    parser = argparse.ArgumentParser()
    add_common_options(parser)
    args = parser.parse_args(['--cfg-options', *options])
    args.config = config
    return configs.load_config(args)


@pytest.mark.parametrize(
    ('option', 'meant'),
    [
        ('trian_cfg.max_epochs=3', 'train_cfg'),
        ('optim_wraper.optimizer.lr=1', 'optim_wrapper'),
        ('model.hed.loss_cls.tau=2', 'model.head'),
        ('model.head.con_wieght=1', 'model.head.con_weight'),
        (
            'model.head.loss_con.temprature=1',
            'model.head.loss_con.temperature',
        ),
        ('model.backbone.dept=20', 'model.backbone.depth'),
        ('model.train_cfg.augment=1', 'model.train_cfg.augments'),
        ('data_preprocessor.men=[1]', 'data_preprocessor.mean'),
        ('train_cfg.max_epoch=3', 'train_cfg.max_epochs'),
        ('val_cfg.fp=True', 'val_cfg.fp16'),
        ('train_dataloader.batchsize=3', 'train_dataloader.batch_size'),
        (
            'train_dataloader.dataset.imbalance=3',
            'train_dataloader.dataset.imbalance_factor',
        ),
        (
            'train_dataloader.dataset.dataset.pipeline.0.num_view=3',
            'train_dataloader.dataset.dataset.pipeline.0.num_views',
        ),
        (
            'test_dataloader.dataset.pipeline.1.backnd=cv2',
            'test_dataloader.dataset.pipeline.1.backend',
        ),
        (
            'train_dataloader.sampler.shufle=False',
            'train_dataloader.sampler.shuffle',
        ),
        ('val_evaluator.per_clas=True', 'val_evaluator.per_class'),
        ('default_hooks.chekpoint.interval=2', 'default_hooks.checkpoint'),
        (
            'default_hooks.checkpoint.intervall=2',
            'default_hooks.checkpoint.interval',
        ),
        ('custom_hooks.0.num_sample=2', 'custom_hooks.0.num_sampled'),
        (
            'optim_wrapper.optimizer.momentm=0',
            'optim_wrapper.optimizer.momentum',
        ),
        (
            'optim_wrapper.clip_grad.max_nrm=1',
            'optim_wrapper.clip_grad.max_norm',
        ),
        (
            'optim_wrapper.paramwise_cfg.norm_decay_mul=0',
            'optim_wrapper.paramwise_cfg.norm_decay_mult',
        ),
        ('param_scheduler.0.begn=1', 'param_scheduler.0.begin'),
        ('randomness.sed=1', 'randomness.seed'),
        ('env_cfg.cudnn_benchmrk=False', 'env_cfg.cudnn_benchmark'),
        (
            'env_cfg.dist_cfg.bakend=gloo',
            'env_cfg.dist_cfg.backend',
        ),
        ('log_processor.windw_size=2', 'log_processor.window_size'),
        ('visualizer.vis_backend=1', 'visualizer.vis_backends'),
        ('auto_scale_lr.base_batch_siz=2', 'auto_scale_lr.base_batch_size'),
        ('compile.bakend=inductor', 'compile.backend'),
    ],
)
def test_misspelt_options_name_the_nearest_setting(option, meant):
    with pytest.raises(InputValueError) as error:
        load(option)
    message = str(error.value)
    assert message.startswith(f'unknown setting {option[:9]}')
    assert f'is {meant} meant?' in message
    assert '--cfg-options +' in message


@pytest.mark.parametrize(
    'options',
    [
        ('find_unused_parameters=True', 'compile=True', 'sync_bn=torch'),
        ('pretrained=x.pth', '+data_root=x'),
        ('+my_setting=3', '+mine.deep.er=[1,2]', '+model.head.mine=1'),
        ('default_hooks.ema.type=EMAHook', 'default_hooks.ema.momentum=0.1'),
        ('model.head.branches.a.type=bcl_mm.PrototypeContrast',),
        ('model.backbone.init_cfg.type=Pretrained',),
        ('default_hooks.logger.priority=90', 'default_hooks.timer=None'),
        ('train_dataloader.dataset.dataset.metainfo.classes=[a,b]',),
        ('optim_wrapper.type=AmpOptimWrapper', 'optim_wrapper.loss_scale=2.'),
        ('optim_wrapper.clip_grad.max_norm=1', 'val_cfg=None'),
        ('param_scheduler.0.convert_to_iter_based=True',),
        ('default_hooks.checkpoint.save_optimizer=False',),
    ],
)
def test_new_settings_that_something_reads(options):
    cfg = load(*options)
    assert 'my_setting' not in cfg or cfg.mine.deep.er == [1, 2]


@pytest.mark.parametrize('path', LEAVES, ids=lambda path: path.stem)
def test_our_configs_pass(path):
    cfg = Config.fromfile(path)
    check_config(cfg, whole=True)
    assert resembling(cfg) == []


@pytest.mark.parametrize(
    'name',
    [
        'resnet/resnet50_8xb256-rsb-a1-600e_in1k.py',  # Mixup, RandAugment
        'vision_transformer/vit-base-p16_8xb64-lora_in1k-384px.py',
        'swin_transformer/swin-tiny_16xb64_in1k.py',
        'repvgg/repvgg-A0_8xb32_in1k.py',  # EMA, several schedulers
        'mobilenet_v3/mobilenet-v3-small_8xb128_in1k.py',
        'simclr/simclr_resnet50_16xb256-coslr-200e_in1k.py',
        'mae/mae_vit-base-p16_8xb512-amp-coslr-300e_in1k.py',
        'beitv2/benchmarks/beit-base-p16_8xb128-coslr-100e_in1k.py',
        'csra/resnet101-csra_1xb16_voc07-448px.py',
        'arcface/resnet50-arcface_8xb32_inshop.py',
        'lenet/lenet5_mnist.py',
    ],
)
def test_stock_configs_pass(name):
    cfg = Config.fromfile(os.path.join(STOCK, name))
    check_config(cfg, whole=True)
    assert resembling(cfg) == []


def test_parts_of_a_config_can_be_checked():
    data = dict(train_dataloader=dict(dataset=dict(type='bcl_mm.Digits')))
    check_config(Config(dict(data, model=dict(head=dict(num_classes=9)))))
    with pytest.raises(InputValueError, match='2 more: model, train_cfg'):
        check_config(Config(data), whole=True)


def test_a_variable_that_resembles_a_setting_is_noted(tmp_path, capsys):
    path = tmp_path / 'mine.py'
    path.write_text(
        "_base_ = __import__('bcl_mm').config_path('ce_resnet8_digits_lt')\n"
        'optim_wraper = dict(optimizer=dict(lr=0.2))\nmine = 3\n'
    )
    load('randomness.seed=1', config=str(path))
    output = capsys.readouterr().out
    assert output.count('Note') == 1
    assert 'nothing reads optim_wraper of the config: is optim_wrap' in output


def test_compare_refuses_before_it_trains(tmp_path):
    with pytest.raises(InputValueError, match='digits_lt.py: unknown setting'):
        plan_runs(['ce_resnet8_digits_lt'], [0], ['model.hed.a=1'], tmp_path)
    assert not any(tmp_path.iterdir())


class Parent:
    def __init__(self, a, *, b=1, **kwargs):
        self.c = kwargs.pop('c', None)
        super().__init__(**kwargs)


class Child(Parent):
    def __init__(self, d, **kwargs):
        super().__init__(a=d, **kwargs)


class Keeps(Parent):
    def __init__(self, **kwargs):
        self.kwargs = kwargs


class Calls(Parent):
    def __init__(self, **kwargs):
        self.made = kwargs['make']()
        super().__init__(**kwargs)


def test_arguments_are_followed_to_parents():
    assert arguments_of(Child) == ({'b', 'c', 'd'}, False, set())
    assert arguments_of(Keeps) == (set(), True, set())
    assert arguments_of(Calls).names == {'a', 'b', 'c', 'make'}
    assert arguments_of(len).names == set()
    timm = arguments_of(MODELS.get('TimmBackbone'))
    assert timm.is_open and 'pretrained' in timm.names


@HOOKS.register_module()
class OpenHook(Hook):
    def __init__(self, interval=1, **kwargs):
        self.kwargs = kwargs


def test_what_takes_anything_is_only_refused_a_near_miss():
    hook = dict(type='bcl_mm.OpenHook', other=1)
    check_config(changed('custom_hooks', [hook]))
    misspelt = dict(hook, intervall=2)  # codespell:ignore intervall
    with pytest.raises(InputValueError, match='custom_hooks.0.interval mean'):
        check_config(changed('custom_hooks', [misspelt]))
