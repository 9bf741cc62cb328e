"""Runs that cannot be read are named, and the others are compared."""

import sys

import pytest

from bcl_mm.cli.main import main
from bcl_mm.report import making
from bcl_mm.utils.errors import InputValueError
from tests.apis.test_runs import write_run
from tests.report import common


@pytest.fixture
def report(monkeypatch, capsys, tmp_path):
    """Run the command, without tests and figures; status, names, errors."""

    def evaluate(run, *_):
        if run.folder.name == 'misfit':
            raise InputValueError('the checkpoint does not fit')
        return common.evaluation()

    written = []
    monkeypatch.setattr(making, 'evaluate_run', evaluate)
    monkeypatch.setattr(making, 'pictures_of', lambda *_: None)
    monkeypatch.setattr(making, 'write_cards', lambda *_: None)
    monkeypatch.setattr(
        making, 'write_page', lambda methods, *_: written.append(methods)
    )

    def call(*words):
        words = [*map(str, words), '-o', str(tmp_path / 'out.html')]
        monkeypatch.setattr(sys, 'argv', ['report.py'])
        written.clear()
        status = 0
        try:
            main(words, command='report')
        except SystemExit as error:
            status = error.code
        names = [m.name for methods in written for m in methods]
        return status, names, capsys.readouterr().err

    return call


def test_one_bad_run_does_not_end_the_report(report, tmp_path):
    write_run(tmp_path / 'runs' / 'good', method_name='good')
    assert report(tmp_path / 'runs') == (0, ['good'], '')
    bad = write_run(tmp_path / 'runs' / 'bad')
    write_run(tmp_path / 'runs' / 'misfit')
    (bad / 'config.json').write_text('{"type": "subprocess.getoutput"}')
    status, names, errors = report(tmp_path / 'runs')
    assert (status, names) == (1, ['good'])
    first, second, last = errors.splitlines()
    assert first.startswith(f'Error: {bad}/config.json: type=')
    assert second.endswith('misfit: the checkpoint does not fit')
    assert last == 'left out: 2 runs'
    # Damage of a log is found before anything is drawn.
    log = tmp_path / 'runs' / 'misfit' / '1' / 'vis_data' / 'scalars.json'
    log.parent.mkdir(parents=True)
    log.write_text('{"loss": "1"}\n')
    assert f'{log}, line 1, is damaged' in report(tmp_path / 'runs')[2]
    # Alone it is an error.
    status, names, errors = report(bad)
    assert (status, names) == (1, [])
    assert errors.startswith(f'Error: {bad}/config.json: type=')
    assert len(errors.splitlines()) == 1
