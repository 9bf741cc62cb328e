"""A warm Python does what Python does, and starts sooner."""

import fcntl
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

SCRIPT = """
import os, signal, sys

with open(int(sys.argv[1])) as file:
    print(file.read(), __name__, *sys.argv[1:])
print(os.path.realpath(sys.argv[0]), sys.path[0])
print(os.getcwd(), os.environ['A'])
print('to stderr', file=sys.stderr)
sys.stdout.flush()
if sys.argv[2] == 'kill':
    os.kill(os.getpid(), signal.SIGKILL)
sys.exit(eval(sys.argv[2]))
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'package').mkdir()
    (tmp_path / 'package' / '__main__.py').write_text(SCRIPT)
    (tmp_path / 'note').write_text('a note')
    return tmp_path


pytestmark = pytest.mark.skipif(
    sys.platform != 'linux' or torch.accelerator.is_available(),
    reason='there is no warm Python',
)


@pytest.mark.parametrize('end', ['None', '3', '"why"', '1 / 0', 'kill'])
@pytest.mark.parametrize('words', ['package/__main__.py', '-m package', '-c'])
def test_words_files_and_environment_arrive(python, folder, words, end):
    found = []
    for program in (sys.executable, python):
        more = [SCRIPT] if words == '-c' else []
        with (folder / 'note').open() as note:
            # As high as where a process has many files open.
            file = fcntl.fcntl(note, fcntl.F_DUPFD, 300)
            done = subprocess.run(
                [program, *words.split(), *more, str(file), end],
                cwd=folder,
                env={**os.environ, 'A': ' b='},
                pass_fds=[file],
                capture_output=True,
                text=True,
            )
            os.close(file)
        last = done.stderr.splitlines()[-1]
        found.append((done.returncode, done.stdout, last))
    assert found[0] == found[1]


WAITING = """
import os, signal, time

signal.signal(signal.SIGINT, signal.default_int_handler)  # if ignored before
print(os.getpid(), flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize('name', ['SIGINT', 'SIGTERM', 'SIGKILL'])
def test_signals_arrive(python, folder, name):
    script = folder / 'waiting.py'
    script.write_text(WAITING)
    with subprocess.Popen(
        [python, script],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        child = int(process.stdout.readline())
        number = getattr(signal, name)
        process.send_signal(number)
        # That of KeyboardInterrupt, which is an error like others here.
        assert process.wait(timeout=60) == (1 if name == 'SIGINT' else -number)
    deadline = time.time() + 60
    while os.path.exists(f'/proc/{child}'):
        assert time.time() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ('variables', 'is_warm'),
    [(dict(A='b'), True), (dict(OMP_NUM_THREADS='7'), False)],
)
def test_what_is_read_at_the_start_needs_a_start(
    run, run_warm, folder, variables, is_warm
):
    script = folder / 'modules.py'
    script.write_text("import sys; print('torch' in sys.modules)")
    command = sys.executable, script
    assert run_warm(*command, **variables).stdout == f'{is_warm}\n'
    assert run(*command).stdout == 'False\n'
