"""What training costs: CPU or GPU time, whatever else the machine does."""

from __future__ import annotations

import multiprocessing
import os
import resource
import time
from collections import deque
from pathlib import Path
from typing import Any, Deque, Dict, Optional, Tuple

import numpy as np
import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner

from bcl_mm.engine.hooks.progress import epoch_and_position
from bcl_mm.models.preprocessor import is_multi_view
from bcl_mm.registry import HOOKS
from bcl_mm.utils.modules import unwrapped

_TICKS = os.sysconf('SC_CLK_TCK')


def _seconds_of(pid: int) -> float:
    """CPU time of another process and its ended children; 0 if it is gone."""
    try:
        line = Path(f'/proc/{pid}/stat').read_text()
    except OSError:
        return 0.0
    # After the name, which may hold anything: utime is the 12th field.
    times = line.rpartition(')')[2].split()[11:15]
    return sum(map(int, times)) / _TICKS


def cpu_seconds() -> float:
    """CPU time so far of this process, its threads and its data workers."""
    workers = multiprocessing.active_children()  # and collects ended ones
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (
        time.process_time()
        + ended.ru_utime
        + ended.ru_stime
        + sum(_seconds_of(worker.pid) for worker in workers if worker.pid)
    )


class _CPUClock:
    """Adds up the CPU time between :meth:`start` and :meth:`stop`."""

    kind = 'cpu'

    def __init__(self) -> None:
        self._sum = 0.0
        self._start: Optional[float] = None

    def start(self) -> None:
        if self._start is None:
            self._start = cpu_seconds()

    def stop(self) -> None:
        if self._start is not None:
            self._sum += cpu_seconds() - self._start
            self._start = None

    def before_step(self) -> None:
        pass

    def after_step(self) -> None:
        pass

    def read(self) -> float:
        """Seconds since the last reading."""
        if self._start is not None:
            self.stop()
            self.start()
        seconds, self._sum = self._sum, 0.0
        return seconds


class _GPUClock:
    """Adds up the GPU's time in training steps, without waiting in them."""

    kind = 'gpu'

    def __init__(self) -> None:
        self._sum = 0.0
        self._steps: Deque[Tuple[Any, Any]] = deque()
        self._begin: Any = None

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def before_step(self) -> None:
        self._begin = torch.cuda.Event(enable_timing=True)
        self._begin.record()

    def after_step(self) -> None:
        end = torch.cuda.Event(enable_timing=True)
        end.record()
        self._steps.append((self._begin, end))
        while self._steps and self._steps[0][1].query():
            self._add_first()

    def _add_first(self) -> None:
        begin, end = self._steps.popleft()
        self._sum += begin.elapsed_time(end) / 1000

    def read(self) -> float:
        """Seconds since the last reading; waits for the last step."""
        if self._steps:
            self._steps[-1][1].synchronize()
        while self._steps:
            self._add_first()
        seconds, self._sum = self._sum, 0.0
        return seconds


def _checked_sums(found: Any) -> Dict[str, list]:
    """Sums of a checkpoint; none where they are not what this hook writes."""
    sums = {}
    for kind, pair in found.items() if isinstance(found, dict) else ():
        if kind in ('cpu', 'gpu') and np.shape(pair) == (3,):
            sums[kind] = [float(value) for value in pair]
    return sums


@HOOKS.register_module()
class CostHook(Hook):
    """Logs the computing time of each training epoch.

    Without a GPU it is the CPU time of the training process, all its threads
    and its data workers; with one, the GPU's time in the training steps
    (CUDA events). Unlike the time on the clock, neither counts waiting for
    other programs or for the disk. Validation is left out. Several processes
    are added up.

    After each epoch ``vis_data/scalars.json`` and the other backends get
    ``cost/cpu_seconds`` (or ``cost/gpu_seconds``), that of this epoch,
    ``..._total``, the sum, ``cost/epochs``, the epochs in that sum, and
    ``cost/passes``, how often they have passed an image through the model:
    views x forward passes of a step x epochs. The forward passes of a step
    are ``passes`` of the optimizer wrapper (SAM) times that of the model (a
    momentum encoder), 1 where they do not tell. The sums are kept in
    checkpoints: a training that is resumed, also after a kill, counts each
    epoch once, the one that has led to its weights.
    """

    priority = 'LOW'  # after the logger, before the checkpoint

    def __init__(self) -> None:
        self._clock: Any = None
        # kind -> [seconds, epochs, passes]
        self._sums: Dict[str, list] = {}
        self._loaded: Dict[str, list] = {}
        self._counted = 0.0  # epochs, when the clock was last read
        self._views = 0  # of an image, in all iterations since then

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Read the sums of the training that is resumed."""
        found = checkpoint.get('meta', {}).get('training_cost')
        self._loaded = _checked_sums(found)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Write the sums into the checkpoint's ``meta``."""
        checkpoint['meta']['training_cost'] = self._sums

    def before_train(self, runner: Runner) -> None:
        """Choose the clock; a training that does not resume starts at 0."""
        on_gpu = any(p.is_cuda for p in runner.model.parameters())
        self._clock = _GPUClock() if on_gpu else _CPUClock()
        self._sums = self._loaded if runner.iter else {}
        self._counted = runner.iter / len(runner.train_dataloader)

    def before_train_epoch(self, runner: Runner) -> None:
        """Start the clock: the first batch is about to be loaded."""
        # Loops by iteration first skip what was trained on before.
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            self._clock.start()

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Mark the start of a step."""
        inputs = (data_batch or {}).get('inputs')
        self._views += len(inputs) if is_multi_view(inputs) else 1
        self._clock.start()
        self._clock.before_step()

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Optional[dict] = None,
    ) -> None:
        """Mark the end of a step; log an epoch after its last one."""
        self._clock.after_step()
        length = len(runner.train_dataloader)
        epoch, position = epoch_and_position(runner, batch_idx)
        is_last = runner.iter + 1 == runner.max_iters and not isinstance(
            runner.train_loop, EpochBasedTrainLoop
        )
        if position + 1 == length or is_last:
            self._log(runner, epoch + (position + 1) / length)

    def after_train_epoch(self, runner: Runner) -> None:
        """Stop the clock for validation."""
        self._clock.stop()
        self._clock.read()

    def before_val_epoch(self, runner: Runner) -> None:
        """Stop the clock, which runs on in loops by iteration."""
        if self._clock is not None:
            self._clock.stop()

    def _log(self, runner: Runner, epoch: float) -> None:
        seconds = torch.tensor(self._clock.read(), dtype=torch.float64)
        all_reduce(seconds)
        reached = (runner.iter + 1) / len(runner.train_dataloader)
        name = f'cost/{self._clock.kind}_seconds'
        passes = getattr(runner.optim_wrapper, 'passes', 1)
        passes *= getattr(unwrapped(runner.model), 'passes', 1)
        sums = self._sums.setdefault(self._clock.kind, [0.0, 0.0, 0.0])
        sums[0] += seconds.item()
        sums[1] += reached - self._counted
        sums[2] += passes * self._views / len(runner.train_dataloader)
        self._counted, self._views = reached, 0
        figures = {
            name: seconds.item(),
            f'{name}_total': sums[0],
            'cost/epochs': sums[1],
            'cost/passes': sums[2],
            'epoch': epoch,
        }
        runner.visualizer.add_scalars(figures, step=runner.iter + 1)
