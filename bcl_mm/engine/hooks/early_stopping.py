"""Early stopping that a kill does not change."""

from __future__ import annotations

from typing import Any, Dict

from mmengine.hooks import EarlyStoppingHook as MMEngineEarlyStoppingHook
from mmengine.runner import EpochBasedTrainLoop, Runner

from bcl_mm.registry import HOOKS
from bcl_mm.utils.errors import check_number


@HOOKS.register_module()
class EarlyStoppingHook(MMEngineEarlyStoppingHook):
    """MMEngine's EarlyStoppingHook, with a state that checkpoints keep.

    A resumed training therefore stops where it would have stopped without
    the interruption, and one that has been stopped stays so, unless
    ``patience`` is raised. :class:`SafeCheckpointHook` notes in the last
    checkpoint that it is not unfinished.

    Args:
        monitor: Name of the figure of the validation. Defaults to
            ``'accuracy/balanced'``.
        patience: Validations in a row without improvement after which
            training ends. Defaults to 5.
        min_delta: The least improvement that counts, in the unit of the
            figure. Defaults to 0.1.
        **kwargs: Other arguments of MMEngine's hook.

    Raises:
        InputTypeError: ``patience`` is not a whole number, or ``min_delta``
            not a number.
        InputValueError: ``patience < 1``, or ``min_delta < 0``.
    """

    def __init__(
        self,
        monitor: str = 'accuracy/balanced',
        patience: int = 5,
        min_delta: float = 0.1,
        **kwargs: Any,
    ) -> None:
        check_number('patience', patience, at_least=1, whole=True)
        check_number('min_delta', min_delta, at_least=0)
        super().__init__(
            monitor, patience=patience, min_delta=min_delta, **kwargs
        )

    # Before SafeCheckpointHook, whose checkpoint of the best score is written
    # after the validation and must hold this hook's state.
    priority = 'LOW'

    @property
    def _names(self) -> Dict[str, str]:
        """Names of the state in the message hub, by attribute."""
        names = 'wait_count', 'best_score'
        return {
            name: f'early_stopping_{self.monitor}_{name}' for name in names
        }

    def before_train(self, runner: Runner) -> None:
        """Leave a training that was stopped as it is."""
        self._restore(runner)
        if self.wait_count >= self.patience:
            runner.train_loop.stop_training = True
            self._note(
                runner,
                f'This training was stopped early, after {self.wait_count} '
                'validations without improvement: raise patience '
                f'({self.patience}) of EarlyStoppingHook to continue it',
            )

    def after_val_epoch(
        self, runner: Runner, metrics: Dict[str, float]
    ) -> None:
        """Decide whether training ends."""
        # Not only before training: a validation that an interruption cut off
        # is repeated before this hook's turn.
        self._restore(runner)
        loop = runner.train_loop
        was_stopped = loop.stop_training
        super().after_val_epoch(runner, metrics)
        for attribute, name in self._names.items():
            runner.message_hub.update_info(name, getattr(self, attribute))
        if loop.stop_training and not was_stopped:
            step = f'iteration {runner.iter}'
            if isinstance(loop, EpochBasedTrainLoop):
                step = f'epoch {runner.epoch}'
            self._note(
                runner,
                f'Training stops early, after {step}: {self.monitor} is '
                f'{metrics[self.monitor]:.4g}; the best is '
                f'{self.best_score:.4g}',
            )

    @staticmethod
    def _note(runner: Runner, text: str) -> None:
        runner.logger.info(text, extra=dict(is_note=True))  # in the terminal

    def _restore(self, runner: Runner) -> None:
        info = runner.message_hub.runtime_info
        for attribute, name in self._names.items():
            if name in info:
                setattr(self, attribute, info[name])
