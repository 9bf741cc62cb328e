"""The stopwatch, and what a training will take."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bcl_mm.apis import timing
from bcl_mm.apis.timing import Timing, measure
from bcl_mm.utils.errors import InputValueError
from tests.conftest import ROOT
from tests.trees import write_classes

MEASURE = """
import signal
from pathlib import Path
from bcl_mm.apis.timing import measure
if __name__ == '__main__':
    # A shell starts jobs in the background without.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    print('ready', flush=True)
    measure('ce_resnet32_custom', ['data_root={tree}'], Path('{run}'))
"""


def test_the_seconds_of_a_training():
    one = Timing(start=10, epoch=2, validation=3)
    # Validations after epochs 5, 10 and 11.
    assert one.seconds(11, 5) == 10 + 22 + 9


@pytest.mark.parametrize(
    ('marks', 'length', 'seconds'),
    [
        # Inside an epoch only: 2 s each.
        ([(0, 1), (0, 3), (0, 5)], 10, 20),
        # Steps of 1 s inside, and of 4 s from epoch to epoch.
        ([(0, 0), (0, 1), (1, 5), (1, 6), (2, 10)], 2, 5),
        # Epochs of one iteration.
        ([(0, 0), (1, 3), (2, 6)], 1, 3),
    ],
)
def test_the_seconds_of_an_epoch(marks, length, seconds):
    stopwatch = timing._Stopwatch()
    stopwatch.marks = marks
    assert stopwatch.seconds_of_epoch(length) == seconds


def test_when_it_is_enough(monkeypatch):
    clock = iter(range(0, 100, 1))
    monkeypatch.setattr(time, 'monotonic', lambda: next(clock))
    stopwatch = timing._Stopwatch()
    with pytest.raises(timing._EnoughError):
        for _ in range(50):
            stopwatch._mark(0)
    assert len(stopwatch.marks) == 5  # 4 steps, 4 seconds
    clock = iter(range(0, 1000, 30))  # a step is longer than the longest time
    stopwatch = timing._Stopwatch()
    with pytest.raises(timing._EnoughError):
        for _ in range(50):
            stopwatch._mark(0)
    assert len(stopwatch.marks) == 2


@pytest.mark.slow
def test_control_c_ends_it_at_once(tmp_path):
    write_classes(tmp_path / 'tree', (6, 4, 3))
    script = tmp_path / 'measure.py'
    script.write_text(
        MEASURE.format(tree=tmp_path / 'tree', run=tmp_path / 'run')
    )
    process = subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        start_new_session=True,
    )
    assert process.stdout.readline() == 'ready\n'
    time.sleep(1)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    output, _ = process.communicate(timeout=60)
    assert output.count('KeyboardInterrupt') == 1
    assert 'SpawnProcess' not in output
    deadline = time.monotonic() + 30
    while left := processes_of(process.pid):
        assert time.monotonic() < deadline, left
        time.sleep(0.2)


def processes_of(session):
    """Processes of a session that have not ended."""
    found = []
    for path in Path('/proc').glob('[0-9]*/stat'):
        with contextlib.suppress(OSError):
            *_, fields = path.read_text().rpartition(')')
            state, _, _, owner, *_ = fields.split()
            if int(owner) == session and state != 'Z':
                found.append(path)
    return found


@pytest.mark.slow
def test_a_real_measurement_and_its_errors(tmp_path, capfd):
    write_classes(tmp_path / 'tree', (6, 4, 3))
    options = [
        f'data_root={tmp_path / "tree"}',
        'train_dataloader.num_workers=0',
        'val_dataloader.num_workers=0',
    ]
    began = time.monotonic()
    found = measure('ce_resnet32_custom', options, tmp_path / 'run')
    assert 0 < found.epoch < time.monotonic() - began
    assert found.validation > 0
    assert found.start > 0
    assert capfd.readouterr().out == ''
    with pytest.raises(InputValueError, match='num_classes is 9'):
        options.append('model.head.num_classes=9')
        measure('ce_resnet32_custom', options, tmp_path / 'run')
