"""Tests of runs that fail, or cannot be kept."""

import errno

import pytest

from bcl_mm.report import testing
from bcl_mm.utils.errors import InputFileError, InputValueError
from tests.report.common import COUNTS, evaluation, trained_run


def test_odd_configs_and_read_only_disks(monkeypatch, tmp_path, capsys):
    def refuse(*_):
        raise InputFileError('a.npz cannot be written: Read-only file system')

    run = trained_run()
    run.checkpoint = tmp_path / 'epoch_1.pth'
    run.checkpoint.touch()
    module = testing
    meta = dict(meta=dict(class_counts=COUNTS))
    monkeypatch.setattr(module, 'load_checkpoint', lambda *_: meta)
    monkeypatch.setattr(module, 'load_model', lambda *_, **__: (run.cfg, None))
    monkeypatch.setattr(module, 'evaluate', lambda *_: evaluation())
    run.cfg.test_dataloader = dict(batch_size=1, dataset=dict(type='none'))
    monkeypatch.setattr(module.Evaluation, 'save', refuse)
    # A config from elsewhere.
    message = 'a_b.py cannot be used: KeyError: .none is not in the'
    with pytest.raises(ValueError, match=message):
        module.evaluate_run(run)
    build = 'build_dataloader'
    monkeypatch.setattr(module.Runner, build, lambda *_, **__: None)
    assert module.evaluate_run(run).classes == evaluation().classes
    assert 'Read-only file system; another report' in capsys.readouterr().err


def test_a_test_that_fails_is_one_sentence(monkeypatch, tmp_path):
    """The report leaves out this run, and compares the others."""
    run = trained_run()
    run.checkpoint = tmp_path / 'epoch_1.pth'
    run.checkpoint.touch()
    module, cause = testing, []

    def fail(*_):
        raise cause[0]

    for name, stand_in in (
        ('load_checkpoint', lambda *_: dict(meta=dict(class_counts=COUNTS))),
        ('load_model', lambda *_, **__: (run.cfg, None)),
        ('check_data_roots', lambda *_: None),
        ('evaluate', fail),
    ):
        monkeypatch.setattr(module, name, stand_in)
    monkeypatch.setattr(module.Runner, 'build_dataloader', lambda *_, **__: 0)
    run.cfg.test_dataloader = {}
    place = r'test_testing.py, line \d+'
    for error, message in (
        (TypeError('no  such\nthing'), rf'TypeError: no such thing \({place}'),
        (AssertionError(), rf'AssertionError in {place}: raise cause\[0\]$'),
    ):
        cause[:] = [error]
        message = f'^a_b.py: its test has failed: {message}'
        with pytest.raises(InputValueError, match=message) as caught:
            module.evaluate_run(run)
        assert caught.value.__cause__ is error
    cause[:] = [OSError(errno.ENOSPC, 'No space left')]
    with pytest.raises(InputFileError, match='^a file cannot be written: No'):
        module.evaluate_run(run)
    cause[:] = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        module.evaluate_run(run)
