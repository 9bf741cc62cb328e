"""Types of arguments; nothing heavy is imported."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Callable


def integer(least: int) -> Callable[[str], int]:
    """Type of an argument: an integer of at least ``least``."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(
                f'must be an integer, got {text!r}'
            ) from None
        if value < least:
            raise argparse.ArgumentTypeError(f'must be >= {least}, got {text}')
        return value

    return parse


def output_file(*endings: str) -> Callable[[str], Path]:
    """Type of an argument: a file to write, in a folder that exists.

    Args:
        *endings: Endings that its name may have, such as ``'.csv'``;
            without any, all are allowed.
    """

    def parse(text: str) -> Path:
        path = Path(text)
        if endings and path.suffix not in endings:
            raise argparse.ArgumentTypeError(
                f'must end in {" or ".join(endings)}, got {text}'
            )
        if not path.parent.is_dir():
            raise argparse.ArgumentTypeError(
                f'folder {path.parent} does not exist'
            )
        return path

    return parse
