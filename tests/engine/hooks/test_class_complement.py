import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS
from mmengine.runner import Runner

from bcl_mm.engine.hooks.class_complement import ClassComplementHook
from tests.trees import write_lists

COUNTS = [120, 77, 50, 32, 21, 13, 8, 5, 3, 2]
GROUPS = 'many', 'medium', 'few'
SUMMARIES = 'balanced', 'harmonic', 'worst'
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


def make(work_dir, train=None, head=None, hook=None, **options):
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
            head=dict(
                type='bcl_mm.BCLHead',
                **{
                    **dict(num_classes=10, in_channels=16, loss_con=None),
                    **(head or {}),
                },
            ),
        ),
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


def test_counts_reach_model_metric_and_checkpoint(tmp_path):
    runner = make(tmp_path)
    runner.train()
    head = runner.model.head
    assert head.class_counts.tolist() == COUNTS
    prior = torch.tensor(COUNTS) / 331
    assert torch.allclose(head.loss_module.log_prior, prior.log())
    assert runner.val_evaluator.metrics[0].class_counts.tolist() == COUNTS
    checkpoint = torch.load(tmp_path / 'epoch_2.pth')
    assert checkpoint['meta']['class_counts'] == COUNTS
    assert checkpoint['state_dict']['head.class_counts'].tolist() == COUNTS


@pytest.mark.parametrize('from_meta', [True, False])
def test_testing_needs_no_training_set(tmp_path, from_meta):
    make(tmp_path / 'trained').train()
    path = tmp_path / 'trained' / 'epoch_2.pth'
    checkpoint = torch.load(path)
    if from_meta:  # whatever the head
        checkpoint['state_dict'].pop('head.class_counts')
    else:  # whatever wrote the checkpoint
        checkpoint['meta'].pop('class_counts')
    torch.save(checkpoint, path)
    runner = make(
        tmp_path / 'test',
        load_from=str(path),
        train_dataloader=None,
        train_cfg=None,
        optim_wrapper=None,
    )
    metrics = runner.test()
    assert set(metrics) == ACCURACIES
    assert runner.test_evaluator.metrics[0].class_counts.tolist() == COUNTS


def test_unknown_counts_in_a_test_say_how_to_give_them(tmp_path):
    with pytest.raises(ValueError, match='ShotAccuracy needs class_counts'):
        make(tmp_path).test()


def make_test(work_dir, train=DIGITS, **options):
    """A Runner that tests; its model brings no class counts."""
    return make(
        work_dir,
        cfg=Config(dict(train_dataloader=dict(dataset=train))),
        train_dataloader=None,
        train_cfg=None,
        optim_wrapper=None,
        **options,
    )


def test_unknown_counts_are_counted_for_a_test(tmp_path, monkeypatch):
    runner = make_test(tmp_path)
    said = []
    monkeypatch.setattr(runner.logger, 'info', said.append)
    assert set(runner.test()) == ACCURACIES
    assert runner.test_evaluator.metrics[0].class_counts.tolist() == COUNTS
    assert runner.model.head.class_counts.tolist() == COUNTS
    counted = 'counted 331 images of 10 classes in the training set'
    assert any(counted in message for message in said)


def test_unknown_counts_without_training_set(tmp_path, monkeypatch):
    lists = dict(type='bcl_mm.ImageNetLT', ann_file='a', data_root='nowhere')
    runner = make_test(tmp_path, train=lists)
    said = []
    monkeypatch.setattr(runner.logger, 'warning', said.append)
    with pytest.raises(ValueError, match='ShotAccuracy needs class_counts'):
        runner.test()
    message = "is not there to be counted: data_root 'nowhere' does not exist"
    assert message in said[-1]


@pytest.mark.parametrize('owner', ['head', 'metric', 'nobody'])
def test_no_training_set_is_built_where_counts_are_known(tmp_path, owner):
    options = dict(
        head=dict(head=dict(class_counts=COUNTS)),
        metric=dict(
            test_evaluator=dict(
                type='bcl_mm.ShotAccuracy', class_counts=COUNTS
            )
        ),
        nobody=dict(test_evaluator=dict(type='mmpretrain.Accuracy')),
    )[owner]
    # Building it would be an error.
    runner = make_test(tmp_path, train=dict(type='Nothing'), **options)
    assert 'accuracy/top1' in runner.test()


def test_training_set_of_other_classes_is_not_counted(tmp_path):
    write_lists(tmp_path, per_class=(3, 2))
    train = dict(
        type='bcl_mm.ImageNetLT',
        data_root=str(tmp_path),
        ann_file='ImageNet_LT_train.txt',
    )
    message = 'num_classes is 10, but the training set .* has 2 classes'
    with pytest.raises(ValueError, match=message):
        make_test(tmp_path, train=train).test()


def test_complement_begins_with_its_epoch(tmp_path):
    seen = []

    class Head(torch.nn.Module):
        def set_class_complement(self, enabled, num_sampled, seed):
            seen.append(enabled)

    runner = make(tmp_path, hook=dict(begin_epoch=1))
    runner.model.spy = Head()
    runner.train()
    assert seen == [False] * 4 + [True] * 4
    with pytest.raises(ValueError, match='begin_epoch must be >= 0, got -1'):
        ClassComplementHook(begin_epoch=-1)


def test_ema_copies_the_model_before_the_counts_are_known(tmp_path):
    runner = make(tmp_path, custom_hooks=[dict(type='EMAHook')])
    runner.train()
    checkpoint = torch.load(tmp_path / 'epoch_2.pth')
    assert checkpoint['state_dict']['head.class_counts'].tolist() == COUNTS
    assert (
        checkpoint['ema_state_dict']['module.head.class_counts'].tolist()
        == COUNTS
    )


def test_resume_goes_on(tmp_path):
    make(tmp_path).train()
    runner = make(
        tmp_path, resume=True, train_cfg=dict(by_epoch=True, max_epochs=3)
    )
    runner.train()
    assert runner.epoch == 3
    assert (tmp_path / 'epoch_3.pth').is_file()


def test_wrong_num_classes(tmp_path):
    message = 'num_classes is 7, but the training set .* has 10 classes'
    with pytest.raises(ValueError, match=message):
        make(tmp_path, head=dict(num_classes=7)).train()


def test_counts_that_contradict_the_data(tmp_path):
    wrong = [*COUNTS[:9], 99]
    message = 'BCLHead contradicts the training set in class 9: .*not 99'
    with pytest.raises(ValueError, match=message):
        make(tmp_path / 'head', head=dict(class_counts=wrong)).train()
    message = 'ShotAccuracy contradicts the training set in class 9'
    with pytest.raises(ValueError, match=message):
        make(
            tmp_path / 'metric',
            val_evaluator=dict(type='bcl_mm.ShotAccuracy', class_counts=wrong),
        ).train()


def test_class_without_image_is_named(tmp_path):
    write_lists(tmp_path, per_class=(3, 0, 2))
    train = dict(
        type='bcl_mm.ImageNetLT',
        data_root=str(tmp_path),
        ann_file='ImageNet_LT_train.txt',
    )
    with pytest.raises(ValueError, match='none of class 1'):
        make(tmp_path / 'run', train=train, head=dict(num_classes=3)).train()


def test_label_out_of_range_in_training_and_validation(tmp_path):
    write_lists(tmp_path, per_class=(3, 2, 2))
    lists = dict(type='bcl_mm.ImageNetLT', data_root=str(tmp_path))
    train = dict(lists, ann_file='ImageNet_LT_train.txt')
    runner = make(tmp_path / 'a', train=train, head=dict(num_classes=2))
    with pytest.raises(ValueError, match='num_classes is 2, but .* has 3'):
        runner.train()
    path = tmp_path / 'ImageNet_LT_val.txt'
    path.write_text(path.read_text().replace('JPEG 2', 'JPEG 3'))
    runner = make(tmp_path / 'b', train=train, head=dict(num_classes=3))
    val = dict(lists, ann_file='ImageNet_LT_val.txt')
    runner._val_dataloader['dataset'] = val
    message = r'validation set: labels must be in \[0, 3\), got 3 at sample 4'
    with pytest.raises(ValueError, match=message):
        runner.train()


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


def test_classes_that_are_numbered_otherwise_are_an_error(tmp_path):
    runner = make(tmp_path)
    runner.val_dataloader.dataset._metainfo['classes'] = tuple('1023456789')
    message = "validation set: class '1' is 0, but in training it is 1 \\(2 cl"
    with pytest.raises(ValueError, match=message):
        runner.train()


def test_ema_goes_with_mmpretrains_head(tmp_path):
    runner = make(tmp_path, custom_hooks=[dict(type='EMAHook')])
    head = dict(
        type='mmpretrain.LinearClsHead',
        num_classes=10,
        in_channels=16,
        loss=dict(type='bcl_mm.LogitAdjustedLoss'),
    )
    runner.model.head = MODELS.build(head)
    runner.train()
    assert runner.model.head.loss_module.log_prior.shape == (10,)


def test_too_small_for_one_batch(tmp_path):
    runner = make(tmp_path)
    runner._train_dataloader.update(batch_size=400, drop_last=True)
    message = 'has 331 images, too few for one batch of 400 on each of 1 proc'
    with pytest.raises(ValueError, match=message):
        runner.train()


def test_losses_learn_how_far_training_is(tmp_path, monkeypatch):
    progress = []
    monkeypatch.setattr(
        'bcl_mm.models.losses.LDAMLoss.set_progress',
        lambda loss, value: progress.append(value),
    )
    runner = make(tmp_path, head=dict(loss_cls=dict(type='bcl_mm.LDAMLoss')))
    runner.train()
    assert progress == [i / 8 for i in range(8)]  # 2 epochs of 4 iterations
