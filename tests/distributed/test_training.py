"""A whole training on several processes against one, in float64."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmpretrain.models import ImageClassifier

from bcl_mm import config_path
from bcl_mm.models import MomentumClassifier
from bcl_mm.registry import MODELS
from tests.distributed.common import on_ranks

WORLD_SIZES = (2, 3)
# DefaultSampler deals the shuffled images out in turn, so that batch k of W
# processes holds together what batch k of one process holds, if W divides
# the batch. An incomplete last batch would be padded by repeated images.
GLOBAL_BATCH = 24
ITERATIONS = 13  # of an epoch, 331 images
CASES = {
    'bcl, complement off at first': dict(begin_epoch=2, epochs=5),
    'endless sampler': dict(sampler=dict(type='InfiniteSampler'), workers=1),
    'SAM': dict(optim=dict(type='bcl_mm.SAMOptimWrapper', rho=0.1)),
    'Focal-SAM': dict(optim=dict(type='bcl_mm.FocalSAMOptimWrapper', rho=0.1)),
    'PaCo': dict(
        kind='bcl_mm.DoubleMomentumClassifier',
        head=dict(
            loss_con=None,
            loss_cls=None,
            classifier='linear',
            # The queue ends inside a batch of 3 * 24 rows.
            branches=dict(
                paco=dict(type='bcl_mm.GPaCo', queue_size=100, out_channels=8)
            ),
        ),
    ),
    'class-balanced sampler, margins': dict(
        sampler=dict(type='bcl_mm.ClassBalancedSampler'),
        head=dict(loss_cls=dict(type='bcl_mm.LDAMLoss')),
    ),
}


@MODELS.register_module()
class DoubleClassifier(ImageClassifier):
    """A classifier in float64; so are its normalised images, then."""

    def __init__(self, **options):
        super().__init__(**options)
        self.double()


@MODELS.register_module()
class DoubleMomentumClassifier(MomentumClassifier, DoubleClassifier):
    """Momentum keys in float64."""


def config(
    work_dir,
    world_size,
    begin_epoch=0,
    epochs=2,
    workers=0,
    sampler=None,
    head=None,
    optim=None,
    kind='bcl_mm.DoubleClassifier',
):
    """BCL on digits with all augmentations and no batch statistics."""
    name = 'bcl_resnet8_digits_lt'
    is_plain = kind == 'bcl_mm.DoubleClassifier'
    if head is not None and is_plain:
        name = 'ce_resnet8_digits_lt'
    cfg = Config.fromfile(config_path(name))
    cfg.pop('default_scope')  # which would stay, for other tests
    cfg.work_dir = str(work_dir)
    cfg.model.type = kind
    cfg.model.backbone.update(
        base_channels=4, norm_cfg=dict(type='GN', num_groups=2)
    )
    cfg.model.data_preprocessor = cfg.pop('data_preprocessor')
    cfg.model.head.update(in_channels=16)
    if head is None:
        cfg.model.head.norm_cfg = dict(type='LN')
        cfg.custom_hooks[0].begin_epoch = begin_epoch
    else:
        cfg.model.head.update(head)
        if not is_plain:
            cfg.custom_hooks = []  # those of BCL
    cfg.train_dataloader.update(
        batch_size=GLOBAL_BATCH // world_size, drop_last=True
    )
    if world_size > 1 and workers:
        cfg.train_dataloader.update(
            num_workers=workers, persistent_workers=True
        )
    if sampler is not None:
        cfg.train_dataloader.sampler = sampler
    cfg.train_cfg = dict(by_epoch=True, max_epochs=epochs)
    if sampler == dict(type='InfiniteSampler'):
        cfg.train_cfg = dict(by_epoch=False, max_iters=epochs * ITERATIONS)
        cfg.param_scheduler[1] = dict(
            type='CosineAnnealingLR', by_epoch=False, T_max=60
        )
    cfg.optim_wrapper.update(optim or {})
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.test_cfg = cfg.test_dataloader = cfg.test_evaluator = None
    cfg.default_hooks.checkpoint = None
    cfg.log_level = 'ERROR'
    return cfg


def train(cfg):
    """Final weights of a training."""
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.iter in (2 * ITERATIONS, 5 * ITERATIONS)
    model = getattr(runner.model, 'module', runner.model)
    assert all(p.dtype == torch.float64 for p in model.parameters())
    return {name: p.numpy() for name, p in model.state_dict().items()}


def trainings(rank, world_size, work_dir):
    results = {}
    for case, options in CASES.items():
        if world_size > 2 and results:
            return results  # the first case is enough, for time's sake
        cfg = config(work_dir, world_size, **options)
        cfg.launcher = 'pytorch'
        cfg.model_wrapper_cfg = dict(
            type='MMDistributedDataParallel',
            device_ids=None,
            broadcast_buffers=False,
            find_unused_parameters=False,
        )
        results[case] = train(cfg)
    cfg.model.backbone.norm_cfg = dict(type='BN')  # of the last case
    results['batch norm'] = train(cfg)
    return results


@pytest.fixture(scope='module')
def of_ranks(tmp_path_factory):
    return on_ranks(trainings, WORLD_SIZES, tmp_path_factory.mktemp('ranks'))


@pytest.mark.slow
@pytest.mark.parametrize('case', CASES)
def test_ranks_train_as_one_process(case, of_ranks, tmp_path):
    expected = train(config(tmp_path, 1, **CASES[case]))
    results = [
        result[case]
        for world_size in WORLD_SIZES
        for result in of_ranks[world_size]
        if case in result
    ]
    assert len(results) >= 2
    for result in results:
        for name, want in expected.items():
            np.testing.assert_allclose(
                result[name], want, 0, 1e-9, err_msg=name
            )


@pytest.mark.slow
def test_batch_norm_models_are_one_model_on_all_ranks(of_ranks):
    # Statistics of a rank's own images are another model than those of the
    # global batch; gradients and, after an epoch, statistics are averaged.
    first, other = (result['batch norm'] for result in of_ranks[2])
    assert any('running_var' in name for name in first)
    for name, want in first.items():
        np.testing.assert_array_equal(other[name], want)
