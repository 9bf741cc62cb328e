"""``bcl-mm``: commands, errors, and what answers at once."""

import errno
import os
import subprocess
import sys
from types import ModuleType

import pytest
from mmengine.registry import MODELS
from torch.utils.data import DataLoader

from bcl_mm import __version__
from bcl_mm.cli import main as cli
from bcl_mm.datasets.transforms.loading import CorruptImageError
from bcl_mm.utils.errors import MissingFileError
from tests.cli.common import BCL
from tests.conftest import ROOT

HEAVY = ('torch', 'numpy', 'mmengine', 'mmcv', 'mmpretrain', 'sklearn')


@pytest.fixture
def run_command(monkeypatch, capsys):
    """Run a function as a command; returns exit status and errors."""

    def call(function):
        module = ModuleType('bcl_mm.cli.tried')
        module.add_arguments = lambda parser: None
        module.run = lambda args: function()
        monkeypatch.setitem(sys.modules, 'bcl_mm.cli.tried', module)
        status = 0
        try:
            cli.main([], command='tried')
        except SystemExit as error:
            status = error.code
        return status, capsys.readouterr().err

    return call


def test_errors_of_users_are_one_sentence(run_command):
    head = dict(type='bcl_mm.BCLHead', num_classes=1, in_channels=8)
    status, errors = run_command(lambda: MODELS.build(head))
    assert status == 1
    assert errors.startswith('Error: ')
    assert 'num_classes must be >= 2' in errors  # the registry wraps it
    assert len(errors.splitlines()) == 1


class Broken(list):
    def __getitem__(self, index):
        raise CorruptImageError('a.jpg: it is cut short')


def test_errors_of_data_workers_are_one_sentence(run_command):
    loader = DataLoader(Broken([0]), num_workers=1)
    status, errors = run_command(lambda: next(iter(loader)))
    assert (status, errors) == (1, 'Error: a.jpg: it is cut short\n')


def test_other_errors_keep_their_traceback(run_command):
    with pytest.raises(ValueError, match='invalid literal'):
        run_command(lambda: int('acht'))
    with pytest.raises(IndexError):
        run_command(lambda: [][0])


def test_a_full_disk_is_one_sentence(run_command):
    def fail():
        raise OSError(errno.ENOSPC, 'No space left on device', 'a.png')

    message = 'Error: a.png cannot be written: No space left on device\n'
    assert run_command(fail) == (1, message)


def test_a_full_output_is_one_sentence(run):
    code = (
        'import sys\nfrom types import ModuleType\n'
        'from bcl_mm.cli.main import main\n'
        "module = ModuleType('tried')\n"
        'module.add_arguments = lambda parser: None\n'
        'module.run = lambda args: print(1)\n'
        "sys.modules['bcl_mm.cli.tried'] = module\n"
        "main([], command='tried')\n"
    )
    shell = 'exec "$@" > /dev/full'
    program = sys.executable, '-c', code
    done = run('bash', '-c', shell, 'bash', *program, ok=False)
    cause = 'the output cannot be written: No space left on device'
    assert done.stdout == f'Error: {cause}\n'
    assert done.returncode == 1


def test_what_a_terminal_would_obey_is_escaped(run_command, call):
    def fail():
        raise MissingFileError('a\x1b[31m.png does not exist')

    message = 'Error: a\\x1b[31m.png does not exist\n'
    assert run_command(fail) == (1, message)
    assert run_command(lambda: 'see a\x1bb')[0] == 'see a\\x1bb'
    status, _, errors = call('predict', 'a', 'b', 'c', '--\x1b[31m')
    assert status == 2
    assert '\\x1b[31m' in errors and '\x1b' not in errors


def test_interrupted(run_command):
    def stop():
        raise KeyboardInterrupt

    assert run_command(stop) == (130, 'Interrupted by SIGINT\n')


def test_status(run_command):
    assert run_command(lambda: None) == (0, '')
    assert run_command(lambda: 3) == (3, '')
    assert run_command(lambda: 'why') == ('why', '')


@pytest.mark.parametrize('command', [None, *cli.COMMANDS])
def test_help_loads_nothing_heavy(run, command):
    words = ['--help'] if command is None else [command, '--help']
    code = (
        'import sys\nfrom bcl_mm.cli.main import main\n'
        f'try:\n    main({words})\nexcept SystemExit as end:\n'
        '    assert not end.code\n'
        f'print([name for name in {HEAVY} if name in sys.modules])'
    )
    done = run(sys.executable, '-c', code)
    assert done.stdout.startswith('usage: bcl-mm ')
    assert done.stdout.splitlines()[-1] == '[]'


def test_no_and_unknown_commands(run):
    module = sys.executable, '-m', 'bcl_mm'
    assert '  train ' in run(*module).stdout
    assert run(*module, '--version').stdout.strip() == __version__
    done = run(*module, 'lunch', ok=False)
    assert done.returncode == 2
    assert "'lunch' (choose from" in done.stdout
    # Of a launched command: said once, before anything starts.
    done = run(*module, 'launch', 2, 'train', BCL, '--lr', 1, ok=False)
    assert done.stdout.count('unrecognized arguments: --lr') == 1


@pytest.mark.parametrize('tool', ['quickstart', 'run_tests'])
def test_help_of_scripts_installs_nothing(run, tmp_path, tool):
    # A Python that would tell.
    for name in ('python', 'python3'):
        (tmp_path / name).write_text('#!/bin/sh\necho called\n')
        (tmp_path / name).chmod(0o755)
    path = f'{tmp_path}{os.pathsep}{os.environ["PATH"]}'
    for option in ('-h', '--help'):
        script = ROOT / 'tools' / f'{tool}.sh'
        done = run('bash', script, option, PATH=path, VIRTUAL_ENV='x')
        assert f'bash tools/{tool}.sh' in done.stdout
        assert 'called' not in done.stdout


TALKATIVE = """
import argparse, types
import bcl_mm.cli.main as program

def run(args):
    for line in range(100000):
        print(line)

found = types.SimpleNamespace(run=run), argparse.ArgumentParser()
program.load_command = lambda name, prog: found
program.main(['predict'])
"""


def test_a_reader_that_ends_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, 'w') as output:
        command = [sys.executable, '-c', TALKATIVE]
        result = subprocess.run(
            command, stdout=output, stderr=subprocess.PIPE, text=True
        )
    assert (result.returncode, result.stderr) == (141, '')
