"""A small Runner for the tests of the hooks."""

from mmengine.config import ConfigDict
from mmengine.runner import Runner

COUNTS = [120, 77, 50, 32, 21, 13, 8, 5, 3, 2]
GROUPS = 'many', 'medium', 'few'
SUMMARIES = 'balanced', 'harmonic', 'geometric', 'worst'
ACCURACIES = {f'accuracy/{n}' for n in ('top1', *GROUPS, *SUMMARIES)}
DIGITS = dict(
    type='bcl_mm.LongTailDataset',
    imbalance_factor=50,
    max_per_class=120,
    dataset=dict(
        type='bcl_mm.Digits',
        split='train',
        pipeline=[dict(type='mmpretrain.PackInputs')],
    ),
)


INFO_HOOKS = dict(
    class_info=dict(type='bcl_mm.ClassInfoHook'),
    progress=dict(type='bcl_mm.ProgressHook'),
    metric_model=dict(type='bcl_mm.MetricModelHook'),
    checkpoint_fit=dict(type='bcl_mm.CheckpointFitHook'),
)


def make(work_dir, train=None, head=None, hook=None, model=None, **options):
    """A Runner of two epochs on digits, with a tiny model."""

    def loader(dataset, **options):
        return dict(
            batch_size=100,
            num_workers=0,
            dataset=dataset,
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='default_collate'),
            **options,
        )

    test = loader(
        dict(
            type='bcl_mm.Digits',
            split='test',
            test_mode=True,
            pipeline=[dict(type='mmpretrain.PackInputs')],
        )
    )
    settings = dict(
        model=dict(
            type='mmpretrain.ImageClassifier',
            data_preprocessor=dict(type='bcl_mm.MultiViewDataPreprocessor'),
            backbone=dict(
                type='bcl_mm.CIFARResNet',
                depth=8,
                in_channels=1,
                base_channels=4,
            ),
            neck=dict(type='mmpretrain.GlobalAveragePooling'),
            head={
                **dict(type='bcl_mm.BCLHead', num_classes=10, in_channels=16),
                **(dict(loss_con=None) if 'type' not in (head or {}) else {}),
                **(head or {}),
            },
        )
        | (model or {}),
        train_dataloader=loader(train or DIGITS),
        train_cfg=dict(by_epoch=True, max_epochs=2),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
        val_dataloader=test,
        val_cfg=dict(),
        val_evaluator=dict(type='bcl_mm.ShotAccuracy'),
        test_dataloader=test,
        test_cfg=dict(),
        test_evaluator=dict(type='bcl_mm.ShotAccuracy'),
        default_hooks=dict(
            logger=dict(type='LoggerHook'),
            **INFO_HOOKS,
            class_complement=dict(
                type='bcl_mm.ClassComplementHook', **(hook or {})
            ),
        ),
        default_scope='mmpretrain',
        log_level='ERROR',
        randomness=dict(seed=0),
        experiment_name=work_dir.name,
    )
    settings.update(options)
    return Runner(work_dir=str(work_dir), **ConfigDict(settings))
