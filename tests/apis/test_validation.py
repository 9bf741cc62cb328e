"""Every setting that nothing reads is found before anything is built."""

import pytest

from bcl_mm.apis.validation import check_config
from bcl_mm.utils.errors import InputError
from tests.apis.settings import DELETE, changed


def folds(dataset='bcl_mm.Digits', **options):
    """Config of a KFoldDataset over a dataset or a wrapper of that type."""
    inner = dict(type=dataset)
    if dataset == 'bcl_mm.Digits':
        inner['split'] = 'train'
    return dict(type='KFoldDataset', dataset=inner, **options)


DATA = 'train_dataloader.dataset'
SGD = dict(type='SGD', lr=0.1)


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('model', DELETE, 'the config has no model'),
        ('model', None, 'model must be a dict, got None'),
        ('model.type', DELETE, 'model needs a type, the name of a model'),
        ('model.type', 3, 'model.type must be the name of a comp.*, got 3'),
        ('model.type', 'ImageClasifier', 'similar are ImageClassifier'),
        ('model.backbone.type', 'ResNett', "model.backbone.type 'ResNett' is"),
        (
            'model.backbone.type',
            'bcl_mm.CIFARResnet',
            'are bcl_mm.CIFARResNet',
        ),
        ('model.head.type', 'mine.Head', 'import its module with custom_imp'),
        ('model.head.type', 'mmdet.BBoxHead', 'is not the name of a model'),
        (
            'model.head.loss_cls',
            dict(type='Focal'),
            'head.loss_cls.type .Focal',
        ),
        ('model.head.loss_con.tau', 1, 'model.head.loss_con.tau of Balanced'),
        (
            'data_preprocessor',
            'x',
            "data_preprocessor must be a dict, got 'x'",
        ),
        ('train_dataloader', 3, 'train_dataloader must be a dict, got 3'),
        ('train_dataloader.dataset', DELETE, 'train_dataloader needs dataset'),
        ('train_dataloader.dataset', None, 'dataset must be a dict, got None'),
        ('train_dataloader.sampler', DELETE, 'train_dataloader needs sampler'),
        ('val_dataloader.batch_size', DELETE, 'val_dataloader needs batch_s'),
        ('train_dataloader.sampler', 'x', 'sampler must be a dict, got .x'),
        (
            'train_dataloader.sampler.type',
            'Defalt',
            'not the name of a data s',
        ),
        (
            'train_dataloader.sampler.type',
            'SGD',
            'not the name of a data samp',
        ),
        (
            'train_dataloader.batch_sampler',
            SGD,
            'batch_sampler.type .SGD. is n',
        ),
        (
            'train_dataloader.collate_fn.type',
            'default',
            'is not the name of a f',
        ),
        (
            'train_dataloader.dataset.dataset.pipeline.0.type',
            'X',
            'pipeline.0',
        ),
        ('optim_wrapper.optimizer.lr', '0.1', 'lr must be a number, got .0.1'),
        ('optim_wrapper.optimizer.lr', -1, 'optimizer.lr must be >= 0, got'),
        ('optim_wrapper', 'SGD', "optim_wrapper must be a dict, got 'SGD'"),
        (
            'optim_wrapper.optimizer',
            'SGD',
            'optimizer must be a dict, got .SG',
        ),
        ('optim_wrapper.optimizer', DELETE, 'optim_wrapper needs optimizer'),
        ('optim_wrapper.optimizer.type', 'SDG', "type 'SDG' is not the name"),
        (
            'optim_wrapper.type',
            'AmpOptimWraper',
            'similar are AmpOptimWrapper',
        ),
        (
            'param_scheduler',
            'cosine',
            "param_scheduler must be a dict, got 'c",
        ),
        ('param_scheduler', [dict(type='Cosine')], 'param_scheduler.0.type'),
        ('train_cfg', 5, 'train_cfg must be a dict, got 5'),
        ('train_cfg.by_epoch', DELETE, 'train_cfg needs by_epoch'),
        ('train_cfg.max_epochs', DELETE, 'train_cfg needs max_epochs'),
        ('train_cfg.by_epoch', False, 'unknown setting train_cfg.max_epochs'),
        (
            'train_cfg.val_interval',
            0,
            'train_cfg.val_interval must be >= 1, g',
        ),
        (
            'train_cfg.max_epochs',
            '9',
            'max_epochs must be a whole number, got',
        ),
        (
            'val_dataloader.batch_size',
            -2,
            'val_dataloader.batch_size must be >',
        ),
        ('val_cfg', dict(type='Loop'), "val_cfg.type 'Loop' is not the name"),
        (
            'val_evaluator',
            'Accuracy',
            "val_evaluator must be a dict, got 'Acc",
        ),
        ('val_evaluator', [dict(type='Acuracy')], 'val_evaluator.0.type'),
        ('custom_hooks', dict(type='EMAHook'), 'custom_hooks must be a list'),
        ('default_hooks', [], r'default_hooks must be a dict, got \[\]'),
        (
            'default_hooks.x',
            dict(interval=1),
            'unknown setting default_hooks.x',
        ),
        ('default_hooks.timer.type', 'Timer', 'is not the name of a hook'),
        ('visualizer.vis_backends', [dict(type='W')], 'vis_backends.0.type'),
        (
            'val_cfg',
            None,
            'val_dataloader and val_evaluator need val_cfg, too',
        ),
        (
            'optim_wrapper',
            DELETE,
            'train_dataloader and train_cfg need optim_w',
        ),
        (DATA, folds(num_splits=0), 'dataset.num_splits must be >= 2, got 0'),
        (
            DATA,
            folds(fold=5, num_splits=2),
            r'fold must be in \[0, 2\), got',
        ),
        (DATA, folds(fold=-1), r'dataset.fold must be in \[0, 5\), got -1'),
        (DATA, folds(test_mode='no'), 'test_mode must be True or False, got'),
        (DATA, folds(seed='0'), "seed must be a whole number, got '0'"),
        (DATA, folds('KFoldDataset'), 'got KFoldDataset: divide the data onc'),
        (DATA, folds('ConcatDataset'), 'got ConcatDataset: put it around eac'),
        (DATA, folds('RepeatDataset'), 'dataset.dataset must be a data set t'),
        (DATA, folds('bcl_mm.MixFirstView'), 'can divide, got MixFirstView'),
        (
            DATA,
            dict(type='RepeatDataset', times=2, dataset=folds(fold=9)),
            r'train_dataloader.dataset.dataset.fold must be in \[0, 5\)',
        ),
        ('default_scope', 'mmpretrian', 'is mmpretrain meant?'),
        ('default_scope', 'nothing', "use 'mmpretrain'"),
        ('train_dataloader.sampler.shuffle', 'no', 'must be True or False'),
        ('train_dataloader.drop_last', 'no', 'must be True or False, got'),
        ('randomness.deterministic', 'maybe', 'deterministic must be True or'),
        ('randomness.seed', -1, 'randomness.seed must be .*, got -1'),
        ('randomness.seed', 2**32, 'randomness.seed must be in'),
        ('randomness.seed', 1.5, 'randomness.seed must be'),
        ('randomness.seed', True, 'randomness.seed must be'),
        ('randomness', None, 'randomness must not be None: leave it out'),
        ('work_dir', None, 'work_dir must not be None'),
        ('env_cfg', None, 'env_cfg must not be None'),
        ('data_preprocessor', None, 'data_preprocessor must not be None'),
        ('data_preprocessor.num_classes', 7, 'model.head.num_classes=10, got'),
        ('train_dataloader.batch_size', None, 'batch_size must be'),
        ('model.head', None, 'model needs a head'),
        ('log_level', 'FOO', "log_level must be DEBUG, .* CRITICAL, got 'FOO"),
        ('log_level', None, 'log_level must be .*, got None'),
        ('log_level', True, 'log_level must be .*, got True'),
        ('log_level', ['INFO'], 'log_level must be .*, got .*INFO'),
    ],
)
def test_wrong_configs(key, value, message):
    with pytest.raises(InputError, match=message) as error:
        check_config(changed(key, value), whole=True)
    assert len(str(error.value).splitlines()) == 1
