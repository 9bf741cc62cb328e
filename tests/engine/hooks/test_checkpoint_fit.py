from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config

from bcl_mm.engine.hooks import CheckpointFitHook
from tests.engine.hooks.common import make


def test_checkpoint_of_another_model_is_not_tested(tmp_path):
    make(tmp_path / 'trained').train()
    runner = make(
        tmp_path / 'test',
        head=dict(num_classes=12),
        load_from=str(tmp_path / 'trained' / 'epoch_2.pth'),
    )
    message = r'does not fit the model .*shape \(10, 16\), not \(12, 16\)'
    with pytest.raises(ValueError, match=message):
        runner.test()


def test_a_test_of_another_model_is_an_error(tmp_path):
    make(tmp_path / 'trained').train()
    path = tmp_path / 'trained' / 'epoch_2.pth'
    runner = make(tmp_path / 'test', load_from=str(path))
    runner.model.backbone.extra = torch.nn.Linear(2, 2)
    with pytest.raises(ValueError, match='backbone.extra.weight is missing'):
        runner.test()
    # What only training needs may be missing.
    contrast = dict(loss_con=dict(type='bcl_mm.BalancedContrastiveLoss'))
    runner = make(tmp_path / 'con', head=contrast, load_from=str(path))
    assert runner.test()['accuracy/top1'] >= 0


@pytest.mark.parametrize(
    ('settings', 'is_read'),
    [
        (dict(), False),
        (dict(init_cfg=dict(type='Pretrained', checkpoint='x.pth')), True),
        (dict(type='bcl_mm.TimmBackbone'), True),
    ],
)
def test_pretrained_that_nothing_has_read_is_an_error(settings, is_read):
    backbone = {'type': 'bcl_mm.CIFARResNet', **settings}
    cfg = Config(dict(pretrained='x.pth', model=dict(backbone=backbone)))
    runner = SimpleNamespace(cfg=cfg, _resume=False)
    hook = CheckpointFitHook()
    if is_read:
        hook.before_train(runner)
    else:
        with pytest.raises(ValueError, match="pretrained='x.pth' is read by"):
            hook.before_train(runner)
        runner._resume = True
        hook.before_train(runner)
    hook.before_train(SimpleNamespace(cfg=Config(), _resume=False))
