"""Checkpoints are complete, and written in the right order."""

import errno
import os
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook

from bcl_mm.engine.hooks import checkpoint as saving
from bcl_mm.engine.hooks.checkpoint import CheckpointError
from bcl_mm.engine.resume import latest_checkpoint
from bcl_mm.utils.files import write_atomically
from tests.engine.hooks.checkpoints import names, runner

NO_SPACE = r'epoch_2\.pth cannot be written: No space left'


def full_disk(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_file_is_whole_or_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / 'file'
    write_atomically(b'first', path)
    monkeypatch.setattr(os, 'fsync', full_disk)
    with pytest.raises(OSError, match='No space left'):
        write_atomically(b'second', path)
    assert path.read_bytes() == b'first'
    assert list(tmp_path.iterdir()) == [path]


def test_old_ones_go_after_the_new_one_is_known(tmp_path, monkeypatch):
    events = []

    def note(content, path):
        write(content, path)
        existing = sorted(p.name for p in tmp_path.glob('*.pth'))
        events.append((Path(path).name, existing))

    write = saving.write_atomically
    monkeypatch.setattr(saving, 'write_atomically', note)
    runner(tmp_path, 3, dict(max_keep_ckpts=1)).train()
    first, second, third = (f'epoch_{i}.pth' for i in (1, 2, 3))
    assert events == [
        (first, [first]),
        ('last_checkpoint', [first]),
        (second, [first, second]),
        ('last_checkpoint', [first, second]),
        (third, [second, third]),
        ('last_checkpoint', [second, third]),
    ]
    assert names(tmp_path) == [third]


@pytest.mark.long
def test_the_best_one_goes_after_its_successor_is_known(tmp_path):
    options = dict(max_keep_ckpts=1, save_best='accuracy/top1', rule='less')
    # Never better than the first; then always.
    runner(tmp_path, 2, options).train()
    (best,) = tmp_path.glob('best_*')
    for name in ('epoch_9.pth', 'last_checkpoint'):
        (tmp_path / f'{name}.0123abcd.part').write_bytes(b'half')
    resumed = runner(tmp_path, 3, options, resume=True)
    resumed.train()
    assert len(list(tmp_path.glob('best_*'))) == 1
    assert not list(tmp_path.glob('*.part'))
    assert latest_checkpoint(tmp_path) == (str(tmp_path / 'epoch_3.pth'), None)
    info = resumed.message_hub.runtime_info
    assert info['best_ckpt'] == str(next(tmp_path.glob('best_*')))


@pytest.mark.long
def test_what_a_kill_left_is_removed_later(tmp_path, monkeypatch):
    def kill(self):
        raise KeyboardInterrupt

    options = dict(max_keep_ckpts=1)
    with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
        runner(tmp_path, 1, options).train()
        context.setattr(saving._DeferredRemoval, 'remove_pending', kill)
        runner(tmp_path, 3, options, resume=True).train()
    assert names(tmp_path) == ['epoch_1.pth', 'epoch_2.pth']
    runner(tmp_path, 3, options, resume=True).train()
    assert names(tmp_path) == ['epoch_3.pth']


@pytest.mark.long
def test_only_files_of_its_own_folder_are_removed(tmp_path):
    options = dict(max_keep_ckpts=1)
    runner(tmp_path / 'first', 2, options).train()
    theirs = tmp_path / 'first' / 'epoch_2.pth'
    runner(
        *(tmp_path / 'second', 4, options),
        resume=True,
        load_from=str(theirs),
    ).train()
    assert names(tmp_path / 'second') == ['epoch_4.pth']
    assert theirs.exists()


@pytest.mark.long
def test_only_checkpoints_are_removed(tmp_path):
    """Whatever a checkpoint lists as outdated."""
    options = dict(max_keep_ckpts=1, save_best='accuracy/top1', rule='less')
    runner(tmp_path / 'run', 1, options).train()
    last = tmp_path / 'run' / 'epoch_1.pth'
    content = torch.load(last)
    others = ['../run_2/epoch_1.pth', '../notes.txt', 'notes.txt', '../run_3']
    for name in others:
        path = tmp_path / 'run' / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    info = content['message_hub']['runtime_info']
    info['outdated_ckpts'] = [f'{tmp_path}/run/{name}' for name in others]
    info['outdated_ckpts'].append(f'{tmp_path}/run_2/epoch_1.pth')
    info['best_ckpt'] = f'{tmp_path}/run/../run_3'
    info['best_score'] = 1000.0
    torch.save(content, last)
    runner(tmp_path / 'run', 2, options, resume=True).train()
    assert (tmp_path / 'run' / 'epoch_2.pth').exists()
    assert not last.exists()
    for name in others:
        assert (tmp_path / 'run' / name).exists()


@pytest.mark.long
def test_code_in_the_meta_is_not_run(tmp_path):
    """MMEngine's Runner would execute meta.config as a config."""
    runner(tmp_path, 1).train()
    path = tmp_path / 'epoch_1.pth'
    content = torch.load(path)
    content['meta']['config'] = f"open({str(tmp_path / 'was_run')!r}, 'w')"
    torch.save(content, path)
    runner(tmp_path, 2, resume=True, load_from=str(path)).train()
    assert not (tmp_path / 'was_run').exists()
    assert (tmp_path / 'epoch_2.pth').exists()


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    """A step may cause them, and the next loss comes after the save."""

    class Overflow(Hook):
        def after_train_iter(self, runner, *args, **kwargs):
            with torch.no_grad():
                runner.model.head.classifier.weight[0, 0] = torch.inf

    training = runner(
        tmp_path,
        checkpoint=dict(by_epoch=False),
        hooks=dict(finite=dict(type='bcl_mm.FiniteLossHook')),
        custom_hooks=[Overflow()],
    )
    message = 'the weight head.classifier.weight is not finite: lower the l'
    with pytest.raises(CheckpointError, match=message):
        training.train()
    assert names(tmp_path) == []


@pytest.mark.parametrize('save_best', [None, 'accuracy/top1'])
@pytest.mark.parametrize(
    ('owner', 'name', 'error', 'message'),
    [
        (
            os,
            'fsync',
            full_disk,
            r'epoch_2\.pth cannot be written: No space left',
        ),
        (
            os,
            'replace',
            full_disk,
            r'epoch_2\.pth cannot be written: No space left',
        ),
        (
            torch,
            'save',
            lambda *_: (_ for _ in ()).throw(RuntimeError('enforce fail')),
            ': enforce fail',
        ),
    ],
)
@pytest.mark.long
def test_a_failed_write_leaves_the_last_one(
    tmp_path, monkeypatch, save_best, owner, name, error, message
):
    options = dict(max_keep_ckpts=1, save_best=save_best)
    runner(tmp_path, 1, options).train()
    before = names(tmp_path)
    content = (tmp_path / 'epoch_1.pth').read_bytes()
    resumed = runner(tmp_path, 2, options, resume=True)
    with monkeypatch.context() as context:
        context.setattr(owner, name, error)
        with pytest.raises(CheckpointError, match=message) as raised:
            resumed.train()
    last = tmp_path / 'epoch_1.pth'
    assert str(raised.value).endswith(f'--resume resumes from {last}')
    assert names(tmp_path) == before
    assert last.read_bytes() == content
    assert latest_checkpoint(tmp_path) == (str(last), None)
    runner(tmp_path, 2, options, resume=True).train()
    assert (tmp_path / 'epoch_2.pth').exists()
