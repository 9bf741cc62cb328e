"""Memory of processes that make many large arrays."""

from __future__ import annotations

import contextlib
import ctypes
import os
from functools import lru_cache

# Of glibc's malloc.h. 32 MiB is the most that it takes for the second.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT, _FROM_HEAP = 2**26, 2**25


@lru_cache(maxsize=1)
def keep_freed_memory() -> None:
    """Let the C library keep memory that was freed, up to 64 MiB.

    By default it returns the memory of each large image to the system, which
    then clears and maps each page anew for the next one: a quarter of the
    time of a 1500x1000 JPEG. Where an environment variable ``MALLOC_*`` sets
    the like, or the C library is not glibc, nothing is changed.
    """
    if any(name.startswith('MALLOC_') for name in os.environ):
        return
    with contextlib.suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_TRIM_THRESHOLD, _KEPT)
        mallopt(_M_MMAP_THRESHOLD, _FROM_HEAP)
