"""Runners, built of complete configs."""

from __future__ import annotations

import gc
import time
from pathlib import Path
from typing import Optional

from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from bcl_mm.apis.noise import hide_lines
from bcl_mm.engine.memory_format import channels_last_runner
from bcl_mm.engine.terminal import Terminal
from bcl_mm.utils.errors import check_flag
from bcl_mm.utils.files import end_at_full_disk
from bcl_mm.utils.precision import set_precision


class _FormattedOnce(Config):
    """A config that is formatted again only after a change.

    MMEngine formats it for every checkpoint, which takes five seconds for a
    long pipeline.
    """

    _formatted = ('', '')  # unformatted and formatted text, of the last one

    @property
    def pretty_text(self) -> str:
        """The config as Python code."""
        plain = repr(self.to_dict())
        if plain != _FormattedOnce._formatted[0]:
            _FormattedOnce._formatted = plain, super().pretty_text
        return _FormattedOnce._formatted[1]


def formatted_once(cfg: Config) -> Config:
    """The same config, sharing its content, but formatted once."""
    copied = _FormattedOnce.__new__(_FormattedOnce)
    copied.__setstate__(cfg.__getstate__())
    return copied


def build_runner(cfg: Config, terminal: Optional[Terminal] = None) -> Runner:
    """Runner of a config, without log lines that ask nothing of a user.

    Args:
        cfg: The config.
        terminal: Shows the progress of training. Defaults to None: the
            terminal shows the whole log.
    """
    cfg = formatted_once(cfg)
    _await_free_second(cfg)
    if cfg.get('default_hooks') is None:
        cfg.default_hooks = {}
    cfg.default_hooks.setdefault(
        'run_config', dict(type='bcl_mm.RunConfigHook')
    )
    # MMEngine collects garbage for each data set it builds: half a second, if
    # all that was imported is searched.
    if not gc.get_freeze_count():  # once: garbage would stay, too
        gc.freeze()
    set_precision(cfg.get('precision'))
    kind = cfg.get('runner_type', Runner)
    kind = RUNNERS.get(kind) if isinstance(kind, str) else kind
    check_flag('channels_last', cfg.get('channels_last', False))
    if cfg.get('channels_last'):
        kind = channels_last_runner(kind)
    if terminal is not None:
        kind = terminal.runner_class(kind)
    runner = kind.from_cfg(cfg)
    if terminal is not None:
        runner.register_hook(terminal)
    hide_lines(runner.logger)
    end_at_full_disk(runner.logger)
    return runner


def _await_free_second(cfg: Config) -> None:
    """Wait until MMEngine's names are free.

    A Runner names its logs, logger and metrics by the second: one built in
    the same process and second would write into those of the earlier one.
    """
    name = cfg.get('experiment_name') or Path(cfg.filename or '').stem
    while MMLogger.check_instance_created(
        f'{name}_{time.strftime("%Y%m%d_%H%M%S")}'.lstrip('_')
    ):
        time.sleep(0.05)
