"""The one way to write a file: complete, or not at all; and full disks."""

from __future__ import annotations

import contextlib
import csv
import fcntl
import fnmatch
import glob
import logging
import os
import secrets
import sys
from functools import partial
from pathlib import Path
from typing import Any, Iterable, Iterator, Tuple, Union

from bcl_mm.utils.errors import InputFileError, as_input_error

_FORMULA = ('=', '+', '-', '@', '\t', '\r')


@contextlib.contextmanager
def open_atomically(
    path: Union[str, Path], mode: str = 'w', **options: Any
) -> Iterator[Any]:
    """Open a file for writing that appears when it is complete.

    The content goes to ``PATH.XXXXXXXX.part``, of a random name, which is
    synced and renamed at the end. After an error, or a kill, the file is as
    it was before. Of several writers the last one to end wins. What a killed
    one left is removed when the same file is written again.

    Args:
        path: The file.
        mode: ``'w'`` or ``'wb'``. Defaults to ``'w'``, in UTF-8, with
            escapes for what that cannot encode.
        **options: Arguments of ``open``.

    Raises:
        InputFileError: The file cannot be written; the message names it and
            the cause, and nothing is left of the attempt.
    """
    folder, name = os.path.split(path)
    if 'b' not in mode:
        options.setdefault('encoding', 'utf-8')
        options.setdefault('errors', 'backslashreplace')
    part = ''
    try:
        remove_leftovers(folder, glob.escape(name))
        part, file = _open_part(path, mode, options)
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.replace(part, path)  # not closed before: it keeps the lock
    except BaseException as error:
        if part:
            with contextlib.suppress(OSError):
                os.unlink(part)
        # Not an error that the caller's own reading raises in the block.
        if isinstance(error, OSError) and (
            not part or error.filename in (None, part)
        ):
            raise InputFileError(
                f'{path} cannot be written: {error.strerror or error}'
            ) from error
        raise
    # The new name, too, should survive a power failure; not all file systems
    # can sync a folder.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder or '.', os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _open_part(
    path: Union[str, Path], mode: str, options: dict
) -> Tuple[str, Any]:
    """Path of a new file that no other writer uses, and the file, locked."""
    while True:
        part = f'{path}.{secrets.token_hex(4)}.part'
        try:
            # Not a temporary file of Python's, which only its owner may read.
            file = open(part, mode.replace('w', 'x'), **options)  # noqa: SIM115
        except FileExistsError:
            continue
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # see below
            file.close()
            continue
        except OSError:  # not all file systems have locks
            pass
        # Before the lock, another writer may take it for a leftover.
        if os.fstat(file.fileno()).st_nlink:
            return part, file
        file.close()


def remove_leftovers(
    folder: Union[str, Path], target: str, *, is_owner: bool = False
) -> None:
    """Remove what killed writers left of a file.

    A part that is still written has a lock, which ends with its process, also
    on another machine that shares the folder.

    Args:
        folder: The folder.
        target: Name of the file, or a pattern such as ``'*.pth'``.
        is_owner: Whether nobody else writes such files there: on a file
            system without locks, only then are parts removed. Defaults to
            False.
    """
    pattern = f'{target}.{"[0-9a-f]" * 8}.part'
    with contextlib.suppress(OSError):
        for name in fnmatch.filter(os.listdir(folder or '.'), pattern):
            _remove_part(os.path.join(folder, name), is_owner)


def _remove_part(part: str, is_owner: bool) -> None:
    # Whatever has this name: no link is followed, no FIFO is waited for.
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK
    with contextlib.suppress(OSError):
        descriptor = os.open(part, flags)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(part)
        except BlockingIOError:
            pass  # still written
        except OSError:
            if is_owner:
                os.unlink(part)
        finally:
            os.close(descriptor)


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


@contextlib.contextmanager
def telling_failed_reads(path: Union[str, Path]) -> Iterator[None]:
    """Raise an InputFileError that names a file if reading it fails.

    Args:
        path: The file, or the folder, as a message shows it.
    """
    try:
        yield
    except OSError as error:
        raise InputFileError(
            f'{path} cannot be read: {error.strerror}'
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
            vars(handler)['handleError'] = partial(_raise_if_full, handler)


def _raise_if_full(
    handler: logging.FileHandler, record: logging.LogRecord
) -> None:
    error = sys.exc_info()[1]
    told = error and as_input_error(error, handler.baseFilename)
    if told:
        raise told
    logging.FileHandler.handleError(handler, record)
