"""The processes of a launcher, and the devices of this machine."""

from __future__ import annotations

import os

import torch
from mmengine.config import Config

from bcl_mm.apis.from_data import nested_dicts
from bcl_mm.engine.processes import await_ranks, init_cpu_process_group
from bcl_mm.utils.errors import InputValueError


def _apply_timeouts(cfg: Config) -> None:
    """Apply the time limits that ``bcl-mm launch`` documents."""
    cfg.setdefault('env_cfg', {}).setdefault('dist_cfg', dict(backend='nccl'))
    timeout = os.environ.get('DIST_TIMEOUT')
    if timeout:
        if not timeout.isdecimal() or int(timeout) < 1:
            raise InputValueError(
                f'DIST_TIMEOUT must be a whole number >= 1, got {timeout!r}'
            )
        cfg.env_cfg.dist_cfg.timeout = int(timeout)
    # Where torchrun's agent hosts the store of the processes.
    if os.environ.get('TORCHELASTIC_USE_AGENT_STORE') == 'True':
        await_ranks(int(os.environ.get('RDZV_TIMEOUT', 40)))


def share_processes(cfg: Config) -> None:
    """Distribute the processes of a launcher over this machine's devices."""
    has_devices = torch.accelerator.is_available()
    needs_devices = any(
        part.get('sync_bn') is not None
        or str(part.get('type')).endswith('SyncBN')
        for part in nested_dicts(cfg.to_dict())
    )
    if needs_devices and not has_devices:
        raise InputValueError(
            'SyncBatchNorm needs GPUs, and this machine has none: leave out '
            "sync_bn='torch' and norm_cfg=dict(type='SyncBN')"
        )
    _apply_timeouts(cfg)
    num_local = int(os.environ.get('LOCAL_WORLD_SIZE', 1))
    num_gpus = torch.cuda.device_count()
    if torch.cuda.is_available() and num_local > num_gpus:
        raise InputValueError(
            f'{num_local} GPUs were asked for, but this machine shows '
            f'{num_gpus}: start at most {num_gpus} processes on it'
        )
    if has_devices:
        return  # mmengine knows NPU, MLU and their like, too
    if cfg.launcher != 'pytorch':
        raise InputValueError(
            f'--launcher {cfg.launcher} needs GPUs, and this machine has '
            'none: use bcl-mm launch, which runs on CPU processes too'
        )
    if os.environ['LOCAL_RANK'] == '0':
        print(
            f'This machine has no GPU: running {num_local} CPU processes '
            '(gloo).',
            flush=True,
        )
    init_cpu_process_group(cfg.env_cfg.dist_cfg.get('timeout', 1800))
    given = cfg.get('model_wrapper_cfg') or {}
    if str(given.get('type')).endswith('ShardedModel'):
        return
    cfg.model_wrapper_cfg = dict(
        type='MMDistributedDataParallel',
        device_ids=None,
        broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False),
    )
