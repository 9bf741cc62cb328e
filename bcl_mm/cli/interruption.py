"""How training ends on Ctrl-C (SIGINT) and SIGTERM.

The exit status is 130 or 143, as shells report these signals. Imports nothing
that takes time: a signal may come early.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
from types import FrameType
from typing import Optional


def _is_first_rank() -> bool:
    return os.environ.get('RANK', os.environ.get('SLURM_PROCID', '0')) == '0'


def _say(line: str) -> None:
    # Unbuffered: the signal may have come in the middle of a print.
    with contextlib.suppress(RuntimeError, OSError):
        sys.stdout.flush()
    with contextlib.suppress(OSError):
        os.write(1, f'{line}\n'.encode())


def _advice(work_dir: Optional[str]) -> str:
    if work_dir is None:
        return 'training had not begun'
    from bcl_mm.engine.resume import latest_checkpoint

    try:
        latest, _ = latest_checkpoint(work_dir)
    except Exception as error:  # whatever it is, the program ends now
        return str(error)
    if latest is None:
        return f'there is no checkpoint in {work_dir} to go on from yet'
    return f'--resume goes on from {latest}'


def end_with_launcher() -> None:
    """Get SIGTERM when the launcher that started this process dies.

    Else a launcher that is killed leaves its processes training, and writing
    into the folder that another training goes on in. Linux only.
    """
    if 'TORCHELASTIC_RUN_ID' in os.environ and sys.platform == 'linux':
        set_parent_death_signal = 1
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(set_parent_death_signal, signal.SIGTERM)


def watch(work_dir: Optional[str] = None) -> None:
    """End this program on SIGINT and SIGTERM: at once, and with a word.

    Nothing is saved: what was trained since the last checkpoint is done again.

    Args:
        work_dir: Folder of the checkpoints. Defaults to None: training has
            not begun.
    """
    watched = os.getpid()

    def end(number: int, frame: Optional[FrameType]) -> None:
        if os.getpid() != watched:
            if number == signal.SIGTERM:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
            return  # Ctrl-C reaches data workers too, which end with us
        # A launcher may send the signal again, and torch's dataloader raises
        # when a worker ends.
        for other in (signal.SIGINT, signal.SIGTERM):
            signal.signal(other, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        try:
            if _is_first_rank():
                name = signal.Signals(number).name
                _say(f'Interrupted by {name}: {_advice(work_dir)}.')
            for child in multiprocessing.active_children():
                child.kill()
        finally:
            # Not an exception: libraries may catch it, and what waits for
            # other processes at a program's end may wait long.
            os._exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
