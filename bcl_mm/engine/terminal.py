"""What training shows in the terminal; its log file has everything."""

from __future__ import annotations

import contextlib
import logging
import re
import sys
import time
from datetime import timedelta
from typing import Any, Dict, List, Optional, Type

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import EpochBasedTrainLoop, Runner
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from torch.utils.data import DataLoader

from bcl_mm.classes import count_classes
from bcl_mm.utils.errors import InputError, counted, visible
from bcl_mm.utils.modules import unwrapped

_REFRESH_SECONDS = 0.1
# Besides warnings and notes on the data, these lines of the log are shown ...
_PROGRESS = re.compile(r'Epoch\((train|val|test)\)|resumed epoch: |LR is set ')
# ... but these are not with a bar, which has their content.
_IN_BAR = re.compile(r'Epoch\((train|val)\)')
_ACCURACIES = dict(
    top1='top-1',
    balanced='balanced',
    many='many-shot',
    medium='medium-shot',
    few='few-shot',
)


class _PlainFormatter(logging.Formatter):
    """Messages without time and place, which the log file has."""

    def format(self, record: logging.LogRecord) -> str:
        text = visible(super().format(record))
        if record.levelno < logging.WARNING:
            return text
        return f'{record.levelname.capitalize()}: {text}'


class Terminal(Hook):
    """Shows the progress of a training, and little else.

    Where the output is a terminal, that is a bar in one line; elsewhere, the
    log's own lines of progress. Only the main process shows anything.

    It is registered as a hook, and is a context manager: leaving it removes
    the bar.

    Args:
        name: Name of the method, for the first line.
    """

    # After the hooks that measure and log.
    priority = 'VERY_LOW'

    def __init__(self, name: str) -> None:
        self.name = name
        self._handler: Optional[logging.StreamHandler] = None
        self._bar: Optional[Progress] = None
        self._is_live = sys.stdout.isatty()
        self._metrics: Dict[str, float] = {}

    def runner_class(self, base: Type[Runner]) -> Type[Runner]:
        """Subclass of a Runner whose logger writes less to the terminal.

        The Runner logs its environment and config as soon as it has made its
        logger.
        """
        terminal = self

        class QuietRunner(base):
            def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
                logger = super().build_logger(*args, **kwargs)
                terminal.attach(logger)
                return logger

        QuietRunner.__name__ = base.__name__
        return QuietRunner

    def attach(self, logger: MMLogger) -> None:
        """Filter what a logger writes to the terminal."""
        for handler in logger.handlers:
            if type(handler) is logging.StreamHandler:
                handler.addFilter(self._is_shown)
                handler.setFormatter(_PlainFormatter())
                self._handler = handler

    def _is_shown(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if record.levelno >= logging.WARNING or hasattr(record, 'is_note'):
            return True
        if self._bar is not None and _IN_BAR.match(message):
            return False
        return _PROGRESS.match(message) is not None

    def before_train(self, runner: Runner) -> None:
        """Describe the training, and show the bar."""
        if not is_main_process():
            return
        for line in self._description(runner):
            print(visible(line), flush=True)
        if not self._is_live:
            return
        console = Console(highlight=False)
        self._bar = Progress(
            TextColumn('{task.description}', markup=False),
            BarColumn(bar_width=20),
            console=console,
            # Not from a thread: the data workers are forked.
            auto_refresh=False,
            transient=True,
            redirect_stderr=sys.stderr.isatty(),
        )
        self._task = self._bar.add_task('starting', total=runner.max_iters)
        self._began = self._drawn = time.monotonic()
        self._first = runner.iter
        self._bar.start()
        # A kill would leave the terminal without one.
        console.show_cursor(True)
        if self._handler is not None:
            self._handler.setStream(sys.stdout)

    def _description(self, runner: Runner) -> List[str]:
        """Lines that describe a training."""
        loader = runner.train_dataloader
        lines = [f'{self.name}: {_describe_data(loader)}']
        if runner.val_loop is not None:
            with contextlib.suppress(TypeError):  # a stream
                images = len(runner.val_dataloader.dataset)
                lines[0] += f'; {images:,} images for validation'
        length = f'{runner.max_iters:,} iterations'
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            epochs = counted(runner.max_epochs, 'epoch')
            length = f'{epochs} of {counted(len(loader), "iteration")}'
        device = next(unwrapped(runner.model).parameters()).device
        lines.append(
            f'{length}, batch size {loader.batch_size}, seed {runner.seed}, '
            f'on {device}'
        )
        lines.append(f'Complete log: {runner.logger.log_file}')
        return lines

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Any = None,
    ) -> None:
        """Move the bar."""
        now = time.monotonic()
        if self._bar is None or now - self._drawn < _REFRESH_SECONDS:
            return
        self._drawn, done = now, runner.iter + 1
        text = f'iteration {done:,}/{runner.max_iters:,}'
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            text = f'epoch {runner.epoch + 1}/{runner.max_epochs}'
        seconds = (now - self._began) / (done - self._first)
        seconds = round(seconds * (runner.max_iters - done))
        text += f'  {timedelta(seconds=seconds)} left'
        losses = runner.message_hub.log_scalars.get('train/loss')
        if losses is not None:
            text += f'  loss {losses.mean(10):.3f}'
        if 'accuracy/top1' in self._metrics:
            text += f'  top-1 {self._metrics["accuracy/top1"]:.1f}'
        self._draw(self._bar, description=text, completed=done)

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Any = None,
    ) -> None:
        """Show that a validation goes on."""
        now = time.monotonic()
        if self._bar and now - self._drawn >= _REFRESH_SECONDS:
            self._drawn, length = now, len(runner.val_dataloader)
            text = f'validation {batch_idx + 1}/{length}'
            self._draw(self._bar, description=text)

    def after_val_epoch(
        self, runner: Runner, metrics: Optional[Dict[str, float]] = None
    ) -> None:
        """Note the accuracy."""
        self._metrics = metrics or {}

    def after_train(self, runner: Runner) -> None:
        """Replace the bar by the accuracies of the last validation."""
        if self._bar is None:
            return
        self.close()
        found = [
            f'{title} {self._metrics[f"accuracy/{name}"]:.1f}'
            for name, title in _ACCURACIES.items()
            if f'accuracy/{name}' in self._metrics
        ]
        if found:
            print(f'Last validation: {", ".join(found)}', flush=True)

    def _draw(self, bar: Progress, **fields: Any) -> None:
        bar.update(self._task, **fields)
        bar.refresh()

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
            if self._handler is not None:
                self._handler.setStream(sys.stdout)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _describe_data(loader: DataLoader) -> str:
    """Size of a training set."""
    dataset = loader.dataset
    with contextlib.suppress(InputError, TypeError):
        counts = count_classes(dataset)
        return (
            f'{counts.sum():,} training images of {len(counts):,} classes '
            f'({counts.max():,} to {counts.min():,} per class)'
        )
    return 'training on a stream'  # nothing to count
