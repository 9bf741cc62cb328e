"""Interleaved timing, peak memory, and ratios within one run."""

from __future__ import annotations

import multiprocessing
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import numpy as np
import torch

Candidates = Dict[str, Callable[[], Any]]
Row = Dict[str, Any]
Times = Dict[str, List[float]]


def rows_of(
    name: str,
    figures: Times,
    ours: str,
    max_ratios: Optional[Dict[str, Optional[float]]] = None,
    unit: str = 'ms',
    max_median: Optional[float] = None,
) -> List[Row]:
    """Rows of the table: our figure alone, or its ratio to each baseline.

    Figures have one value per round. ``max_ratios``, by baseline, and
    ``max_median`` are what the project promises not to exceed.
    """
    median = float(np.median(figures[ours]))
    row = dict(name=name, unit=unit, median=median, max_median=max_median)
    rows = []
    for baseline, max_ratio in (max_ratios or {}).items():
        ratios = np.divide(figures[ours], figures[baseline])
        low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
        rows.append(dict(row, baseline=baseline, max_ratio=max_ratio))
        rows[-1].update(ratio=middle, ratio_quartiles=[low, high])
        rows[-1]['baseline_median'] = float(np.median(figures[baseline]))
    return rows or [row]


def cpu_time() -> float:
    """Seconds of CPU time of this process and its children.

    Of living children, the data workers, Linux tells it in steps of 10 ms.
    Elsewhere they count when they have ended.
    """
    ended = os.times()
    total = time.process_time() + ended.children_user + ended.children_system
    for child in multiprocessing.active_children():
        stat = Path(f'/proc/{child.pid}/stat')
        if stat.exists():
            fields = stat.read_text().rpartition(')')[2].split()
            ticks = int(fields[11]) + int(fields[12])  # user and system
            total += ticks / os.sysconf('SC_CLK_TCK')
    return total


@dataclass
class Curve:
    """Lines to plot: ``lines[label][i]`` at ``x[i]``."""

    name: str
    x_label: str
    y_label: str
    x: List[float]
    lines: Times


@dataclass
class Settings:
    """The options, and the measurements that follow them.

    ``quick`` asks for sizes too small for useful figures.
    """

    repeats: int
    device: torch.device
    quick: bool = False

    def time(
        self, candidates: Candidates, most_repeats: int = 1000, units: int = 1
    ) -> Times:
        """Milliseconds per unit and round, after one warm-up round.

        On the CPU these are of CPU time, which work of others on the machine
        hardly changes, of this process and its data workers. (So a candidate
        on several threads takes the sum of theirs.) On another device it is
        the time until that has finished. Candidates take turns, A B C A B C
        ...: a machine that slows down does so for all of them.
        """
        on_cpu = self.device.type == 'cpu'
        clock = cpu_time if on_cpu else time.perf_counter
        times: Times = {name: [] for name in candidates}
        for round_ in range(-1, min(self.repeats, most_repeats)):
            for name, candidate in candidates.items():
                start = clock()
                candidate()
                if not on_cpu:
                    torch.accelerator.synchronize(self.device)
                if round_ >= 0:
                    elapsed = clock() - start
                    times[name].append(1e3 * elapsed / units)
        return times

    def curve(
        self,
        name: str,
        x_label: str,
        x: List[float],
        candidates_at: Callable[[Any], Candidates],
        **options: Any,
    ) -> Curve:
        """Median times of the candidates at each ``x``."""
        options.setdefault('most_repeats', max(1, self.repeats // 3))
        lines: Times = {}
        for value in x:
            times = self.time(candidates_at(value), **options)
            for label, values in times.items():
                lines.setdefault(label, []).append(float(np.median(values)))
        return Curve(name, x_label, 'ms', x, lines)

    def peak_memory(
        self,
        make: Callable[..., Callable[[], Any]],
        size: tuple,
        warm_up: Optional[tuple] = None,
    ) -> List[float]:
        """MB that ``make(*size)()`` takes beyond the result of ``make``.

        On the CPU, of a fresh process each time: memory that was freed
        earlier would be reused unseen. There ``make(*warm_up)()`` first loads
        what libraries load on first use. One value for each of three rounds.
        """
        peaks = []
        for _ in range(min(3, self.repeats)):
            if self.device.type != 'cpu':
                peaks.append(_device_peak(self.device, make(*size)))
                continue
            with multiprocessing.get_context('spawn').Pool(1) as pool:
                peaks.append(pool.apply(_host_peak, (make, size, warm_up)))
        return peaks


def _device_peak(device: torch.device, function: Callable[[], Any]) -> float:
    torch.accelerator.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    function()
    return (torch.cuda.max_memory_allocated(device) - before) / 2**20


def _host_peak(make: Callable, size: tuple, warm_up: Optional[tuple]) -> float:
    def megabytes(name: str) -> float:
        status = Path('/proc/self/status').read_text()
        return int(re.search(rf'{name}:\s*(\d+) kB', status)[1]) / 1024

    if warm_up is not None:
        make(*warm_up)()
    function = make(*size)
    reset_peak = '5'
    Path('/proc/self/clear_refs').write_text(reset_peak)
    before = megabytes('VmRSS')
    function()
    return megabytes('VmHWM') - before
