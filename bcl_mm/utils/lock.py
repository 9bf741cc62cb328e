"""The lock of a folder into which one training at a time may write."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from pathlib import Path
from typing import Callable, Dict, Iterator, Optional, Set, Union

from bcl_mm.utils.errors import InputError, InputFileError

# Tells processes that this one starts which folder it has locked for them.
_VARIABLE = 'BCL_MM_LOCKED_FOLDER'
_held: Set[int] = set()


def _close_in_child() -> None:
    """Data workers must not keep the lock of a training that was killed."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_close_in_child)


class LockedFolderError(InputError):
    """Another training writes into a folder."""


def locked_for(folder: Union[str, Path]) -> Dict[str, str]:
    """Environment of a process that works in a folder that this one locked."""
    return {_VARIABLE: os.path.realpath(folder)}


def _open_lock(path: Path) -> int:
    """Descriptor of a lock, which is created if it is missing.

    Work dirs come from elsewhere, too: whatever has this name is neither
    emptied nor followed, and never waited for.

    Raises:
        InputFileError: It is not a regular file, or cannot be opened.
    """
    flags = os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags, 0o666)
    except OSError as error:
        if not os.path.lexists(path) or stat.S_ISREG(path.lstat().st_mode):
            raise InputFileError(
                f'the lock {str(path)!r} cannot be opened '
                f'({error.strerror}): give another --work-dir'
            ) from error
        # A link, a folder or a socket.
    else:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
        os.close(descriptor)  # of a FIFO or a device
    raise InputFileError(
        f'the lock {str(path)!r} must be a regular file: remove it, or give '
        'another --work-dir'
    )


@contextlib.contextmanager
def lock_folder(
    folder: Union[str, Path],
    *,
    say: Optional[Callable[[str], None]] = None,
    is_new: bool = False,
) -> Iterator[Optional[int]]:
    """Lock a folder until the block, or this process, ends.

    Args:
        folder: The folder. Its file ``lock`` stays.
        say: Is told that another process has the lock, which is then
            awaited. Defaults to None: that is an error.
        is_new: Whether to remove the folder if an error ends the block before
            anything was written into it. Defaults to False.

    Yields:
        The descriptor of the lock; a process that inherits it keeps the lock
        when this one ends. None if the process that started this one has
        locked the folder.

    Raises:
        LockedFolderError: Another process has the lock.
        InputFileError: The lock cannot be opened, or is not a regular file.
    """
    if os.environ.get(_VARIABLE) == os.path.realpath(folder):
        yield None
        return
    path = Path(folder, 'lock')
    descriptor = _open_lock(path)
    _held.add(descriptor)
    try:
        _take(descriptor, folder, say)
        try:
            yield descriptor
        except BaseException:
            if is_new and os.listdir(folder) == [path.name]:
                path.unlink()
                path.parent.rmdir()
            raise
    finally:
        _held.discard(descriptor)
        os.close(descriptor)


def _take(
    descriptor: int,
    folder: Union[str, Path],
    say: Optional[Callable[[str], None]],
) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if say is None:
            raise LockedFolderError(
                f'another training writes into {str(folder)!r}: wait for '
                'its end, or give another --work-dir'
            ) from None
        say(f'another process is at {folder}, waiting for it ...')
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:  # not every file system has locks
        print(f'Note: {folder} cannot be locked: {error}', flush=True)
