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


@pytest.mark.long
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
    model = torch.nn.Linear(1, 1)
    runner = SimpleNamespace(cfg=cfg, _resume=False, model=model)
    hook = CheckpointFitHook()
    if is_read:
        hook.before_train(runner)
    else:
        with pytest.raises(ValueError, match="pretrained='x.pth' is read by"):
            hook.before_train(runner)
        runner._resume = True
        hook.before_train(runner)
    hook.before_train(
        SimpleNamespace(cfg=Config(), _resume=False, model=model)
    )


@pytest.mark.parametrize('prefix', [None, 'backbone', 'backbone.'])
@pytest.mark.long
def test_an_init_cfg_that_does_not_fit_is_an_error(prefix, tmp_path):
    # MMEngine only logs it, and trains random weights.
    def train(folder, weights):
        torch.save(weights, tmp_path / 'x.pth')
        init = dict(type='Pretrained', checkpoint=str(tmp_path / 'x.pth'))
        if prefix:
            init['prefix'] = prefix
        runner = make(tmp_path / folder)
        runner.model.backbone.init_cfg = init
        runner.train()
        return runner.model.backbone

    start = f'{prefix.removesuffix(".")}.' if prefix else ''
    name = 'stem.0.weight'
    backbone = make(tmp_path / 'own').model.backbone.state_dict()
    own = {f'{start}{key}': value for key, value in backbone.items()}
    message = r'model.backbone.init_cfg: .*stem.0.weight has shape \(1,\), not'
    with pytest.raises(ValueError, match=message):
        train('a', {**own, f'{start}{name}': torch.zeros(1)})
    with pytest.raises(ValueError, match='fit: stem.0.weight is missing; st'):
        train('b', {f'{start}y': torch.zeros(1)})
    del own[f'{start}{name}']
    with pytest.raises(ValueError, match='fit: stem.0.weight is missing$'):
        train('c', own)
    own[f'{start}{name}'] = backbone[name]
    train('d', {**own, 'fc.weight': torch.zeros(1)})
