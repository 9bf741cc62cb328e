"""The model, for metrics that examine it."""

from __future__ import annotations

from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmengine.runner import Runner

from bcl_mm.registry import HOOKS
from bcl_mm.utils.modules import unwrapped


@HOOKS.register_module()
class MetricModelHook(Hook):
    """Hands the model, unwrapped, to every metric that has ``set_model``.

    Put it into ``default_hooks``, so that a user's ``custom_hooks`` do not
    drop it.
    """

    def before_val(self, runner: Runner) -> None:
        """Hand the model to the validation metrics."""
        self._hand_over(runner, runner.val_evaluator)

    def before_test(self, runner: Runner) -> None:
        """Hand the model to the test metrics."""
        self._hand_over(runner, runner.test_evaluator)

    def _hand_over(self, runner: Runner, evaluator: Evaluator) -> None:
        for metric in evaluator.metrics:
            if hasattr(metric, 'set_model'):
                metric.set_model(unwrapped(runner.model))
