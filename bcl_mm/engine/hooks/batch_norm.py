"""Batch norm's statistics on several processes."""

from __future__ import annotations

from mmengine.dist import all_reduce_params
from mmengine.hooks import EMAHook, Hook
from mmengine.runner import Runner
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from bcl_mm.registry import HOOKS
from bcl_mm.utils.modules import unwrapped


@HOOKS.register_module()
class AverageStatisticsHook(Hook):
    """Averages batch norm's running statistics over the processes.

    Each process tracks those of its own batches. At the end of an epoch,
    before the checkpoint is written, they become one model's: validation
    uses the same on all processes, and a checkpoint loses none of them.
    (MMEngine's SyncBuffersHook fails on integers, such as class counts.)
    """

    # After EMAHook (NORMAL), before CheckpointHook (VERY_LOW).
    priority = 'LOW'

    def after_train_epoch(self, runner: Runner) -> None:
        """Average them, those of moving averages too."""
        modules = list(unwrapped(runner.model).modules())
        for hook in runner.hooks:
            if isinstance(hook, EMAHook):
                modules.extend(hook.ema_model.modules())
        norms = [
            module
            for module in modules
            if isinstance(module, _BatchNorm)
            and not isinstance(module, nn.SyncBatchNorm)
            and module.training  # otherwise they are fixed, and equal
            and module.track_running_stats
        ]
        buffers = [b for n in norms for b in (n.running_mean, n.running_var)]
        all_reduce_params(buffers, op='mean')
