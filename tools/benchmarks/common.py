"""Interleaved timing, and ratios within one run."""

from __future__ import annotations

import gc
import multiprocessing
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import numpy as np
import torch


@dataclass
class Settings:
    """What all benchmarks are told.

    ``quick`` asks for sizes so small that the figures mean nothing: to see
    that everything runs.
    """

    repeats: int
    device: torch.device
    quick: bool = False


@dataclass
class Row:
    """A figure beside another one of the same rounds.

    ``values`` and ``baseline_values`` have one entry a round; ``limit`` is
    the ratio, and ``most`` the figure itself, that the project promises not
    to pass.
    """

    name: str
    values: List[float]
    baseline: str = ''
    baseline_values: Optional[List[float]] = None
    limit: Optional[float] = None
    unit: str = 'ms'
    most: Optional[float] = None

    def summary(self) -> Dict[str, Any]:
        """Medians, and the quartiles of the ratios of each round."""
        summary = dict(
            name=self.name,
            unit=self.unit,
            median=float(np.median(self.values)),
            most=self.most,
        )
        if self.baseline_values is not None:
            ratios = np.divide(self.values, self.baseline_values)
            low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
            summary.update(
                baseline=self.baseline,
                baseline_median=float(np.median(self.baseline_values)),
                ratio=middle,
                ratio_quartiles=[low, high],
                limit=self.limit,
            )
        return summary


@dataclass
class Curve:
    """Lines to be drawn: ``lines[label][i]`` at ``x[i]``."""

    name: str
    x_label: str
    y_label: str
    x: List[float]
    lines: Dict[str, List[float]]


def interleave(
    candidates: Dict[str, Callable[[], Any]],
    repeats: int,
    device: torch.device,
) -> Dict[str, List[float]]:
    """Time the candidates in turn, A B C A B C ..., after one warm-up.

    A machine that grows slower meanwhile does so for all of them.

    Args:
        candidates: Functions without arguments, by name.
        repeats: Number of rounds.
        device: Waited for after each call.

    Returns:
        Milliseconds of each round, by name.
    """
    times: Dict[str, List[float]] = {name: [] for name in candidates}
    for round_ in range(-1, repeats):
        for name, candidate in candidates.items():
            start = time.perf_counter()
            candidate()
            if device.type != 'cpu':
                torch.accelerator.synchronize(device)
            if round_ >= 0:
                times[name].append(1e3 * (time.perf_counter() - start))
    return times


def median(values: List[float]) -> float:
    """Median of some values."""
    return float(np.median(values))


def peak_memory(
    make: Callable[..., Callable[[], Any]], small: tuple, *arguments: Any
) -> float:
    """MB that ``make(*arguments)()`` takes beside what it was made of.

    On the CPU it is the process's peak, read from Linux's /proc, of a fresh
    process: memory that was freed before would be used again unseen. There
    ``make(*small)()`` first loads what the libraries load when first used.
    The last argument is the device.
    """
    device = arguments[-1]
    if device.type != 'cpu':
        function = make(*arguments)
        torch.accelerator.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        function()
        return (torch.cuda.max_memory_allocated(device) - before) / 2**20
    context = multiprocessing.get_context('spawn')
    with context.Pool(1) as pool:
        return pool.apply(_peak_of_process, (make, small, arguments))


def _peak_of_process(
    make: Callable[..., Callable[[], Any]], small: tuple, arguments: tuple
) -> float:
    make(*small)()
    function = make(*arguments)
    gc.collect()
    reset_the_peak = '5'
    Path('/proc/self/clear_refs').write_text(reset_the_peak)
    before = _process_memory('VmRSS')
    function()
    return (_process_memory('VmHWM') - before) / 1024


def _process_memory(name: str) -> int:
    """An entry of /proc/self/status, in KB."""
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith(f'{name}:'):
            return int(line.split()[1])
    raise KeyError(name)
