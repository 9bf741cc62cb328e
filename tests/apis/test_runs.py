"""The one reader of runs: notes and logs, damaged ones too."""

import json
import os
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from bcl_mm.apis.run_files import read_note, read_scalars
from bcl_mm.apis.runs import find_runs
from bcl_mm.engine.run_config import write_run_config
from bcl_mm.utils.errors import InputFileError

CHECKPOINT = dict(
    meta=dict(epoch=1, iter=6),
    message_hub=dict(log_scalars={}, runtime_info={}, resumed_keys={}),
    **dict(state_dict={}, optimizer={}, param_schedulers=[]),
)


def write_run(folder, **settings):
    """A run folder with a checkpoint that training can resume from."""
    folder.mkdir(parents=True)
    torch.save(CHECKPOINT, folder / 'epoch_1.pth')
    cfg = Config(dict(settings), ' ', 'a_b.py')
    write_run_config(cfg, folder)
    return folder


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
    top1 = {'accuracy/top1': 50.0}
    for wrong, message in (
        (dict(figures={}), 'run.json: figures has no accuracy/top1'),
        (dict(figures=3), 'run.json: figures must be a JSON object, got int'),
        (
            dict(figures={'accuracy/top1': '90'}),
            "figures: accuracy/top1 must be a number, got '90'",
        ),
        (
            dict(figures=top1, seconds_per_epoch='1'),
            "run.json: seconds_per_epoch must be a number, got '1'",
        ),
        (dict(seed='0'), "run.json: seed must be a whole number, got '0'"),
        (
            dict(kind_of_time='x'),
            "kind_of_time must be one of cpu, gpu, wall, got 'x'",
        ),
        (dict(kind_of_time=[1]), r'kind_of_time must be one of .*, got \[1\]'),
        (dict(first_stage=3), 'first_stage must be a path'),
        (dict(commits='abc'), 'run.json is damaged: commits must be a list'),
        (dict(checkpoint=3), 'run.json is damaged: commits must be a list'),
    ):
        path.write_text(json.dumps(wrong))
        with pytest.raises((TypeError, ValueError), match=message):
            read_note(tmp_path)
    path.write_text('[' * 100_000)
    with pytest.raises(ValueError, match='run.json is damaged'):
        read_note(tmp_path)
    # Of another metric: not a figure.
    path.write_text(json.dumps(dict(figures={**top1, 'x': [1], 'y': 'z'})))
    assert read_note(tmp_path) == dict(figures=top1)


def test_what_cannot_be_read_is_named(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError(5, 'Input/output error')

    (tmp_path / 'run.json').touch()
    monkeypatch.setattr(Path, 'read_text', fail)
    message = 'run.json cannot be read: Input/output error'
    with pytest.raises(InputFileError, match=message):
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
    # Empty lines, and the zeros of a power failure.
    for end in ('\n', '\n\n', '\n\0\0\0', '\n{"loss": \n'):
        logs[0].write_text(f'{{"loss": 1}}{end}')
        assert read_scalars(tmp_path) == [dict(loss=1), dict(loss=2)]
    logs[1].write_text('no log\n{"loss": 2}\n')
    with pytest.raises(ValueError, match='scalars.json, line 1, is damaged'):
        read_scalars(tmp_path)
    logs[1].write_text('{"loss": "2"}\n')
    with pytest.raises(ValueError, match='line 1, is damaged: loss must be a'):
        read_scalars(tmp_path)
    logs[1].write_text('{"loss": 2, "all": [1, 2]}\n')
    assert read_scalars(tmp_path)[-1] == dict(loss=2)
    logs[1].unlink()
    os.mkfifo(logs[1])
    assert read_scalars(tmp_path) == [dict(loss=1)]


def write_log(folder, *lines):
    log = folder / 'vis_data' / 'scalars.json'
    log.parent.mkdir(parents=True)
    log.write_text('\n'.join(map(json.dumps, lines)))
    return list(lines)


def test_steps_that_were_trained_again(tmp_path):
    def epoch(number, loss):
        step = 2 * number
        return (
            dict(loss=loss, epoch=number, iter=step, step=step),
            {'cost/epochs': number, 'epoch': number, 'step': step},
            {'accuracy/top1': loss, 'step': number},
        )

    first = epoch(1, 9.0)
    write_log(tmp_path / '1', *first, *epoch(2, 8.0)[:2])
    # Killed before the checkpoint of epoch 2, and resumed.
    again = write_log(tmp_path / '2', *epoch(2, 7.0), *epoch(3, 6.0))
    assert read_scalars(tmp_path) == [*first, *again]
    # A test alone is no training.
    tested = write_log(tmp_path / '3', {'accuracy/top1': 5.0, 'step': 0})
    assert read_scalars(tmp_path) == [*first, *again, *tested]
    # Another, shorter training in the same folder.
    new = write_log(tmp_path / '4', *epoch(1, 4.0))
    assert read_scalars(tmp_path) == new


def test_a_run_is_read_without_running_code(tmp_path):
    folder = write_run(tmp_path / 'run', method_name=3)
    for name in ('a_b.py', 'newer.py'):
        (folder / name).write_text('raise SystemExit')
    ((run,), errors) = find_runs([tmp_path])
    assert (run.method, run.stem, errors) == ('3', 'a_b', [])
    (folder / 'config.json').unlink()
    runs, (error,) = find_runs([tmp_path])
    assert runs == []
    assert str(error).startswith(f'{folder} has no config.json, only ')
    assert 'pass --allow-code' in str(error)
    with pytest.raises(SystemExit):
        find_runs([tmp_path], allow_code=True)


def test_a_damaged_run_does_not_hide_the_others(tmp_path):
    good = write_run(tmp_path / 'good')
    for name, file, text in (
        ('a', 'config.json', '{'),
        ('b', 'run.json', '{"figures": {}}'),
        ('c', 'config.json', '{"model": {"type": "os.system"}}'),
        ('d', 'run.json', '{"checkpoint": "gone.pth"}'),
    ):
        (write_run(tmp_path / name) / file).write_text(text)
    (tmp_path / 'd' / 'test').mkdir()
    write_run_config(Config(dict(a=1)), tmp_path / 'd' / 'test')
    (run,), errors = find_runs([tmp_path])
    assert run.folder == good
    found = sorted(str(error) for error in errors)
    assert [text[len(f'{tmp_path}/')] for text in found] == list('abcd')


@pytest.mark.parametrize('schedule', [None, [], 'x', dict(max_epochs='9')])
def test_odd_schedules(tmp_path, schedule):
    write_run(tmp_path / 'run', train_cfg=schedule, randomness=schedule)
    ((run,), _) = find_runs([tmp_path])
    assert (run.progress, run.seed) == ('', None)


@pytest.mark.parametrize(
    ('schedule', 'meta', 'progress', 'length'),
    [
        (dict(max_epochs=1), {}, '', '1 epoch'),
        (dict(max_epochs=3), {}, 'epoch 1 of 3', '1 epoch'),
        (
            dict(max_epochs=3),
            dict(stopped_early=True),
            '',
            '1 epoch (stopped early)',
        ),
        (dict(max_iters=6), {}, '', '6 iterations'),
        (dict(max_iters=2000), {}, 'iter 6 of 2,000', '6 iterations'),
    ],
)
def test_progress_and_length(tmp_path, schedule, meta, progress, length):
    folder = write_run(tmp_path / 'run', train_cfg=schedule)
    content = dict(CHECKPOINT, meta={**CHECKPOINT['meta'], **meta})
    torch.save(content, folder / 'epoch_1.pth')
    ((run,), _) = find_runs([tmp_path])
    assert (run.progress, run.length) == (progress, length)
