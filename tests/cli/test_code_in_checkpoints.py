"""Code in checkpoints is refused."""

import os

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from bcl_mm.cli import interruption
from tests.cli.common import CE, TEST, TRAIN
from tests.conftest import ROOT
from tests.utils.test_checkpoint import Call


@pytest.fixture
def main(monkeypatch, call):
    """Run a tool in this process, without its handlers of signals."""

    def run_main(tool, *words):
        monkeypatch.setattr(interruption, 'watch', lambda *_: None)
        return call(tool.stem, *words)

    return run_main


@pytest.mark.parametrize(
    'words',
    [
        (TRAIN, CE, '--resume', '{path}'),
        (TRAIN, CE, '--cfg-options', 'load_from={path}'),
        (TRAIN, CE, '--resume'),
        (TEST, CE, '{path}'),
        (ROOT / 'tools' / 'convert_checkpoint.py', '{path}', '{path}.out'),
    ],
    ids=['resume FILE', 'load_from', 'resume', 'test', 'convert'],
)
@pytest.mark.parametrize(
    'make',
    [
        lambda mark: Call(os.system, f'touch {mark}'),
        lambda mark: Call(
            getattr, Call(getattr, HistoryBuffer, '__init__'), '__globals__'
        ),
        lambda mark: np.array([Call(os.system, f'touch {mark}')]),
    ],
    ids=['os.system', 'a getattr chain', 'an object array'],
)
def test_code_in_checkpoints_is_refused(main, tmp_path, words, make):
    mark = tmp_path / 'was_run'
    path = tmp_path / 'epoch_1.pth'
    content = dict(state_dict={}, meta=dict(epoch=1, iter=6, found=make(mark)))
    torch.save(dict(content, message_hub={}, optimizer={}), path)
    (tmp_path / 'last_checkpoint').write_text(str(path))
    words = [
        word.format(path=path) if isinstance(word, str) else word
        for word in words
    ]
    if words[0] == TRAIN:
        words[2:2] = ['--work-dir', tmp_path]
    status, _, errors = main(*words)
    assert status == 1
    expected = f'the checkpoint {str(path)!r} is refused, and nothing of it '
    assert expected in errors
    assert len(errors.splitlines()) == 1
    assert 'weights_only' not in errors
    assert not mark.exists()


@pytest.mark.parametrize(
    'words',
    [('--resume', '{path}'), ('--resume',)],
    ids=['resume FILE', 'resume'],
)
def test_a_config_in_a_checkpoint_is_not_run(main, tmp_path, words):
    """MMEngine's Runner runs meta.config, which is a config's text."""
    mark = tmp_path / 'was_run'
    path = tmp_path / 'epoch_1.pth'
    meta = dict(epoch=1, iter=6, config=f"open({str(mark)!r}, 'w')")
    hub = dict(log_scalars={}, runtime_info={}, resumed_keys={})
    content = dict(state_dict={}, meta=meta, message_hub=hub, optimizer={})
    torch.save(content, path)
    words = [word.format(path=path) for word in words]
    options = ['--work-dir', tmp_path, '--cfg-options']
    if len(words) == 1:  # nothing to resume from: starts anew
        main(TRAIN, CE, *words, *options, 'train_cfg.max_epochs=1')
    else:
        options.append('train_cfg.max_epochs=2')
        status, _, errors = main(TRAIN, CE, *words, *options)
        assert status == 1
        assert 'meta.config is Python code' in errors
    assert not mark.exists()
