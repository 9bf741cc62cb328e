"""The computing time of a training, from its logs."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence

# Kind of time -> how tables and sentences call it.
KINDS = dict(cpu='CPU time', gpu='GPU time', wall='time')
PREFIXES = dict(cpu='CPU ', gpu='GPU ', wall='')


@dataclass(frozen=True)
class Cost:
    """Computing time of a training.

    Attributes:
        kind: ``'cpu'`` or ``'gpu'``: time of the processors (see
            :class:`~bcl_mm.engine.hooks.CostHook`); ``'wall'``: time on the
            clock, of trainings by earlier versions.
        seconds_per_epoch: Mean of an epoch.
        epochs: Epochs of the training.
        passes: How often it passes an image through the model: views x
            forward passes x epochs. None if unknown. Defaults to None.
    """

    kind: str
    seconds_per_epoch: float
    epochs: float
    passes: Optional[float] = None

    @property
    def seconds(self) -> float:
        """Computing time of the whole training."""
        return self.seconds_per_epoch * self.epochs

    def __add__(self, other: Cost) -> Optional[Cost]:
        """Cost of both, one after the other; None if they differ in kind."""
        epochs = self.epochs + other.epochs
        if self.kind != other.kind or epochs <= 0:
            return None
        passes = None
        if self.passes is not None and other.passes is not None:
            passes = self.passes + other.passes
        seconds = self.seconds + other.seconds
        return Cost(self.kind, seconds / epochs, epochs, passes)


def training_cost(lines: List[Dict[str, float]]) -> Optional[Cost]:
    """The cost of a training.

    Args:
        lines: Its logged figures, oldest first (see
            :func:`~bcl_mm.apis.run_files.read_scalars`).

    Returns:
        None if they do not tell, or if the training was resumed on another
        kind of device.
    """
    found = {
        kind: line
        for line in lines
        for kind in ('cpu', 'gpu')
        if f'cost/{kind}_seconds_total' in line and line.get('cost/epochs')
    }
    if found:
        ((kind, line), *others) = found.items()
        total = line[f'cost/{kind}_seconds_total']
        epochs = line['cost/epochs']
        if others:
            return None
        whole = line.get('epoch', epochs)
        passes = line.get('cost/passes')
        if passes is not None:
            passes *= whole / epochs
        return Cost(kind, total / epochs, whole, passes)
    # Of an earlier version: an iteration's time, times their number.
    needed = {'epoch', 'iter', 'time', 'loss'}
    trained = [x for x in lines if needed <= x.keys() and x['epoch'] > 0]
    if not trained:
        return None
    length = trained[-1]['iter'] / trained[-1]['epoch']
    seconds = length * statistics.median(line['time'] for line in trained)
    return Cost('wall', seconds, trained[-1]['epoch'])


def mean_cost(costs: Sequence[Optional[Cost]]) -> Optional[Cost]:
    """Mean of several runs; None if one is unknown, or of another kind."""
    known = [cost for cost in costs if cost is not None]
    kinds = {cost.kind for cost in known}
    if len(kinds) != 1 or len(known) < len(costs):
        return None
    passes = [cost.passes for cost in known if cost.passes is not None]
    return Cost(
        kinds.pop(),
        statistics.mean(cost.seconds_per_epoch for cost in known),
        statistics.mean(cost.epochs for cost in known),
        None if len(passes) < len(known) else statistics.mean(passes),
    )


def duration(seconds: float) -> str:
    """A time for people, of two or three digits: ``'42 s'``, ``'1.5 h'``."""
    for size, unit in ((3600, 'h'), (60, 'min')):
        if seconds >= size:
            return f'{seconds / size:.3g} {unit}'
    return f'{seconds:.3g} s'
