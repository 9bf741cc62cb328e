"""What a training resumes from."""

import os
import shutil
from pathlib import Path

import pytest
import torch

from bcl_mm.engine.hooks import checkpoint as saving
from bcl_mm.engine.resume import latest_checkpoint
from tests.engine.hooks.checkpoints import runner


@pytest.mark.long
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


@pytest.mark.long
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
