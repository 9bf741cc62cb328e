"""Checkpoints that fit the training, and state that a new one resets."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional

from mmengine.hooks import Hook
from mmengine.model import PretrainedInit
from mmengine.runner import BaseLoop, Runner
from torch import nn

from bcl_mm.engine.resume import obstacle_of_training
from bcl_mm.registry import HOOKS
from bcl_mm.utils.checkpoint import load_from_bcl_mm
from bcl_mm.utils.errors import InputValueError
from bcl_mm.utils.modules import metrics_of, training_state, unwrapped
from bcl_mm.utils.protocols import TakesModel
from bcl_mm.utils.weights import (
    is_only_for_training,
    misfits,
    weights_of,
    without_prefix,
)

# What a new training takes from ``load_from``.
_KEPT = ('backbone.', 'neck.')


def _has_other_length(checkpoint: dict, runner: Runner) -> bool:
    """Whether training resumes to another end; a warning says so."""
    info = checkpoint['message_hub']['runtime_info']
    name = 'max_epochs' if runner.max_epochs else 'max_iters'
    old, new = info.get(name), getattr(runner, name)
    if old is None or old == new:
        return False
    runner.logger.warning(
        f'{name} was {old} when training started, and is {new} now: the '
        'schedules keep the lengths that they had'
    )
    return True


def _other_seed(checkpoint: dict, randomness: dict) -> Optional[str]:
    """A seed in the config that would be ignored, None if there is none."""
    old = checkpoint['meta'].get('seed')
    new = randomness.get('seed')
    if old is None or new is None or old == new:
        return None
    return (
        f'its seed is {old}, and randomness.seed is {new}: training resumes '
        'with the seed that it had. Leave randomness.seed out'
    )


def _check_initialised(model: nn.Module) -> None:
    """Raise an InputValueError where an ``init_cfg`` checkpoint did not fit.

    Other weights may be in the checkpoint, such as those of a head.
    """
    for name, module in model.named_modules():
        for cfg in _listed(getattr(module, 'init_cfg', None)):
            if cfg.get('type') not in ('Pretrained', PretrainedInit):
                continue
            source, prefix = cfg['checkpoint'], cfg.get('prefix')
            weights = weights_of(load_from_bcl_mm(source))  # as MMEngine
            if prefix:
                start = f'{prefix.removesuffix(".")}.'  # as MMEngine
                weights = without_prefix(weights, start)
            own = module.state_dict()
            shared = {key: weights[key] for key in own if key in weights}
            wrong = [
                f'{key} {misfit}'
                for key, misfit in misfits(module, shared).items()
                if not is_only_for_training(key)
            ]
            if wrong:
                raise InputValueError(
                    f'model{f".{name}" if name else ""}.init_cfg: the '
                    f'checkpoint {source!r} does not fit: '
                    + '; '.join(wrong[:3])
                )


def _listed(init_cfg: Any) -> List[dict]:
    configs = init_cfg if isinstance(init_cfg, (list, tuple)) else [init_cfg]
    return [cfg for cfg in configs if isinstance(cfg, dict)]


@HOOKS.register_module()
class CheckpointFitHook(Hook):
    """Checks that a loaded checkpoint fits, and resets state where it must.

    MMEngine only logs weights that do not fit, and leaves those of the model
    as they are. Here they are errors:

    - In a test, where testing needs them.
    - In a training that resumes, where optimizer and schedules must fit, too.
    - In a new training (``load_from``), in backbone and neck; another head
      may start.
    - In a part of the model that ``init_cfg`` initialises from a checkpoint.

    A new training starts with the initial state of branches and losses: their
    class statistics and queues come from other data. A ``pretrained`` that the
    program ignores is an error.
    """

    # Before ClassInfoHook: of two complaints, this one says more.
    priority = 'HIGH'

    def __init__(self) -> None:
        self._misfits: Dict[str, str] = {}

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Check what fits; reset the state of a new training.

        Raises:
            InputValueError: Training cannot start from the checkpoint.
        """
        model = unwrapped(runner.model)
        self._misfits = misfits(model, weights_of(checkpoint))
        trains = isinstance(runner._train_loop, BaseLoop)  # it is built
        if runner._resume and trains:
            self._require_fit()
            is_longer = _has_other_length(checkpoint, runner)
            may_change = is_longer or any(
                getattr(hook, 'allow_changed_data', False)
                for hook in runner.hooks
            )
            obstacle = obstacle_of_training(
                checkpoint,
                runner.optim_wrapper,
                runner.param_schedulers,
                may_change,
            ) or _other_seed(checkpoint, runner._randomness_cfg)
            if obstacle is not None:
                raise InputValueError(
                    f'training cannot resume from the checkpoint: {obstacle}'
                )
        elif trains:
            self._require_fit(lambda name: name.startswith(_KEPT))
        if not runner._resume:
            weights = checkpoint.get('state_dict', checkpoint)
            for name, buffer in training_state(model).items():
                for key in (name, f'module.{name}'):
                    if key in weights:
                        weights[key] = buffer.detach().cpu().clone()

    def before_train(self, runner: Runner) -> None:
        """Refuse weights that do not fit, or that nothing has read.

        Raises:
            InputValueError: The checkpoint of an ``init_cfg`` does not fit,
                or another program than ``bcl-mm train`` trains and ignores
                ``pretrained``.
        """
        if runner._resume:
            return
        _check_initialised(unwrapped(runner.model))
        source = runner.cfg.get('pretrained')
        if source is None:
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
        projects = bool(metrics_of(runner.test_evaluator, TakesModel))
        self._require_fit(
            lambda name: not is_only_for_training(name, projects)
        )

    def _require_fit(
        self, is_needed: Callable[[str], bool] = lambda name: True
    ) -> None:
        """Raise an error if needed weights do not fit."""
        wrong = [
            f'{name} {misfit}'
            for name, misfit in self._misfits.items()
            if is_needed(name)
        ]
        if wrong:
            raise InputValueError(
                'the checkpoint does not fit the model of the config: '
                + '; '.join(wrong[:3])
            )
