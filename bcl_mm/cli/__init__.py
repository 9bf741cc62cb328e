"""The commands, one module each.

A module of a command imports nothing heavy when it is imported, so that
``--help`` answers at once. Its docstring is the description of the command,
and it has two functions: ``add_arguments(parser)``, and ``run(args)``, which
does the work and returns the exit status (None for 0).
"""

from __future__ import annotations

import argparse
import importlib
import io
import keyword
import re
import sys
from types import ModuleType
from typing import Any, NoReturn, Optional, Tuple

from bcl_mm.utils.errors import InputError, visible


class _Parser(argparse.ArgumentParser):
    """Takes options between the words, and makes its errors visible.

    ``CONFIG --amp CHECKPOINT`` are two words. An error quotes words of the
    command line, which may be file names of any characters.
    """

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        args = list(sys.argv[1:] if args is None else args)
        amp = self._option_string_actions.get('--amp')
        for i, word in enumerate(args):
            # Its value may be left out, and a word that follows is another.
            if word == '--amp' and amp is not None:
                values = amp.choices or ()
                has_value = args[i + 1 : i + 2] and args[i + 1] in values
                args[i] = word if has_value else f'--amp={amp.const}'
        rests = (argparse.REMAINDER, argparse.PARSER)
        if any(action.nargs in rests for action in self._actions):
            return super().parse_args(args, namespace)
        return self.parse_intermixed_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        super().error(visible(message))


def load_command(
    name: str, prog: Optional[str] = None
) -> Tuple[ModuleType, argparse.ArgumentParser]:
    """Module of a command, and its parser.

    Args:
        name: Name of the command.
        prog: Name of the program in the usage. Defaults to None: its file.
    """
    if keyword.iskeyword(name):  # try.py could not be imported
        name = f'{name}_'
    module = importlib.import_module(f'bcl_mm.cli.{name}')
    parser = _Parser(
        prog=prog,
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    # For checks in run(): args.error(MESSAGE) shows the usage, and exits
    # with 2.
    parser.set_defaults(error=parser.error)
    return module, parser


def print_any_name() -> None:
    """Let stdout take file names, which need not be valid text."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors='backslashreplace')


def print_error(error: InputError) -> None:
    """Print an error of the user on stderr, without its traceback."""
    message = str(error).strip()
    if 'DataLoader worker' in message:
        # A worker's traceback; its last line is "module.Class: message".
        message = re.sub(r'^[\w.]+: ', '', message.splitlines()[-1])
    print(f'Error: {visible(message)}', file=sys.stderr, flush=True)
