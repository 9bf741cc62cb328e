"""The model, for metrics that examine it."""

from __future__ import annotations

from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmengine.runner import Runner

from bcl_mm.registry import HOOKS
from bcl_mm.utils.modules import metrics_of, unwrapped
from bcl_mm.utils.protocols import TakesModel


@HOOKS.register_module()
class MetricModelHook(Hook):
    """Hands the model, unwrapped, to every metric that has ``set_model``."""

    def before_val(self, runner: Runner) -> None:
        """Hand the model to the validation metrics."""
        self._tell(runner, runner.val_evaluator)

    def before_test(self, runner: Runner) -> None:
        """Hand the model to the test metrics."""
        self._tell(runner, runner.test_evaluator)

    def _tell(self, runner: Runner, evaluator: Evaluator) -> None:
        for metric in metrics_of(evaluator, TakesModel):
            metric.set_model(unwrapped(runner.model))
