"""Checkpoints are complete, and written in the right order."""

import errno
import os
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook

from bcl_mm.engine.hooks import checkpoint as saving
from bcl_mm.engine.hooks.checkpoint import CheckpointError
from bcl_mm.engine.resume import latest_checkpoint
from bcl_mm.utils.files import write_atomically
from tests.engine.hooks.common import INFO_HOOKS, make


def runner(work_dir, epochs=3, checkpoint=None, hooks=None, **options):
    hook = dict(type='bcl_mm.SafeCheckpointHook', interval=1)
    return make(
        work_dir,
        default_hooks=dict(
            logger=dict(type='LoggerHook'),
            **INFO_HOOKS,
            sample_seed=dict(type='bcl_mm.SampleSeedHook'),
            checkpoint=dict(hook, **(checkpoint or {})),
            **(hooks or {}),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        **options,
    )


def names(folder):
    return sorted(path.name for path in folder.glob('*.p[at][rh]*'))


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


def test_a_start_anew_leaves_nothing_to_go_on_from(tmp_path, monkeypatch):
    def kill(*_):
        raise KeyboardInterrupt

    runner(tmp_path, 1).train()
    old = (tmp_path / 'epoch_1.pth').read_bytes()
    with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
        context.setattr(torch, 'save', kill)
        runner(tmp_path, 2).train()
    assert latest_checkpoint(tmp_path) == (None, None)
    assert (tmp_path / 'epoch_1.pth').read_bytes() == old
    runner(tmp_path, 2).train()
    assert latest_checkpoint(tmp_path)[0] == str(tmp_path / 'epoch_2.pth')


def test_a_copied_folder_goes_on_from_its_own(tmp_path):
    runner(tmp_path / 'run', 1).train()
    shutil.copytree(tmp_path / 'run', tmp_path / 'copy')
    expected = str(tmp_path / 'copy' / 'epoch_1.pth'), None
    assert latest_checkpoint(tmp_path / 'copy') == expected


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


def test_a_validation_that_was_cut_off_is_done_again(tmp_path, monkeypatch):
    validated = []
    hook = saving.SafeCheckpointHook
    after = hook.after_val_epoch

    def note(self, runner, metrics=None):
        validated.append(runner.epoch)
        if len(validated) == 1:
            raise KeyboardInterrupt
        after(self, runner, metrics)

    monkeypatch.setattr(hook, 'after_val_epoch', note)
    options = dict(val_cfg=dict(), checkpoint=dict(save_best='accuracy/top1'))
    with pytest.raises(KeyboardInterrupt):
        runner(tmp_path, 1, **options).train()
    runner(tmp_path, 1, resume=True, **options).train()
    assert validated == [1, 1]
    # The last checkpoint records it: it is no longer due.
    runner(tmp_path, 1, resume=True, **options).train()
    assert validated == [1, 1]
    assert len(list(tmp_path.glob('best_*'))) == 1


def test_which_checkpoint_is_the_latest(tmp_path):
    def write(name, iteration, training='this', **content):
        meta = dict(epoch=1, iter=iteration, training=training)
        content.update(meta=meta, state_dict={})
        torch.save(content, tmp_path / name)
        # Times do not matter: a clock may be set back.
        os.utime(tmp_path / name, (1000 - iteration, 1000 - iteration))
        return str(tmp_path / name)

    assert latest_checkpoint(tmp_path) == (None, None)
    note = tmp_path / 'last_checkpoint'
    note.write_text('gone.pth')
    gone = f"there is no checkpoint 'gone.pth' (named by {note})"
    assert latest_checkpoint(tmp_path) == (None, gone)
    parts = 'log_scalars', 'runtime_info', 'resumed_keys'
    hub = {part: {} for part in parts}
    whole = dict(message_hub=hub, optimizer=dict(weight=torch.ones(1000)))
    # Names do not matter: some may be of an earlier run in the folder.
    older = write('epoch_9.pth', 100, **whole)
    newer = write('epoch_3.pth', 200, **whole)
    write('best_epoch_3.pth', 300, message_hub={})
    write('published.pth', 400)
    write('epoch_12.pth', 500, training='earlier', **whole)
    (tmp_path / 'training_name').write_text('this')
    torch.save([1], tmp_path / 'list.pth')
    (tmp_path / 'folder_1.pth').mkdir()
    os.mkfifo(tmp_path / 'pipe_1.pth')
    (tmp_path / 'link_1.pth').symlink_to('nowhere')
    assert latest_checkpoint(tmp_path) == (newer, gone)
    note.write_text(older)
    assert latest_checkpoint(tmp_path) == (older, None)
    for text in ('', '\n', '\0\0'):
        note.write_text(text)
        assert latest_checkpoint(tmp_path)[0] == newer
    assert 'there is no checkpoint' in latest_checkpoint(tmp_path)[1]
    note.write_text('')
    assert latest_checkpoint(tmp_path)[1] == f'{note} is empty'
    for text, problem in (
        (str(tmp_path / 'published.pth'), 'it has no message_hub, optimizer'),
        ('x' * 5000, 'there is no checkpoint'),
    ):
        note.write_text(text)
        path, why = latest_checkpoint(tmp_path)
        assert path == newer
        assert problem in why
    note.unlink()
    assert latest_checkpoint(tmp_path) == (newer, f'{note} is missing')
    content = bytearray(Path(newer).read_bytes())
    middle = content.index(torch.ones(20).numpy().tobytes())
    content[middle + 40] ^= 1  # one flipped bit, as on a failing disk
    Path(newer).write_bytes(content)
    assert latest_checkpoint(tmp_path)[0] == older
    note.write_text(newer)
    assert 'epoch_3.pth' in latest_checkpoint(tmp_path)[1]
    note.write_text('http://127.0.0.1:9/epoch_99.pth')  # not looked up
    assert 'there is no checkpoint' in latest_checkpoint(tmp_path)[1]
    for path in filter(Path.is_file, tmp_path.glob('*.pth')):
        path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match='from none of them: .*cut short'):
        latest_checkpoint(tmp_path)


def test_resumption_without_an_optimizer_is_an_error(tmp_path):
    """It would start anew, and write over the older epochs."""
    runner(tmp_path, 1, dict(save_optimizer=False)).train()
    message = r"cannot resume from .*epoch_1.pth': it has no optimizer"
    with pytest.raises(ValueError, match=message):
        latest_checkpoint(tmp_path)
