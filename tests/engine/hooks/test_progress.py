import pytest
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.registry import HOOKS, MODELS

from bcl_mm.models import LongTailHead
from tests.engine.hooks.common import INFO_HOOKS, make


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


@HOOKS.register_module()
class Stop(Hook):
    """Ends training after a number of iterations."""

    priority = 'LOWEST'  # after the checkpoint

    def __init__(self, after):
        self.after = after

    def after_train_iter(self, runner, batch_idx, **kwargs):
        if runner.iter + 1 == self.after:
            raise KeyboardInterrupt


@MODELS.register_module()
class Listening(LongTailHead):
    """A head that notes what it is told."""

    told = []

    def start_epoch(self, epoch):
        self.told.append(('start_epoch', epoch))

    def set_progress(self, progress):
        self.told.append(('set_progress', progress))


@pytest.mark.parametrize('stop', [2, 3, 4])
@pytest.mark.long
def test_resuming_inside_an_epoch(tmp_path, stop, monkeypatch):
    """Epochs of 2 iterations; the second is started again."""
    told, warned = [], []
    monkeypatch.setattr(Listening, 'told', told)
    monkeypatch.setattr(MMLogger, 'warning', lambda log, m: warned.append(m))
    settings = dict(
        train_cfg=dict(by_epoch=True, max_epochs=3),
        default_hooks=dict(
            INFO_HOOKS,
            logger=None,
            checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=1),
        ),
    )

    def train(**options):
        head = dict(type='Listening')
        runner = make(tmp_path, head=head, **settings, **options)
        runner._train_dataloader.update(batch_size=200)
        runner.train()

    with pytest.raises(KeyboardInterrupt):
        train(custom_hooks=[dict(type='Stop', after=stop)])
    assert not any('resumes inside' in message for message in warned)
    before = 1 if stop == 2 else 2
    assert [v for m, v in told if m == 'start_epoch'] == list(range(before))
    told.clear()
    train(resume=True)
    assert [v for m, v in told if m == 'start_epoch'] == list(range(before, 3))
    progress = [v for m, v in told if m == 'set_progress']
    first = 2 * (before - 1)
    assert progress == [i / 6 for i in range(first, 6)]
    (message,) = (m for m in warned if 'resumes inside' in m)
    assert f'inside epoch {before}, which MMEngine starts again' in message
