"""What a terminal shows of the trainings of a comparison."""

import re
import time
from io import StringIO
from types import SimpleNamespace

import pytest
from rich.console import Console

from bcl_mm.apis.run_progress import RunProgress

ANSI = re.compile(r'\x1b\[\??[0-9;]*[A-Za-z]')
START = '6 epochs of 3 iterations, batch size 64, seed 0, on cpu\n'
EPOCH = (
    'Epoch(train) [{0}][3/3]  lr: 2.3e-02  eta: 0:02:21  time: 15.7348  '
    'data_time: 1.1601  loss: 3.5{0}71  loss_cls: 3.5587\n'
)
VALIDATION = 'Epoch(val) [2][1/1]    accuracy/top1: 20.5128  accuracy/few: 0\n'


@pytest.fixture
def run():
    said = []
    return SimpleNamespace(name='la, seed 0', say=said.append, said=said)


@pytest.mark.parametrize('width', [60, 120])
def test_a_line_for_each_run_in_a_terminal(run, width):
    screen = StringIO()
    console = Console(file=screen, force_terminal=True, width=width)
    with (
        RunProgress(console) as progress,
        progress.following(run) as one,
        progress.following(SimpleNamespace(name='bcl, seed 1')) as two,
    ):
        one(START + EPOCH.format(2))
        one(VALIDATION)
        one(EPOCH.format(3))
        two(EPOCH.format(1))
    assert run.said == []
    texts = ANSI.sub('', screen.getvalue())
    assert 'la, seed 0: starting' in texts
    assert 'la, seed 0: epoch 2/6, 0:02:21 left, loss 3.527' in texts
    whole = 'la, seed 0: epoch 3/6, 0:02:21 left, loss 3.537, top-1 20.5'
    # The text ends at the terminal's edge; a bar follows where it fits.
    assert whole[: width - 1] in texts
    assert 'bcl, seed 1: epoch 1, 0:02:21 left, loss 3.517' in texts
    assert ('━' in texts) == (width == 120)


def test_lines_elsewhere_come_less_and_less_often(run, monkeypatch):
    now = 0.0
    monkeypatch.setattr(time, 'monotonic', lambda: now)
    progress = RunProgress(Console(file=StringIO()))
    times = []
    with progress, progress.following(run) as follow:
        follow(START)
        for second in range(1, 1200):
            now = float(second)
            before = len(run.said)
            follow(EPOCH.format(2))
            times += [second] * (len(run.said) - before)
    assert run.said[0] == 'epoch 2/6, 0:02:21 left, loss 3.527'
    assert times[0] == 6 and times[1] - times[0] == 6
    assert times[-1] - times[-2] > 50
    # Nothing is repeated where nothing has happened.
    with progress.following(run) as follow:
        del run.said[:]
        now += 100
        follow('')
        assert run.said == []
