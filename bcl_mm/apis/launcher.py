"""Processes that train and test the runs of a comparison."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import traceback
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import torch

import bcl_mm
from bcl_mm.apis.comparison import Run, RunError
from bcl_mm.apis.run_progress import RunProgress
from bcl_mm.utils.errors import (
    InputValueError,
    as_input_error,
    visible,
)
from bcl_mm.utils.lock import lock_folder, locked_for


def read_commit() -> str:
    """Commit of this checkout, with ``+`` for changes; else the version."""
    root = Path(bcl_mm.__file__).resolve().parents[1]
    # An installed package may be in a checkout of something else.
    if (root / '.git').exists():
        describe = 'describe', '--always', '--exclude=*', '--dirty=+'
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            return subprocess.check_output(
                ['git', '-C', root, *describe],
                stderr=subprocess.DEVNULL,
                text=True,
            ).strip()
    return bcl_mm.__version__


class Launcher:
    """Starts the processes of runs and shows their progress.

    Args:
        gpus: Processes of a run.
        jobs: Runs side by side.
        log: Backends that trainings log to, as for ``bcl-mm train``. They do
            not make another run. Defaults to none.

    Raises:
        InputValueError: The machine has too few GPUs.
    """

    def __init__(self, gpus: int, jobs: int, log: Sequence[str] = ()) -> None:
        self.gpus = gpus
        self.jobs = jobs
        self.log = log
        self.commit = read_commit()
        self.slots = list(range(jobs))
        self.processes: List[subprocess.Popen[Any]] = []
        self.progress = RunProgress()
        self.has_gpus = torch.cuda.is_available()
        if self.has_gpus and gpus * jobs > torch.cuda.device_count():
            raise InputValueError(
                f'--jobs {jobs} of --gpus {gpus} need {gpus * jobs} GPUs, '
                f'this machine shows {torch.cuda.device_count()}'
            )

    def finish(self, run: Run) -> None:
        """Train a run, or what is left of it, and write its figures.

        Raises:
            RunError: It has failed.
        """
        run.folder.mkdir(parents=True, exist_ok=True)
        # The training process inherits the lock: if only the comparison is
        # killed, the next one waits for the training.
        with lock_folder(run.folder, say=run.say) as lock:
            if 'figures' in run.note:
                run.say('finished before')
                return
            commits = [*run.note.get('commits', []), self.commit]
            run.write_note(
                config=run.config,
                seed=run.seed,
                fold=run.fold,
                part=run.part,
                options=list(run.options),
                commits=list(dict.fromkeys(commits)),
            )
            if run.is_trained:
                run.say('resuming ...' if run.checkpoint else 'starting ...')
                self._call(run, run.command(self.gpus, self.log), lock)
            if run.needs_test():
                run.say('testing ...')
                self._call(run, run.test_command(), lock)
            results = run.results()
            if run.first:  # its time is part of what the method costs
                first = os.path.relpath(run.first.folder, run.folder)
                results['first_stage'] = first
            if not run.is_trained:
                # A report finds the model there; folders may be moved.
                tested = os.path.relpath(run.tested_checkpoint, run.folder)
                results['checkpoint'] = tested
            run.write_note(**results)
        run.say(f'top-1 {results["figures"]["accuracy/top1"]:.1f}')

    def finish_all(self, runs: List[Run]) -> List[str]:
        """Finish all runs; returns messages of those that failed."""
        tasks: Dict[Path, Future[None]] = {}

        def finish(run: Run) -> None:
            if run.first and tasks[run.first.folder].exception():
                raise RunError(f'{run.name} failed: its first stage did')
            self.finish(run)

        failures = []
        # First stages come before their second ones, and so start before them.
        with self.progress, ThreadPoolExecutor(self.jobs) as pool:
            try:
                for run in runs:
                    tasks[run.folder] = pool.submit(finish, run)
                for done, task in enumerate(as_completed(tasks.values()), 1):
                    error = task.exception()
                    if error is not None:
                        told = as_input_error(error)
                        if told is None:
                            traceback.print_exception(error)
                        message = visible(str(told or error))
                        print(message, file=sys.stderr, flush=True)
                        failures.append(message)
                    print(f'[{done} of {len(runs)} runs]', flush=True)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                for process in self.processes:
                    process.terminate()
                raise
        return failures

    def _environment(self, slot: int) -> Dict[str, str]:
        with socket.create_server(('127.0.0.1', 0)) as server:
            port = server.getsockname()[1]  # a free one
        environment = dict(os.environ, PORT=str(port))
        number = self.jobs * self.gpus
        if self.has_gpus:
            # The slot's share of the GPUs that this program may use.
            given = environment.get('CUDA_VISIBLE_DEVICES', '')
            devices = given.split(',') if given else map(str, range(number))
            share = list(devices)[slot * self.gpus : (slot + 1) * self.gpus]
            environment['CUDA_VISIBLE_DEVICES'] = ','.join(share)
        elif self.jobs > 1:
            threads = max(1, len(os.sched_getaffinity(0)) // number)
            environment.setdefault('OMP_NUM_THREADS', str(threads))
        return environment

    def _call(self, run: Run, command: List[str], lock: Optional[int]) -> None:
        """Run a command, and show its progress."""
        slot = self.slots.pop()
        try:
            with run.log.open('ab') as log, run.log.open('rb') as output:
                start = output.seek(0, os.SEEK_END)
                # Not a pipe: training must not end with the comparison.
                process = subprocess.Popen(
                    command,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=self._environment(slot) | locked_for(run.folder),
                    pass_fds=[] if lock is None else [lock],
                )
                self.processes.append(process)
                with self.progress.following(run) as follow:
                    while process.poll() is None:
                        time.sleep(0.2)
                        follow(output.read().decode(errors='replace'))
        finally:
            self.slots.append(slot)
        if process.returncode:
            lines = run.log.read_bytes()[start:].decode(errors='replace')
            printed = lines.strip().splitlines() or ['it printed nothing']
            errors = [line for line in printed if line.startswith('Error: ')]
            raise RunError(
                f'{run.name} failed: {(errors or printed)[-1]}\n'
                f'Its output is in {run.log}'
            )
