"""The one reader of runs: notes and logs, damaged ones too."""

import json

import pytest

from bcl_mm.apis.runs import read_note, read_scalars


def test_a_note(tmp_path):
    assert read_note(tmp_path) == {}
    path = tmp_path / 'run.json'
    path.write_text(json.dumps(dict(seed=3)))
    assert read_note(tmp_path) == dict(seed=3)
    path.write_text('{"seed": ')
    with pytest.raises(ValueError, match='run.json is damaged: Expecting'):
        read_note(tmp_path)
    path.write_text('[1]')
    with pytest.raises(ValueError, match='run.json must be a JSON object, go'):
        read_note(tmp_path)


def test_logs(tmp_path, capsys):
    assert read_scalars(tmp_path) == []
    logs = [tmp_path / day / 'vis_data' / 'scalars.json' for day in '12']
    for log in logs:
        log.parent.mkdir(parents=True)
        log.write_text(f'{{"loss": {log.parents[1].name}}}\n')
    assert read_scalars(tmp_path) == [dict(loss=1), dict(loss=2)]
    # The training was killed while it wrote a line.
    with logs[0].open('a') as file:
        file.write('{"loss": 0.')
    assert read_scalars(tmp_path) == [dict(loss=1), dict(loss=2)]
    note = f'the last line of {logs[0]} is incomplete and left out'
    assert note in capsys.readouterr().err
    logs[1].write_text('no log\n{"loss": 2}\n')
    with pytest.raises(ValueError, match='scalars.json, line 1, is damaged'):
        read_scalars(tmp_path)
