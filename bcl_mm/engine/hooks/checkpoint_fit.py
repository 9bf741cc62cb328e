"""Checkpoints that fit the model, and state that a new training resets."""

from __future__ import annotations

from typing import Dict

from mmengine.hooks import Hook
from mmengine.runner import Runner

from bcl_mm.registry import HOOKS
from bcl_mm.utils.checkpoint import is_only_for_training, misfits, weights_of
from bcl_mm.utils.errors import InputValueError
from bcl_mm.utils.modules import training_state, unwrapped


@HOOKS.register_module()
class CheckpointFitHook(Hook):
    """Checks that a loaded checkpoint fits, and resets state where it must.

    A test of a checkpoint that lacks weights of the model is an error;
    MMEngine only logs it. (It is harmless in training, where a new
    classifier may start.) A new training that starts from the weights of a
    checkpoint (``load_from``) starts with the initial state of branches and
    losses: their class statistics and queues come from other data. A
    ``pretrained`` that the program ignores is an error.
    """

    # Before ClassInfoHook: of two complaints, this one says more.
    priority = 'HIGH'

    def __init__(self) -> None:
        self._misfits: Dict[str, str] = {}

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Note what does not fit; reset the state of a new training."""
        model = unwrapped(runner.model)
        self._misfits = misfits(model, weights_of(checkpoint))
        if not runner._resume:
            weights = checkpoint.get('state_dict', checkpoint)
            for name, buffer in training_state(model).items():
                for key in (name, f'module.{name}'):
                    if key in weights:
                        weights[key] = buffer.detach().cpu().clone()

    def before_train(self, runner: Runner) -> None:
        """Refuse a ``pretrained`` that nothing has read.

        Raises:
            InputValueError: Another program than ``bcl-mm train`` trains.
        """
        source = runner.cfg.get('pretrained')
        if source is None or runner._resume:
            return
        backbone = dict(runner.cfg.model).get('backbone') or {}
        is_timm = str(backbone.get('type')).endswith('TimmBackbone')
        if not (is_timm or backbone.get('init_cfg')):
            raise InputValueError(
                f'pretrained={source!r} is read by bcl-mm train only, and '
                'this program ignores it: train with bcl-mm train, or give '
                "model.backbone.init_cfg=dict(type='Pretrained', "
                'checkpoint=...)'
            )

    def before_test(self, runner: Runner) -> None:
        """Refuse to test a checkpoint of another model.

        Raises:
            InputValueError: Weights that testing needs are missing, or have
                another shape.
        """
        metrics = runner.test_evaluator.metrics
        projects = any(hasattr(metric, 'set_model') for metric in metrics)
        wrong = [
            f'{name} {misfit}'
            for name, misfit in self._misfits.items()
            if not is_only_for_training(name, projects)
        ]
        if wrong:
            raise InputValueError(
                'the checkpoint does not fit the model of the config: '
                + '; '.join(wrong[:3])
            )
