"""The model, for metrics that examine it."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.runner import Runner

from bcl_mm.registry import HOOKS
from bcl_mm.utils.modules import tell_metrics, unwrapped


@HOOKS.register_module()
class MetricModelHook(Hook):
    """Hands the model, unwrapped, to every metric that has ``set_model``."""

    def before_val(self, runner: Runner) -> None:
        """Hand the model to the validation metrics."""
        model = unwrapped(runner.model)
        tell_metrics(runner.val_evaluator, 'set_model', model)

    def before_test(self, runner: Runner) -> None:
        """Hand the model to the test metrics."""
        model = unwrapped(runner.model)
        tell_metrics(runner.test_evaluator, 'set_model', model)
