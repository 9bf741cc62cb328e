"""How training ends on Ctrl-C (SIGINT) and SIGTERM.

The exit status is 130 or 143, as shells report these signals. Imports nothing
heavy: a signal may come early.
"""

from __future__ import annotations

import contextlib
import ctypes
import glob
import multiprocessing
import os
import signal
import sys
from types import FrameType
from typing import Optional, Set


def _advice(work_dir: Optional[str]) -> str:
    if work_dir is None:
        return 'training had not started'
    from bcl_mm.engine.resume import latest_checkpoint

    try:
        latest, _ = latest_checkpoint(work_dir)
    except Exception as error:  # whatever it is, the program ends now
        return str(error)
    if latest is None:
        return f'there is no checkpoint in {work_dir} to resume from yet'
    return f'--resume resumes from {latest}'


def end_with_launcher() -> None:
    """Get SIGTERM when the launcher that started this process dies.

    Otherwise the processes of a killed launcher would keep training, and
    write into the folder of another training that resumes. Linux only.
    """
    if 'TORCHELASTIC_RUN_ID' in os.environ and sys.platform == 'linux':
        set_parent_death_signal = 1
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(set_parent_death_signal, signal.SIGTERM)


def _children() -> Set[int]:
    """Process ids of the children, with one that was just born."""
    workers = multiprocessing.active_children()
    children = {worker.pid for worker in workers if worker.pid is not None}
    for path in glob.glob('/proc/self/task/*/children'):  # Linux
        with contextlib.suppress(OSError), open(path) as file:
            children.update(map(int, file.read().split()))
    return children


def watch(work_dir: Optional[str] = None) -> None:
    """End this program at once on SIGINT and SIGTERM, with a message.

    Nothing is saved: training resumes from the last checkpoint.

    Args:
        work_dir: Folder of the checkpoints. Defaults to None: training has
            not started.
    """
    watched = os.getpid()

    def end(number: int, frame: Optional[FrameType]) -> None:
        if os.getpid() != watched:
            if number == signal.SIGTERM:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
            return  # Ctrl-C also reaches data workers, which end with us
        # A launcher may send the signal again, and torch's dataloader raises
        # an error when a worker ends.
        for other in (signal.SIGINT, signal.SIGTERM):
            signal.signal(other, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        try:
            slurm_rank = os.environ.get('SLURM_PROCID', '0')
            if os.environ.get('RANK', slurm_rank) == '0':
                name = signal.Signals(number).name
                line = f'Interrupted by {name}: {_advice(work_dir)}.\n'
                if os.isatty(1):
                    line = f'\r\x1b[K{line}'  # in place of a bar and "^C"
                # Unbuffered: it may have come in the middle of a print.
                with contextlib.suppress(RuntimeError, OSError):
                    sys.stdout.flush()
                with contextlib.suppress(OSError):
                    os.write(1, line.encode())
            for child in _children():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
        finally:
            # Not an exception: libraries may catch it, and exit handlers may
            # wait long for other processes.
            os._exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
