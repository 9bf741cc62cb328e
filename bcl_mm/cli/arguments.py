"""Arguments that several commands share; nothing heavy is imported."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Callable

from bcl_mm.cli.options import whole_number


def add_count(
    parser: argparse.ArgumentParser,
    name: str,
    what: str,
    default: int,
    at_least: int = 1,
) -> None:
    """Add an option that takes a whole number of at least ``at_least``."""
    parser.add_argument(
        name,
        type=whole_number(at_least),
        default=default,
        metavar='N',
        help=f'{what} (default: {default})',
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the device of a model."""
    parser.add_argument(
        '--device',
        help='such as cuda:1 or cpu (default: a GPU if there is one)',
    )


def output_file(*endings: str) -> Callable[[str], Path]:
    """Type of an argument: a file to write, in a folder that exists.

    Args:
        *endings: Endings that its name may have, such as ``'.csv'``;
            without any, all are allowed.
    """

    def parse(text: str) -> Path:
        path = Path(text)
        problem = None
        if endings and path.suffix not in endings:
            problem = f'must end in {" or ".join(endings)}, got {text}'
        elif not path.parent.is_dir():
            problem = f'folder {path.parent} does not exist'
        if problem:
            raise argparse.ArgumentTypeError(problem)
        return path

    return parse
