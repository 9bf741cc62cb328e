"""The lock of a folder into which one training at a time may write."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Callable, Dict, Iterator, Optional, Set, Union

from bcl_mm.utils.errors import InputError

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
    """
    if os.environ.get(_VARIABLE) == os.path.realpath(folder):
        yield None
        return
    path = Path(folder, 'lock')
    with path.open('w') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if say is None:
                raise LockedFolderError(
                    f'another training writes into {str(folder)!r}: wait for '
                    'its end, or give another --work-dir'
                ) from None
            say(f'another process is at {folder}, waiting for it ...')
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:  # not every file system has locks
            print(f'Note: {folder} cannot be locked: {error}', flush=True)
        _held.add(file.fileno())
        try:
            yield file.fileno()
        except BaseException:
            if is_new and os.listdir(folder) == [path.name]:
                path.unlink()
                path.parent.rmdir()
            raise
        finally:
            _held.discard(file.fileno())
