"""How long trainings will take, measured on their first iterations."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import time
from argparse import Namespace
from dataclasses import dataclass
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple, Union

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from bcl_mm.apis.config import complete_model, load_config
from bcl_mm.apis.runner import build_runner
from bcl_mm.utils.errors import InputError

# Measuring ends after so many seconds and steps, or after the longest time.
_SECONDS, _STEPS, _MOST_SECONDS = 4, 4, 20


@dataclass
class Timing:
    """Seconds that the parts of a training take.

    Args:
        start: From the command to the end of the first iteration.
        epoch: An epoch, with its checkpoint.
        validation: A validation.
    """

    start: float
    epoch: float
    validation: float

    def seconds(self, epochs: int, val_interval: int) -> float:
        """Seconds of a training with a validation every few epochs."""
        validations = math.ceil(epochs / val_interval)
        return self.start + epochs * self.epoch + validations * self.validation


class _EnoughError(Exception):
    """Ends a training or a validation that has been measured."""


class _Stopwatch(Hook):
    """Notes when iterations end, and ends training when that is enough."""

    priority = 'VERY_LOW'  # after what hooks do in an iteration

    def __init__(self) -> None:
        self.marks: List[Tuple[int, float]] = []

    def _mark(self, epoch: int) -> None:
        self.marks.append((epoch, time.monotonic()))
        seconds, steps = self.seconds, len(self.marks) - 1
        if (seconds >= _SECONDS and steps >= _STEPS) or (
            seconds >= _MOST_SECONDS and steps
        ):
            raise _EnoughError

    @property
    def seconds(self) -> float:
        """Seconds between the first and the last mark."""
        return self.marks[-1][1] - self.marks[0][1]

    def after_train_iter(self, runner: Runner, *_: Any, **__: Any) -> None:
        """Note it."""
        self._mark(runner.epoch)

    def after_val_iter(self, runner: Runner, *_: Any, **__: Any) -> None:
        """Note it."""
        self._mark(0)

    def seconds_of_epoch(self, length: int) -> float:
        """Seconds of an epoch of ``length`` iterations.

        A step into the next epoch takes longer than one inside an epoch: it
        writes a checkpoint, and starts the data loader.
        """
        steps: Dict[bool, List[float]] = {True: [], False: []}
        for (first, start), (second, end) in zip(self.marks, self.marks[1:]):
            steps[first == second].append(end - start)
        inside, between = (
            sum(found) / len(found) if found else None
            for found in steps.values()
        )
        if inside is None:  # one iteration each
            return length * (between or 0.0)
        return (length - 1) * inside + (between or inside)


def _measure(
    config: str, options: Sequence[str], folder: str, threads: int
) -> Timing:
    """Timing of a config; for a process of its own, which is silent."""
    null = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(null, descriptor)
    if threads:
        torch.set_num_threads(threads)
    began = time.monotonic()
    cfg = load_config(
        Namespace(config=config, work_dir=folder, cfg_options=options),
        whole=True,
    )
    complete_model(cfg)
    runner = build_runner(cfg)
    stopwatch = _Stopwatch()
    runner.register_hook(stopwatch)
    with contextlib.suppress(_EnoughError):
        runner.train()
    length = len(runner.train_dataloader)
    start = stopwatch.marks[0][1] - began
    epoch = stopwatch.seconds_of_epoch(length)
    stopwatch.marks = [(0, time.monotonic())]
    with contextlib.suppress(_EnoughError):
        runner.val_loop.run()
    whole, done = len(runner.val_dataloader), len(stopwatch.marks) - 1
    return Timing(start, epoch, stopwatch.seconds / done * whole)


def measure(
    config: str, options: Sequence[str], folder: Path, jobs: int = 1
) -> Timing:
    """Measure the first iterations of a config, in a process of its own.

    Args:
        config: Its path or name.
        options: ``KEY=VALUE`` settings, as for ``bcl-mm train``.
        folder: For what training writes.
        jobs: Trainings that will share this machine. Defaults to 1.

    Raises:
        InputError: It cannot be trained.
    """
    threads = 0
    is_shared = jobs > 1 and not torch.cuda.is_available()
    if is_shared and 'OMP_NUM_THREADS' not in os.environ:  # as by Launcher
        threads = max(1, len(os.sched_getaffinity(0)) // jobs)
    arguments = config, list(options), str(folder), threads
    context = get_context('spawn')
    ours, theirs = context.Pipe()
    process = context.Process(target=_send_timing, args=(theirs, *arguments))
    began = time.monotonic()
    resource_tracker.ensure_running()  # its start would unblock the signal
    # Ctrl-C goes to all processes; only this one tells and ends the other.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    theirs.close()
    try:
        ours.recv()
        imports = time.monotonic() - began
        found: Union[Timing, Exception] = ours.recv()
    except EOFError:
        process.join()
        raise InputError(
            f'{config} could not be measured: its process has ended with '
            f'status {process.exitcode}'
        ) from None
    finally:
        process.kill()
        process.join()
    if isinstance(found, Exception):
        raise found
    found.start += imports
    return found


def _send_timing(to: Connection, *arguments: Any) -> None:
    """Send None, as a sign of life, and then a timing or an error."""
    to.send(None)
    try:
        to.send(_measure(*arguments))
    except Exception as error:
        to.send(error)
