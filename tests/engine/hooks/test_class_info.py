import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS

from tests.engine.hooks.common import ACCURACIES, COUNTS, DIGITS, make
from tests.trees import write_lists


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
    else:  # the counts are kept in the meta, and nowhere else
        checkpoint['meta'].pop('class_counts')
    torch.save(checkpoint, path)
    runner = make(
        tmp_path / 'test',
        load_from=str(path),
        train_dataloader=None,
        train_cfg=None,
        optim_wrapper=None,
    )
    if not from_meta:
        with pytest.raises(ValueError, match='ShotAccuracy needs class_count'):
            runner.test()
        return
    metrics = runner.test()
    assert set(metrics) == ACCURACIES
    assert runner.test_evaluator.metrics[0].class_counts.tolist() == COUNTS
    assert runner.model.head.class_counts.tolist() == COUNTS


@pytest.mark.long
def test_resuming_with_other_data_names_the_classes(tmp_path):
    make(tmp_path).train()
    fewer = dict(DIGITS, max_per_class=60)
    runner = make(
        tmp_path,
        train=fewer,
        resume=True,
        train_cfg=dict(by_epoch=True, max_epochs=3),
    )
    message = 'the checkpoint contradicts the training set in class 0, 1.*'
    with pytest.raises(ValueError, match=message + 'load_from'):
        runner.train()
    # A new training from its weights may have other data.
    runner = make(
        tmp_path / 'new',
        train=fewer,
        load_from=str(tmp_path / 'epoch_2.pth'),
    )
    runner.train()
    assert runner.model.head.class_counts.max() == 60


class Stream(torch.utils.data.Dataset):
    """A dataset that tells neither labels nor classes."""

    def __init__(self, dataset):
        self.images = DATASETS.build(dataset)

    def __getitem__(self, index):
        return self.images[index]

    def __len__(self):
        return len(self.images)


@pytest.mark.long
def test_data_that_cannot_be_counted_take_the_counts_of_the_config(tmp_path):
    def stream(folder, head):
        return make(folder, train=dict(type=Stream, dataset=DIGITS), head=head)

    stream(tmp_path / 'given', dict(class_counts=COUNTS)).train()
    checkpoint = torch.load(tmp_path / 'given' / 'epoch_2.pth')
    assert checkpoint['meta']['class_counts'] == COUNTS
    with pytest.raises(TypeError, match='Stream .* no labels'):
        stream(tmp_path / 'unknown', None).train()


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
    monkeypatch.setattr(
        runner.logger, 'info', lambda message, **_: said.append(message)
    )
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
    message = "cannot be counted: data_root 'nowhere' does not exist"
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


def test_ema_copies_the_model_before_the_counts_are_known(tmp_path):
    runner = make(tmp_path, custom_hooks=[dict(type='EMAHook')])
    runner.train()
    checkpoint = torch.load(tmp_path / 'epoch_2.pth')
    assert checkpoint['state_dict']['head.class_counts'].tolist() == COUNTS
    assert (
        checkpoint['ema_state_dict']['module.head.class_counts'].tolist()
        == COUNTS
    )


@pytest.mark.long
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
