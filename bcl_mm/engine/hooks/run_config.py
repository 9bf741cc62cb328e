"""The config of a run, written as data."""

from __future__ import annotations

from pathlib import Path

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from bcl_mm.engine.run_config import CONFIG_JSON, write_run_config
from bcl_mm.registry import HOOKS
from bcl_mm.utils.errors import InputTypeError


@HOOKS.register_module()
class RunConfigHook(Hook):
    """Writes the merged config to ``WORK_DIR/config.json``.

    ``bcl-mm report`` and others read this file; the Python config that
    MMEngine writes there is a program, which they do not run. A test writes
    it only where a training has not.
    """

    def before_train(self, runner: Runner) -> None:
        """Write the config of a training."""
        self._write(runner)

    def before_test(self, runner: Runner) -> None:
        """Write the config of a test, unless there is one."""
        if not Path(runner.work_dir, CONFIG_JSON).exists():
            self._write(runner)

    @master_only
    def _write(self, runner: Runner) -> None:
        try:
            write_run_config(runner.cfg, runner.work_dir)
        except InputTypeError as error:
            path = Path(runner.work_dir, CONFIG_JSON)
            path.unlink(missing_ok=True)
            runner.logger.warning(
                f'{path} is not written: {error}. A report of this run will '
                'need --allow-code'
            )
