"""Progress of the commands."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Iterable, Iterator, Optional, TextIO

PROGRESS_SECONDS = 5


def show_progress(
    items: Iterable, total: int, what: str, file: Optional[TextIO] = None
) -> Iterator:
    """Pass items on and print every few seconds how many there were.

    Args:
        items: Any.
        total: Their number.
        what: What the items are, such as ``'files checked'``.
        file: Where to print. Defaults to None: the standard output.
    """
    start = shown = time.monotonic()
    for done, item in enumerate(items, 1):
        now = time.monotonic()
        if now - shown > PROGRESS_SECONDS:
            text = f'{done:,} of {total:,} {what}'
            # Not in the first line: processes have just been started.
            if shown > start:
                seconds = round((now - start) / done * (total - done))
                text += f', {timedelta(seconds=seconds)} left'
            shown = now
            print(text, file=file, flush=True)
        yield item
