"""What a training shows in the terminal."""

import fcntl
import os
import pty
import re
import signal
import struct
import sys
import termios

import pytest

from bcl_mm.cli import interruption
from tests.cli.common import CE, SHORT
from tests.cli.conftest import call  # noqa: F401  (a fixture)
from tests.conftest import ROOT
from tests.trees import write_classes, write_fashion_mnist

ANSI = re.compile(r'\x1b\[\??[0-9;]*[A-Za-z]')
# A hook that warns in the middle of training; every iteration is drawn, so
# that no line depends on the machine's speed.
WARNS = f"""
_base_ = '{ROOT}/configs/ce_resnet8_digits_lt.py'
custom_imports = dict(imports=['warns'])
custom_hooks = [dict(type='WarningHook')]
"""
HOOK = """
import sys, warnings
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from bcl_mm.engine import terminal

terminal._REFRESH_SECONDS = 0

@HOOKS.register_module()
class WarningHook(Hook):
    def after_train_epoch(self, runner):
        runner.logger.warning('a \\x1b[31m logged [bold]warning[/bold]')
        warnings.warn('a warning of Python', stacklevel=1)
        print('a print', file=sys.stderr)
"""


def run_in_terminal(command, columns=80, stop_at=None, **env):
    """Output and status of a command in a terminal of its own.

    Ctrl-C is pressed after the text ``stop_at``.
    """
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        env = {**os.environ, **env, 'OMP_NUM_THREADS': '1', 'TERM': 'xterm'}
        # Rich would take them for the size; pytest-xdist's workers have them.
        for name in ('COLUMNS', 'LINES'):
            env.pop(name, None)
        words = [sys.executable, *map(str, command)]
        # Not execv: readline, in pytest, has set COLUMNS behind os.environ.
        os.execve(sys.executable, words, env)
    size = struct.pack('HHHH', 24, columns, 0, 0)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, size)
    output = b''
    while True:
        try:
            output += os.read(terminal, 65536)
        except OSError:  # it has ended
            break
        if stop_at and stop_at.encode() in output:
            os.write(terminal, b'\x03')
            stop_at = None
    os.close(terminal)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return output.decode().replace('\r\n', '\n'), status


def screen(output):
    """Lines that stay on a terminal, without colours."""
    lines = ['']
    output = re.sub(r'\x1b\[(?![AK]|1A|2?K)\??[0-9;]*[A-Za-z]', '', output)
    for part in re.findall(r'\x1b\[\d*[AK]|\r|\n|[^\x1b\r\n]+', output):
        if part == '\n':
            lines.append('')
        elif part.endswith('A') and part[0] == '\x1b':
            lines.pop()
        elif part.endswith('K') and part[0] == '\x1b':
            lines[-1] = ''
        elif part != '\r':
            lines[-1] += part
    return lines


def before_progress(output):
    lines = output.splitlines()
    return next(i for i, x in enumerate(lines) if 'Epoch(train)' in x)


@pytest.fixture
def train(call, monkeypatch):  # noqa: F811
    monkeypatch.setattr(interruption, 'watch', lambda work_dir=None: None)

    def run(*words):
        status, output, errors = call('train', *words)
        assert status == 0, errors
        return output

    return run


@pytest.mark.long
def test_few_lines_until_the_first_progress(train, tmp_path):
    write_fashion_mnist(tmp_path / 'fashion')
    write_classes(tmp_path / 'own', (6, 4, 3))
    shorter = (
        *('train_cfg.max_epochs=1', 'train_dataloader.num_workers=0'),
        'val_dataloader.num_workers=0',
    )
    for name, *options in (
        ['ce_resnet8_digits_lt'],
        [
            'ce_resnet8_fashion_mnist_lt',
            f'data_root={tmp_path / "fashion"}',
            'train_dataloader.dataset.max_per_class=100',
        ],
        ['ce_resnet32_custom', f'data_root={tmp_path / "own"}'],
    ):
        work_dir = tmp_path / name
        arguments = name, '--work-dir', work_dir, '--cfg-options'
        output = train(*arguments, *shorter, *options)
        assert before_progress(output) <= 10
        assert 'cross-entropy: ' in output
        assert 'images of 10 classes (' in output or name.endswith('custom')
        assert 'mmengine - INFO' not in output
        # The log file has everything.
        path = re.search('Complete log: (.*)', output)[1]
        with open(path) as file:
            log = file.read()
        for part in ('System environment', 'Config:', 'Hooks will be exec'):
            assert part in log
            assert part not in output
        *_, last = re.findall('Epoch.*', output)
        assert last in log
    output = train('-v', *arguments, *shorter, *options)
    assert before_progress(output) > 100
    assert 'mmengine - INFO - Epoch(train) [1][1/1]' in output


@pytest.mark.long
def test_a_bar_in_a_terminal(tmp_path):
    (tmp_path / 'warns.py').write_text(HOOK)
    config = tmp_path / 'config.py'
    config.write_text(WARNS)
    command = '-m', 'bcl_mm', 'train', config, '--work-dir', tmp_path / 'run'
    path = f'{ROOT}:{tmp_path}'
    output, status = run_in_terminal(
        [*command, '--cfg-options', *SHORT], 70, PYTHONPATH=path
    )
    assert status == 0, output
    # Drawn often, all in one line.
    texts = ANSI.sub('', output)
    pattern = r'epoch (\d)/2  \d:\d\d:\d\d left  loss \d\.\d{3}'
    epochs = re.findall(pattern, texts)
    assert set(epochs) == {'1', '2'}
    assert 'validation 1/1' in texts
    lines = screen(output)
    assert len(lines) < 25
    assert not re.search(r'epoch \d', '\n'.join(lines))
    assert lines[-1] == ''
    assert re.fullmatch('Last validation: top-1 .*few-shot.*', lines[-2])
    # Nothing is torn, hidden or taken for markup.
    assert 'Warning: a \\x1b[31m logged [bold]warning[/bold]' in lines
    assert 'a print' in lines
    assert re.search(r'UserWarning:\s+a warning of Python', '\n'.join(lines))
    # The cursor is back before a kill could take it.
    assert output.index('\x1b[?25h') < output.index('left')


@pytest.mark.slow
def test_a_narrow_terminal_and_control_c(tmp_path):
    command = '-m', 'bcl_mm', 'train', CE, '--work-dir', tmp_path
    output, status = run_in_terminal(command, 30, stop_at='epoch 2/60')
    assert status == 128 + signal.SIGINT
    frames = ANSI.sub('', output).split('\r')
    frames = [f for f in frames if re.match(r'epoch \d', f)]
    assert frames
    assert not [f for f in frames if len(f.removesuffix('^C')) > 30]
    *_, last, end = screen(output)
    assert end == ''
    assert last.startswith('Interrupted by SIGINT: --resume resumes from ')
    assert 'Traceback' not in output
