"""What cannot be built is told in a sentence that names its key."""

import copy
import math

import pytest
from mmengine.runner import Runner

from bcl_mm.apis.build_errors import explained_build_errors
from bcl_mm.registry import MODELS
from bcl_mm.utils.errors import InputError, InputValueError
from tests.apis.settings import DELETE, DIGITS, changed


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        (
            'model.backbone',
            dict(type='mmpretrain.ResNet'),
            'model.backbone cannot be built: TypeError: .* missing .*depth',
        ),
        (
            'model.backbone',
            dict(type='mmpretrain.ResNet', depth=51),
            'model.backbone cannot be built: KeyError: invalid depth 51',
        ),
        (
            'model.backbone',
            dict(type='mmpretrain.TIMMBackbone', model_name='no_such'),
            'model.backbone cannot be built: ',
        ),
        (
            'model.backbone.norm_cfg',
            dict(num_groups=2),
            'model.backbone cannot be built: KeyError: .* key "type"',
        ),
        (
            'model.backbone',
            dict(depth=8),
            'cannot be built: the key type, .* is missing beside depth$',
        ),
        ('model.backbone', 3, 'model cannot be built: TypeError: cfg'),
        (
            'model.head.loss_cls',
            3,
            'model.head cannot be built: Type',
        ),
        ('model.head.in_channels', DELETE, 'missing .*in_channels'),
        ('model.head.branches', dict(a=3), 'branches.a must be a dict or Non'),
        ('model.head.branches', 3, 'branches must be a dict, NAME -> dict'),
        (
            'model.neck',
            dict(type='GlobalAveragePooling', dim=7),
            'model.neck ',
        ),
        ('optim_wrapper.optimizer.lr', -1, 'learning rate: -1'),
        (
            'optim_wrapper.optimizer',
            dict(type='SGD', lr='0.1'),
            'optim_wrapper.optimizer',
        ),
        (
            'train_dataloader.batch_size',
            'x',
            'train_dataloader.* cannot be built: ',
        ),
        (
            'param_scheduler',
            dict(type='MultiStepLR', milestones=3),
            'param_scheduler cannot be built: TypeError',
        ),
        (
            'train_dataloader.batch_sampler',
            dict(type='BatchSampler'),
            'train_dataloader.batch_sampler',
        ),
    ],
)
def test_what_cannot_be_built(key, value, message, tmp_path):
    cfg = copy.deepcopy(changed(key, value))
    cfg.update(work_dir=str(tmp_path), log_level='ERROR')
    cfg.train_dataloader.num_workers = 0
    with pytest.raises(InputError, match=message) as error:
        build(cfg)
    assert len(str(error.value).splitlines()) == 1


def build(cfg):
    with explained_build_errors(cfg):
        runner = Runner.from_cfg(cfg)
        assert runner.train_loop is not None
        runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
        runner.build_param_scheduler(runner.param_schedulers)


class Buggy:
    def __init__(self, kind):
        if kind == 'call':
            float('x')
        raise TypeError('of the author')


@pytest.mark.parametrize('kind', ['call', 'raise'])
def test_bugs_keep_their_traceback(kind):
    explained = explained_build_errors(DIGITS)
    with pytest.raises((TypeError, ValueError)) as error, explained:
        MODELS.build(dict(type=Buggy, kind=kind))
    assert not isinstance(error.value, InputError)


def test_what_is_not_of_the_config():
    explained = explained_build_errors(DIGITS)
    with pytest.raises(ZeroDivisionError), explained:
        math.fmod(1, 1 // 0)
    explained = explained_build_errors(DIGITS)
    with pytest.raises(InputValueError, match='own sentence'), explained:
        raise InputValueError('own sentence')
    # The arguments of one's own class are those of the config.
    explained = explained_build_errors(DIGITS)
    with pytest.raises(InputValueError, match="argument 'kin'"), explained:
        MODELS.build(dict(type=Buggy, kin=1))
