"""The command line of bcl_mm: ``bcl-mm COMMAND``."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from typing import List, Optional

from bcl_mm import __version__
from bcl_mm.cli import load_command, print_error
from bcl_mm.utils.errors import as_input_error, visible

COMMANDS = {
    'try': 'from a folder of images to a verdict, in one command',
    'train': 'train a model from a config',
    'test': 'test a checkpoint',
    'compare': 'train several configs and write one table',
    'report': 'compare trained models on one HTML page',
    'predict': 'predict the classes of images, or extract features',
    'export': 'export a trained model to ONNX or torch.export',
    'calibrate': 'fit the scores of a trained model, and when it abstains',
    'check': 'check the data sets of a config before training',
    'convert': 'convert a checkpoint of the reference implementation',
    'launch': 'train or test on several GPUs, CPU processes or nodes',
    'prepare': 'download a data set',
}


def choose_command(words: List[str]) -> str:
    """Name of the command, the first word; without any, show the help."""
    parser = argparse.ArgumentParser(
        prog='bcl-mm',
        usage='bcl-mm COMMAND ...',
        description='Balanced Contrastive Learning for long-tailed images.',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog='commands:\n'
        + '\n'.join(f'  {name:9} {what}' for name, what in COMMANDS.items())
        + '\n\nbcl-mm COMMAND --help shows the options of a command.',
    )
    parser.add_argument('--version', action='version', version=__version__)
    parser.add_argument(
        'command', nargs='?', choices=COMMANDS, help=argparse.SUPPRESS
    )
    command = parser.parse_args(words[:1]).command
    if command is None:
        parser.print_help()
        parser.exit()
    return command


def main(
    argv: Optional[List[str]] = None, command: Optional[str] = None
) -> None:
    """Run a command.

    An InputError, or that of a full disk, becomes one sentence on stderr and
    exit status 1; every other error keeps its traceback. After Ctrl-C the
    status is 130, and after a closed pipe 141.

    Args:
        argv: Words of the command line. Defaults to None: those of this
            program.
        command: Name of the command. Defaults to None: the first word.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    prog = None
    if command is None:
        command = choose_command(words)
        words, prog = words[1:], f'bcl-mm {command}'
    module, parser = load_command(command, prog)
    args = parser.parse_args(words)
    try:
        status = module.run(args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print('Interrupted by SIGINT', file=sys.stderr)
        status = 130
    except BrokenPipeError:
        # The reader of our output has ended (| head), as is its right. What
        # is left in the buffer must not become an error when Python exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 128 + signal.SIGPIPE
    except Exception as error:
        told = as_input_error(error, 'the output')
        if told is None:
            raise
        print_error(told)
        status = 1
    if isinstance(status, str):
        status = visible(status)
    if status:
        sys.exit(status)
