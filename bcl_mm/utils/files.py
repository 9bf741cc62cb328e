"""The one way to write a file: complete, or not at all."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any, Iterator, Union

from bcl_mm.utils.errors import InputFileError


@contextlib.contextmanager
def open_atomically(
    path: Union[str, Path], mode: str = 'w', **options: Any
) -> Iterator[Any]:
    """Open a file for writing that appears when it is complete.

    The content goes to ``PATH.part``, which is synced and renamed at the
    end. After an error, or a kill, the file is as it was before.

    Args:
        path: The file.
        mode: ``'w'`` or ``'wb'``. Defaults to ``'w'``, in UTF-8.
        **options: Arguments of ``open``.

    Raises:
        InputFileError: The file cannot be written; the message names it and
            the cause, and nothing is left of the attempt.
    """
    part = Path(f'{path}.part')
    if 'b' not in mode:
        options.setdefault('encoding', 'utf-8')
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
