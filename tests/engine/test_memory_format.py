"""Channels last: another order in memory, the same training."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from mmpretrain.structures import DataSample

from bcl_mm import config_path
from bcl_mm.apis.runner import build_runner
from bcl_mm.classes import ClassInfo
from bcl_mm.utils.checkpoint import load_checkpoint
from bcl_mm.utils.errors import InputError
from bcl_mm.utils.modules import set_class_info
from tests.engine.hooks.common import COUNTS


def settings(work_dir, **options):
    cfg = Config.fromfile(config_path('bcl_resnet8_digits_lt'))
    # (CIFARResNet has its channels last anyway.)
    cfg.model.backbone = dict(
        type='mmpretrain.ResNet', depth=18, in_channels=1, base_channels=4
    )
    cfg.model.neck = dict(type='mmpretrain.GlobalAveragePooling')
    cfg.model.head.in_channels = 32
    cfg.train_dataloader.dataset.update(max_per_class=6, imbalance_factor=3)
    cfg.train_dataloader.batch_size = 16
    cfg.param_scheduler = None
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.log_level = 'ERROR'
    cfg.work_dir = str(work_dir)
    cfg.merge_from_dict(options)
    return cfg


def is_last(tensor):
    return tensor.is_contiguous(memory_format=torch.channels_last)


def step(model):
    """Losses and gradients of a step, and the layouts in it."""
    layouts = []
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d) and module.kernel_size[0] > 1:
            layouts.append(is_last(module.weight))
            module.register_forward_pre_hook(
                lambda _, args: layouts.append(is_last(args[0]))
            )
    generator = torch.Generator().manual_seed(0)
    views = torch.randint(256, (3, 6, 3, 64, 64), generator=generator)
    data = dict(
        inputs=list(views.byte()),
        data_samples=[DataSample().set_gt_label(i % 4) for i in range(6)],
    )
    data = model.data_preprocessor(data, True)
    layouts.append(is_last(data['inputs']))
    losses = model(**data, mode='loss')
    (losses['loss_cls'] + losses['loss_con']).backward()
    grads = [parameter.grad for parameter in model.parameters()]
    return losses, grads, layouts


def test_a_step_has_the_same_gradient(tmp_path):
    results = []
    for is_on in (False, True):
        options = {'channels_last': is_on, 'model.backbone.in_channels': 3}
        cfg = settings(tmp_path / str(is_on), **options)
        model = build_runner(cfg).model
        set_class_info(model, ClassInfo(COUNTS))
        *result, layouts = step(model.double())
        assert layouts == [is_on] * 35  # 17 convolutions, and the batch
        results.append(result)
    (losses, grads), (own_losses, own_grads) = results
    for name, value in losses.items():
        assert torch.allclose(own_losses[name], value, rtol=1e-5), name
    for got, want in zip(own_grads, grads):
        assert torch.allclose(got, want, rtol=1e-4, atol=1e-6)


@pytest.mark.long
def test_it_resumes_bit_for_bit_and_its_weights_are_any_models(tmp_path):
    def train(folder, epochs, **options):
        options = {'train_cfg.max_epochs': epochs, **options}
        cfg = settings(tmp_path / folder, channels_last=True, **options)
        runner = build_runner(cfg)
        runner.train()
        return runner.model

    train('whole', 2)
    train('parts', 1)
    train('parts', 2, resume=True)
    whole, parts = (
        load_checkpoint(str(tmp_path / folder / 'epoch_2.pth'))['state_dict']
        for folder in ('whole', 'parts')
    )
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    model = MODELS.build(settings(tmp_path).model)
    model.load_state_dict(whole)
    assert not is_last(model.backbone.layer4[0].conv1.weight)


@pytest.mark.parametrize('value', ['yes', 1])
def test_it_is_on_or_off(value, tmp_path):
    cfg = settings(tmp_path, channels_last=value)
    with pytest.raises(InputError, match='channels_last must be'):
        build_runner(cfg)
