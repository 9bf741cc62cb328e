"""The one way to write a file: complete, or not at all; and full disks."""

from __future__ import annotations

import contextlib
import csv
import logging
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any, Iterable, Iterator, Union

from bcl_mm.utils.errors import InputFileError, as_input_error

_FORMULA = ('=', '+', '-', '@', '\t', '\r')


@contextlib.contextmanager
def open_atomically(
    path: Union[str, Path], mode: str = 'w', **options: Any
) -> Iterator[Any]:
    """Open a file for writing that appears when it is complete.

    The content goes to ``PATH.part``, which is synced and renamed at the
    end. After an error, or a kill, the file is as it was before.

    Args:
        path: The file.
        mode: ``'w'`` or ``'wb'``. Defaults to ``'w'``, in UTF-8, with
            escapes for what that cannot encode.
        **options: Arguments of ``open``.

    Raises:
        InputFileError: The file cannot be written; the message names it and
            the cause, and nothing is left of the attempt.
    """
    part = Path(f'{path}.part')
    if 'b' not in mode:
        options.setdefault('encoding', 'utf-8')
        options.setdefault('errors', 'backslashreplace')
    try:
        with open(part, mode, **options) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        # Not an error that the caller's own reading raises in the block.
        if isinstance(error, OSError) and error.filename in (None, str(part)):
            raise InputFileError(
                f'{path} cannot be written: {error.strerror or error}'
            ) from error
        raise
    # The new name, too, should survive a power failure; not all file systems
    # can sync a folder.
    with contextlib.suppress(OSError):
        folder = os.open(part.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_atomically(
    content: Union[bytes, str], path: Union[str, Path]
) -> None:
    """Write a file of known content, as :func:`open_atomically` does.

    Raises:
        InputFileError: The file cannot be written.
    """
    mode = 'wb' if isinstance(content, bytes) else 'w'
    with open_atomically(path, mode) as file:
        file.write(content)


@contextlib.contextmanager
def telling_failed_writes(path: Union[str, Path]) -> Iterator[None]:
    """Raise an InputFileError that names a file if writing it fails.

    Args:
        path: What the user calls the file.
    """
    try:
        yield
    except OSError as error:
        raise InputFileError(
            f'{path} cannot be written: {error.strerror or error}'
        ) from error


class CsvWriter:
    """A ``csv.writer`` of cells that no spreadsheet takes for formulas.

    Text that begins with ``=``, ``+``, ``-``, ``@``, a tab or a carriage
    return gets a ``'`` before it. Numbers are left alone.

    Args:
        file: Open for writing, with ``newline=''``.
    """

    def __init__(self, file: Any) -> None:
        self._writer = csv.writer(file)

    def writerow(self, row: Iterable[Any]) -> None:
        """Write a line."""
        self._writer.writerow(map(_plain_cell, row))


def _plain_cell(value: Any) -> Any:
    is_formula = isinstance(value, str) and value.startswith(_FORMULA)
    return f"'{value}" if is_formula else value


def end_at_full_disk(logger: logging.Logger) -> None:
    """Let a log that cannot be written raise an error.

    By itself, logging prints a traceback for each line, and goes on.

    Args:
        logger: Its files, from now on, raise an InputFileError where the
            disk is full.
    """
    for handler in logger.handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handleError = partial(_raise_if_full, handler)


def _raise_if_full(
    handler: logging.FileHandler, record: logging.LogRecord
) -> None:
    error = as_input_error(sys.exc_info()[1], handler.baseFilename)
    if error is not None:
        raise error
    logging.FileHandler.handleError(handler, record)
