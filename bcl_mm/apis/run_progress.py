"""How far the runs of a comparison are, in the terminal."""

from __future__ import annotations

import contextlib
import re
import sys
import time
from types import TracebackType
from typing import Callable, Dict, Iterator, List, Optional, Type

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn

from bcl_mm.apis.comparison import Run

_EPOCHS = re.compile(r'^([\d,]+) epochs? of ', re.MULTILINE)
_STEP = re.compile(
    r'Epoch\(train\)\s*\[(?P<epoch>\d+)\]\[\s*(?P<step>\d+)/(?P<steps>\d+)\]'
    r'.*?eta: (?P<left>\d+.*?)  (?:.*?\bloss: (?P<loss>\S+))?'
)
_ACCURACY = re.compile(r'Epoch\(val\).*?accuracy/top1: (\S+)')
_WIDE = 100  # columns of a terminal, where text and bar fit into one line
_SECONDS = 5  # between lines, at first


class RunProgress:
    """Shows the progress of trainings, which it reads from their logs.

    Where the output is a terminal, that is a line with a bar for each run
    that goes on; elsewhere, lines that come less and less often. As a context
    manager, it removes the bars at the end.

    Args:
        console: Where bars are drawn. Defaults to None: the standard output.
    """

    def __init__(self, console: Optional[Console] = None) -> None:
        console = console or Console(highlight=False)
        self._bars: Optional[Progress] = None
        if console.is_terminal:
            columns: List[ProgressColumn] = [
                TextColumn('{task.description}', markup=False)
            ]
            if console.width >= _WIDE:
                columns.append(BarColumn(bar_width=10))
            self._bars = Progress(
                *columns,
                console=console,
                auto_refresh=False,
                transient=True,
                redirect_stderr=sys.stderr.isatty(),
            )

    def __enter__(self) -> RunProgress:
        if self._bars is not None:
            self._bars.start()
            self._bars.console.show_cursor(True)  # a kill would leave none
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    @contextlib.contextmanager
    def following(self, run: Run) -> Iterator[Callable[[str], None]]:
        """Follow a run; gives a function that takes new text of its log."""
        state = _State()
        if self._bars is None:
            began = shown = time.monotonic()

            def say(text: str) -> None:
                nonlocal shown
                state.read(text)
                now = time.monotonic()
                pause = max(_SECONDS, (now - began) / 20)
                if state.is_new and now - shown > pause:
                    shown = now
                    run.say(state.describe())

            yield say
            return
        bars = self._bars
        task = bars.add_task(f'{run.name}: starting', total=1)

        def draw(text: str) -> None:
            state.read(text)
            if state.is_new:
                bars.update(
                    task,
                    description=f'{run.name}: {state.describe()}',
                    completed=state.done,
                )
                bars.refresh()

        bars.refresh()
        try:
            yield draw
        finally:
            bars.remove_task(task)
            bars.refresh()


class _State:
    """What the log of a training says.

    Attributes:
        is_new: Whether it says more than when it was last described.
    """

    def __init__(self) -> None:
        self.is_new = False
        self._epochs = 0
        self._step: Dict[str, Optional[str]] = {}
        self._accuracy = ''

    def read(self, text: str) -> None:
        """Read new lines of the log."""
        for found in _EPOCHS.findall(text):
            self._epochs = int(found.replace(',', ''))
        for match in _STEP.finditer(text):
            self._step, self.is_new = match.groupdict(), True
        for found in _ACCURACY.findall(text):
            self._accuracy = f'top-1 {float(found):.1f}'

    @property
    def done(self) -> float:
        """Part of the training that is done, 0 if it is not known."""
        if not (self._epochs and self._step):
            return 0.0
        epoch, step, steps = (
            int(self._step[name] or 0) for name in ('epoch', 'step', 'steps')
        )
        return (epoch - 1 + step / steps) / self._epochs

    def describe(self) -> str:
        """Epoch, time that is left, loss and the last accuracy."""
        self.is_new = False
        loss = self._step['loss']
        parts = [
            f'epoch {self._step["epoch"]}'
            + (f'/{self._epochs}' if self._epochs else ''),
            f'{self._step["left"]} left',
            f'loss {float(loss):.3f}' if loss else '',
            self._accuracy,
        ]
        return ', '.join(filter(None, parts))
