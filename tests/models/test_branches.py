"""The contract between head and branches, with branches of a user's own."""

import pytest
import torch
from mmengine.registry import MODELS
from torch import nn

from bcl_mm.models import BCLHead, LongTailHead
from bcl_mm.registry import MODELS as OURS
from tests import branches  # noqa: F401
from tests.engine.hooks.common import DIGITS, INFO_HOOKS, make
from tests.models.head import batch

STATISTICS = dict(type='bcl_mm.StatisticsBranch')
QUEUE = dict(type='bcl_mm.QueueBranch')
GPACO = dict(type='bcl_mm.GPaCo', queue_size=512, out_channels=16)
PROCO = dict(type='bcl_mm.ProCo', out_channels=16, norm_cfg=None)
VIEWS = [
    dict(
        type='mmpretrain.MultiView',
        num_views=3,
        transforms=[
            [dict(type='bcl_mm.ColorJitter', brightness=0.4, prob=1.0)]
        ],
    ),
    dict(type='mmpretrain.PackInputs'),
]
THREE_VIEWS = dict(
    DIGITS, dataset=dict(type='bcl_mm.Digits', split='train', pipeline=VIEWS)
)


@OURS.register_module()
class Echo(nn.Module):
    """Returns what it is told to, and notes what it gets."""

    def __init__(self, num_classes, in_channels, **answer):
        super().__init__()
        self.answer = answer

    def forward(self, features, labels, targets, head, **extra):
        self.got = features, labels, targets, head, extra
        logs = {k: torch.tensor(v) for k, v in self.answer.items()}
        return dict(loss=features.mean(), **logs)


def echo(**answer):
    return dict(type='bcl_mm.Echo', **answer)


def make_head(head_type=LongTailHead, **options):
    return head_type(5, 6, **options).double()


def test_a_branch_gets_all_views_and_passes_on_what_it_logs():
    plain = dict(type='mmpretrain.CrossEntropyLoss')
    head = make_head(loss_cls=plain, branches=dict(echo=echo(batch_x=3.0)))
    (feats,), samples = batch([0, 1])
    losses = head.loss((feats,), samples, keys='extra')
    assert set(losses) == {'loss_cls', 'loss_echo', 'batch_x'}
    features, labels, targets, passed, extra = head.branches['echo'].got
    assert torch.equal(features, feats.unflatten(0, (3, 2)))
    assert labels.tolist() == targets.tolist() == [0, 1]
    assert passed is head
    assert extra == dict(keys='extra')


def test_names_that_are_taken_are_errors():
    (feats,), samples = batch([0, 1])
    plain = dict(type='mmpretrain.CrossEntropyLoss')
    with pytest.raises(ValueError, match="must not be called 'cls'"):
        make_head(branches=dict(cls=echo()))
    for branches_, message in (
        (dict(a=echo(my_loss=1.0)), "'a' logs 'my_loss'.*must not contain"),
        (dict(a=echo(x=1.0), b=echo(x=1.0)), "'b' logs 'x'.* must be free"),
        (dict(a=echo(lr=1.0)), "'a' logs 'lr'.* must be free"),
    ):
        head = make_head(loss_cls=plain, branches=branches_)
        with pytest.raises(ValueError, match=message):
            head.loss((feats,), samples)


@pytest.mark.parametrize(
    'results, message',
    [
        (torch.ones(()), r'dict\(loss=scalar, \*\*logs\), got tensor'),
        (dict(x=torch.ones(())), r"scalar, \*\*logs\), got {'x': tensor"),
        (dict(loss=torch.ones(3)), r'no dimension, got loss=tensor\(\[1'),
        (dict(loss=torch.ones(()), x=2.0), 'no dimension, got x=2.0'),
    ],
)
def test_other_results_are_errors(monkeypatch, results, message):
    monkeypatch.setattr(Echo, 'forward', lambda *_, **__: results)
    head = make_head(branches=dict(a=echo()), class_counts=[1] * 5)
    (feats,), samples = batch([0, 1])
    with pytest.raises(TypeError, match=f"branch 'a' must return .*{message}"):
        head.loss((feats,), samples)


def test_an_inherited_branch_is_switched_off_by_none():
    head = make_head(BCLHead, branches=dict(echo=echo()))
    assert set(head.branches) == {'con', 'echo'}
    assert all(
        key.startswith(('classifier.', 'branches.', 'class_counts'))
        for key in head.state_dict()
    )
    off = make_head(BCLHead, branches=dict(echo=None), loss_con=None)
    assert len(off.branches) == 0


def test_a_branch_may_replace_the_classification_loss():
    head = make_head(loss_cls=None, branches=dict(echo=echo()))
    (feats,), samples = batch([0, 1])
    assert set(head.loss((feats,), samples)) == {'loss_echo'}
    assert head.eval()((feats,)).shape == (6, 5)


def test_one_soft_label_makes_all_targets_soft():
    head = make_head(class_counts=[9, 5, 3, 2, 1])
    (feats,), samples = batch([3, 1], views=1)
    mixed = torch.tensor([0.0, 0.25, 0.75, 0.0, 0.0], dtype=torch.float64)
    samples[1].set_gt_score(mixed)
    targets = head.targets(samples)
    assert torch.equal(targets[0], torch.eye(5, dtype=torch.float64)[3])
    assert torch.equal(targets[1], mixed)
    loss = head.loss((feats,), samples)['loss_cls']
    logits = head.logits(feats)
    log_prior = torch.tensor([9, 5, 3, 2, 1]).double()
    log_p = (logits + (log_prior / 20).log()).log_softmax(1)
    assert torch.allclose(loss, -(targets * log_p).sum(1).mean(), rtol=1e-6)


def test_a_prototype_needs_class_vectors():
    head = make_head(
        MODELS.get('bcl_mm.ThreeClassifiers'),
        loss_cls=dict(type='mmpretrain.CrossEntropyLoss'),
        branches=dict(con=dict(type='bcl_mm.PrototypeContrast')),
    )
    with pytest.raises(TypeError, match='must define class_vectors'):
        head.loss(*batch([0, 1]))


SETUPS = {
    'class statistics': dict(branches=dict(mean=STATISTICS)),
    'queue': dict(branches=dict(queue=QUEUE)),
    'proco': dict(branches=dict(proco=PROCO)),
    'gpaco': dict(branches=dict(paco=GPACO), loss_cls=None),
    'three classifiers': dict(type='bcl_mm.ThreeClassifiers'),
    'a loss with state': dict(loss_cls=dict(type='bcl_mm.EpochLoss')),
}
HOOKS = dict(
    INFO_HOOKS,
    logger=dict(type='LoggerHook'),
    sample_seed=dict(type='bcl_mm.SampleSeedHook'),
)
EMA = dict(
    type='EMAHook',
    ema_type='bcl_mm.ExponentialMovingAverage',
    momentum=0.1,
    update_buffers=True,
)


def trained(folder, setup, epochs=2, ema=True, **options):
    defaults = dict(
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        default_hooks=HOOKS,
        custom_hooks=[EMA] if ema else [],
    )
    runner = make(
        folder,
        train=THREE_VIEWS,
        head=dict(dict(type='bcl_mm.LongTailHead'), **setup),
        **dict(defaults, **options),
    )
    runner.train()
    return runner


def state(runner):
    return {k: v.clone() for k, v in runner.model.state_dict().items()}


def assert_same(ours, theirs):
    assert set(ours) == set(theirs)
    for name, value in ours.items():
        assert torch.equal(value, theirs[name]), name


@pytest.mark.parametrize('setup', SETUPS.values(), ids=list(SETUPS))
@pytest.mark.long
def test_training_and_resuming_give_the_same_bits(setup, tmp_path):
    whole = trained(tmp_path / 'whole', setup, epochs=3)
    trained(tmp_path / 'parts', setup, epochs=2)
    resumed = trained(tmp_path / 'parts', setup, epochs=3, resume=True)
    assert_same(state(resumed), state(whole))
    assert resumed.test()['accuracy/top1'] == whole.test()['accuracy/top1']


@pytest.mark.parametrize('setup', list(SETUPS.values())[:4], ids=str)
@pytest.mark.long
def test_the_state_of_a_branch_is_not_averaged(setup, tmp_path):
    with_ema = trained(tmp_path / 'ema', setup)
    without = trained(tmp_path / 'plain', setup, ema=False)
    assert_same(state(with_ema), state(without))
    checkpoint = torch.load(tmp_path / 'ema' / 'epoch_2.pth')
    (name,) = with_ema.model.head.branches
    for key, value in with_ema.model.head.branches[name].named_buffers():
        kept = checkpoint['state_dict'][f'head.branches.{name}.{key}']
        assert torch.equal(kept, value)


@pytest.mark.long
def test_epochs_are_announced_in_loops_of_iterations(tmp_path):
    def train(folder, iterations, **options):
        train_cfg = dict(by_epoch=False, max_iters=iterations)
        saving = dict(type='CheckpointHook', interval=6, by_epoch=False)
        runner = trained(
            tmp_path / folder,
            SETUPS['class statistics'],
            train_cfg=train_cfg,
            default_hooks=dict(HOOKS, checkpoint=saving),
            **options,
        )
        return runner.model.head.branches['mean']

    whole = train('whole', 12)  # epochs of 4 iterations
    assert whole.epochs == 3
    assert whole.progress == [i / 12 for i in range(12)]
    train('parts', 6)
    # Inside an epoch: it is not announced again.
    resumed = train('parts', 12, resume=True)
    assert resumed.epochs == 3
    assert resumed.progress == [i / 12 for i in range(6, 12)]


def test_a_new_training_resets_the_state_of_branches_and_losses(tmp_path):
    setup = dict(SETUPS['class statistics'], **SETUPS['a loss with state'])
    old = trained(tmp_path / 'old', setup, ema=False)
    assert old.model.head.loss_module.average > 0
    runner = make(
        tmp_path / 'new',
        train=THREE_VIEWS,
        head=dict(dict(type='bcl_mm.LongTailHead'), **setup),
        load_from=str(tmp_path / 'old' / 'epoch_2.pth'),
    )
    runner.load_or_resume()
    mean = runner.model.head.branches['mean']
    assert mean.epochs == 0
    assert not mean.means.any()
    loss = runner.model.head.loss_module
    assert loss.epoch == loss.average == 0
    before = old.model.head.classifier.weight
    assert torch.equal(runner.model.head.classifier.weight, before)
