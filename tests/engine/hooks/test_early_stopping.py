"""Early stopping: the same after a kill, and not unfinished."""

import pytest
import torch

from bcl_mm.apis.runs import find_runs
from bcl_mm.engine.hooks import EarlyStoppingHook
from bcl_mm.engine.hooks.checkpoint import SafeCheckpointHook
from bcl_mm.engine.resume import latest_checkpoint
from bcl_mm.engine.terminal import Terminal
from tests.engine.hooks.checkpoints import names, runner

STOP = dict(
    type='bcl_mm.EarlyStoppingHook', monitor='accuracy/top1', min_delta=1e3
)


def train(folder, epochs, patience, resume=False, **checkpoint):
    """Train; no validation ever improves by the minimum on the first."""
    hooks = dict(
        early_stopping=dict(STOP, patience=patience),
        run_config=dict(type='bcl_mm.RunConfigHook'),
    )
    training = runner(
        folder, epochs, checkpoint, hooks, resume=resume, log_level='INFO'
    )
    Terminal('').attach(training.logger)
    training.train()
    return training


def progress_of(folder):
    ((run,), errors) = find_runs([folder])
    assert not errors
    return run.checkpoint.name, run.progress


@pytest.mark.long
def test_a_stopped_training_is_saved_and_finished(tmp_path, capsys):
    # (The first validation improves on nothing, the next two do not.)
    stopped = train(tmp_path, 9, 2, interval=2)
    assert stopped.epoch == 3
    shown = capsys.readouterr().out
    assert 'Training stops early, after epoch 3: accuracy/top1 is' in shown
    assert names(tmp_path) == ['epoch_2.pth', 'epoch_3.pth']
    assert progress_of(tmp_path) == ('epoch_3.pth', '')
    before = (tmp_path / 'epoch_3.pth').read_bytes()
    assert train(tmp_path, 9, 2, resume=True, interval=2).epoch == 3
    shown = capsys.readouterr().out
    assert 'stopped early, after 2 validations' in shown
    assert 'raise patience (2)' in shown
    assert (tmp_path / 'epoch_3.pth').read_bytes() == before
    # More patience goes on, with the count that there was.
    assert train(tmp_path, 9, 3, resume=True, interval=2).epoch == 4
    assert progress_of(tmp_path) == ('epoch_4.pth', '')


@pytest.mark.long
def test_an_unfinished_training_is_none(tmp_path):
    training = train(tmp_path, 2, 5)
    assert training.epoch == 2
    assert not torch.load(tmp_path / 'epoch_2.pth')['meta'].get(
        'stopped_early'
    )
    train(tmp_path, 9, 3, resume=True)
    assert progress_of(tmp_path) == ('epoch_4.pth', '')


@pytest.mark.parametrize('moment', ['before', 'after'])
@pytest.mark.long
def test_a_kill_does_not_move_the_end(tmp_path, monkeypatch, moment):
    def kill(self, training, metrics=None):
        if moment == 'after':
            validate(self, training, metrics)
        if training.epoch == 2:
            raise KeyboardInterrupt

    validate = SafeCheckpointHook.after_val_epoch
    best = dict(save_best='accuracy/top1')
    with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
        context.setattr(SafeCheckpointHook, 'after_val_epoch', kill)
        train(tmp_path, 9, 3, **best)
    assert latest_checkpoint(tmp_path)[0] == str(tmp_path / 'epoch_2.pth')
    assert train(tmp_path, 9, 3, resume=True, **best).epoch == 4


def test_wrong_arguments():
    with pytest.raises(ValueError, match='patience must be >= 1, got 0'):
        EarlyStoppingHook(patience=0)
    with pytest.raises(ValueError, match='min_delta must be >= 0, got -1'):
        EarlyStoppingHook(min_delta=-1)
