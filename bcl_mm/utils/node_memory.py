"""Values that the processes of a machine keep once, in shared memory."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import hashlib
import json
import mmap
import os
import pickle
import secrets
import socket
import stat
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, BinaryIO, Callable, Iterator, List, NamedTuple, Tuple

from mmengine.dist import get_world_size

_NOT_PICKLABLE = pickle.PicklingError, AttributeError, TypeError
_times_asked: Counter = Counter()


def once_a_node(key: Any, make: Callable[[], Any]) -> Any:
    """Let one process of a machine make a value, and all share its arrays.

    The first process that asks makes it, and the others wait. It is no
    collective operation: a process that never asks keeps nobody waiting. The
    memory has no name in any file system and is freed with the last process
    that uses it, however that ends.

    Args:
        key: Recognises what is made, by its pickle. The n-th time that a
            process asks for it, it gets what was made for the n-th time.
        make: Makes the value. If it raises an error, the next process makes
            the value itself.

    Returns:
        The value; its NumPy arrays are read-only. It is the process's own
        where there is only one, or something cannot be pickled or shared.
    """
    world_size = int(os.environ.get('WORLD_SIZE', get_world_size()))
    if world_size == 1 or not hasattr(os, 'memfd_create'):
        return make()
    note = _note_of(key)
    with _locked(note) as descriptor:
        with contextlib.suppress(OSError, ValueError, TypeError):
            content = os.pread(descriptor, 2**20, 0)
            return _Shared(**json.loads(content)).value()
        value = make()
        with contextlib.suppress(OSError, *_NOT_PICKLABLE):
            shared, value = _share(value)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(shared._asdict()).encode(), 0)
            atexit.register(note.unlink, missing_ok=True)
        return value


def _note_of(key: Any) -> Path:
    """File that tells where what a key stands for is in memory."""
    try:
        content = pickle.dumps(key)
    except _NOT_PICKLABLE:
        return Path(os.devnull)  # which is no file of ours
    _times_asked[content] += 1
    # Machines may share a folder for temporary files.
    job = [os.environ.get(f'MASTER_{part}') for part in ('ADDR', 'PORT')]
    name = socket.gethostname(), os.geteuid(), job, _times_asked[content]
    digest = hashlib.sha256(repr(name).encode() + content).hexdigest()[:32]
    return Path(tempfile.gettempdir(), f'bcl_mm_{digest}.lock')


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[int]:
    """Descriptor of a locked file, -1 if no file of ours can be locked."""
    flags = os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK
    with contextlib.ExitStack() as stack:
        descriptor = -1
        with contextlib.suppress(OSError):
            opened = os.open(path, flags, 0o600)
            stack.callback(os.close, opened)
            status = os.fstat(opened)
            # Another user could make this one unpickle anything.
            if stat.S_ISREG(status.st_mode) and (
                status.st_uid == os.geteuid()
            ):
                fcntl.flock(opened, fcntl.LOCK_EX)
                descriptor = opened
        yield descriptor


class _Shared(NamedTuple):
    """Place of a value: parts of a pickle, each from the start of a page."""

    pid: int
    token: str
    sizes: List[int]

    def open(self) -> BinaryIO:
        """The memory, found by its token among what the process has open."""
        for link in Path(f'/proc/{self.pid}/fd').iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed since
                if os.readlink(link) == f'/memfd:{self.token} (deleted)':
                    return open(link, 'rb')
        raise FileNotFoundError(f'process {self.pid} has freed {self.token}')

    def value(self) -> Any:
        """The value, whose arrays keep the memory open."""
        with self.open() as file:
            memory = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        parts, start = [], 0
        for size in self.sizes:
            parts.append(memoryview(memory)[start : start + size])
            start += size + _padding(size)
        return pickle.loads(parts[0], buffers=parts[1:])


def _padding(size: int) -> int:
    return -size % mmap.PAGESIZE


def _share(value: Any) -> Tuple[_Shared, Any]:
    """Move a value into new memory."""
    buffers: List[pickle.PickleBuffer] = []
    header = pickle.dumps(value, 5, buffer_callback=buffers.append)
    parts = [memoryview(header), *(buffer.raw() for buffer in buffers)]
    token = secrets.token_hex(16)
    shared = _Shared(os.getpid(), token, [part.nbytes for part in parts])
    with open(os.memfd_create(token), 'wb') as file:
        for part in parts:
            file.write(part)
            file.write(bytes(_padding(part.nbytes)))
        file.flush()
        return shared, shared.value()
