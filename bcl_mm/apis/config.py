"""What the tools share: options, configs, checkpoints, processes."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import os
import re
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Tuple

import torch
from mmengine.config import Config, DictAction
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

import bcl_mm
from bcl_mm.apis.from_data import LOADERS, dataset_configs, resolve_num_classes
from bcl_mm.datasets.transforms.loading import CorruptImageError
from bcl_mm.engine.processes import await_ranks, init_cpu_process_group
from bcl_mm.engine.resume import obstacle_to_resume
from bcl_mm.models.pretrained import apply_pretrained
from bcl_mm.utils.checkpoint import load_checkpoint
from bcl_mm.utils.errors import (
    InputFileError,
    InputValueError,
    MissingFileError,
)

# Settings that an override gives to all data sets that have them: parts of
# one split by different ones would share images.
OF_ALL_DATASETS = ('data_root', 'data_prefix', 'val_fraction', 'split_seed')

# Warnings of the libraries that ask nothing of a user.
NOISE = (
    # mmpretrain reads MNIST's files into arrays that are only read.
    'The given NumPy array is not writable',
    # mmengine's own use of its older file interface.
    '"(FileClient|HardDiskBackend)"',
    # A dataloader that would pin memory, on a machine without accelerator.
    ".*'pin_memory' argument is set as true",
    # mmengine's own call, of DDP's older spelling.
    '`broadcast_buffers` is deprecated',
    # mmengine's own call, of torch's older spelling.
    '`torch.cuda.amp.GradScaler',
    # Set by mmengine for each process, to share the cores.
    'Setting (OMP|MKL)_NUM_THREADS',
    # torchvision's classifier, beside the backbone that is pretrained.
    r'The model and loaded state dict do not match exactly\s+unexpected key '
    r'in source state_dict: fc\.weight, fc\.bias\s*$',
)


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Add the option that overrides settings of the config."""
    # What load_config wants to know, of tools without the common options.
    parser.set_defaults(
        amp=False,
        launcher='none',
        local_rank=0,
        no_pin_memory=False,
        work_dir=None,
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='override settings of the config, such as '
        'optim_wrapper.optimizer.lr=0.2 or, for all data loaders, '
        'data_root=PATH; pretrained=FILE (or http(s)://..., '
        'torchvision://NAME, timm://NAME) starts from these weights',
    )


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of mmpretrain's tools that train and test share."""
    parser.add_argument('--work-dir', help='where logs and models are kept')
    parser.add_argument('--amp', action='store_true', help='mixed precision')
    parser.add_argument(
        '--no-pin-memory', action='store_true', help='do not pin memory'
    )
    add_cfg_options(parser)
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='who starts the processes',
    )
    # torch.distributed.launch, torchrun's predecessor, passes this.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """End the program with the message of an error, without a traceback.

    For what comes before the work: a user's errors, not ours.
    """
    try:
        yield
    except (TypeError, ValueError, OSError, RuntimeError) as error:
        sys.exit(f'{type(error).__name__}: {error}')


def is_explained(error: Optional[BaseException]) -> bool:
    """Whether bcl_mm has raised an error, for a user: its message says all.

    An error of a user's own loss, or of a library, needs its traceback.
    """
    if isinstance(error, CorruptImageError):  # raised anew by a data worker
        return True
    while isinstance(error, (ValueError, TypeError, OSError)):
        place = traceback.extract_tb(error.__traceback__)[-1].filename
        if Path(place).is_relative_to(Path(bcl_mm.__file__).parent):
            return True
        error = error.__context__  # which a registry wraps
    return False


def check_work_dir(work_dir: str) -> None:
    """Raise an OSError for a folder that cannot be made or written to."""
    os.makedirs(work_dir, exist_ok=True)
    if not os.access(work_dir, os.W_OK):
        raise InputFileError(f'work_dir {work_dir!r} cannot be written to')


def load_config(args: argparse.Namespace) -> Config:
    """Config of the command line: file, common options, overrides.

    Raises:
        ValueError: An option cannot work on this machine.
        FileNotFoundError: The config or a data folder does not exist.
    """
    for message in NOISE:
        warnings.filterwarnings('ignore', message=message)
    if args.amp and not torch.accelerator.is_available():
        raise InputValueError(
            '--amp needs an accelerator (a GPU), and this machine has none: '
            'leave --amp out'
        )
    if not Path(args.config).is_file():
        raise MissingFileError(f'there is no config {args.config!r}')
    cfg = Config.fromfile(args.config)
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = f'work_dirs/{Path(args.config).stem}'
    if args.cfg_options:
        _note_misspelt(cfg, args.cfg_options)
        cfg.merge_from_dict(args.cfg_options)
        for name in set(OF_ALL_DATASETS).intersection(args.cfg_options):
            if name == 'data_root':
                # Which the shell leaves as it is behind an equals sign.
                cfg.data_root = os.path.expanduser(str(cfg.data_root))
            for _, dataset in dataset_configs(cfg):
                if name in dataset:
                    dataset[name] = cfg[name]
    if getattr(args, 'checkpoint', None) is not None:
        _forbid_downloads(cfg.get('model'))
    _check_own_data_root(cfg)
    _complete_dataloaders(cfg, pin_memory=not args.no_pin_memory)
    _share_processes(cfg, args.local_rank)
    return cfg


def complete_model(cfg: Config, checkpoint: Optional[str] = None) -> None:
    """Complete the model by what the data, or a checkpoint, say of it.

    Args:
        cfg: Config, changed in place.
        checkpoint: The checkpoint that is tested, or that training goes on
            from: it brings the weights, and no ``pretrained`` ones are
            loaded. Defaults to None.

    Raises:
        ValueError: Data, checkpoint or pretrained weights do not fit.
        OSError: One of them is not there.
    """
    resolve_num_classes(cfg, checkpoint)
    apply_pretrained(cfg, load=checkpoint is None)


def build_runner(cfg: Config) -> Runner:
    """Runner of a config, without log lines that ask nothing of a user."""
    runner = (
        RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    )
    noise = re.compile('|'.join(NOISE))
    runner.logger.addFilter(
        lambda record: not noise.match(record.getMessage())
    )
    return runner


def check_checkpoint(path: str, resume: bool = False) -> None:
    """Check a checkpoint before the work starts; URLs are not checked.

    Args:
        path: Its path.
        resume: Whether training goes on from it. Defaults to False.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: It is damaged, holds more than weights, or lacks what
            training needs to go on.
    """
    if '://' in path:
        return
    content = load_checkpoint(path)
    obstacle = obstacle_to_resume(content) if resume else None
    if obstacle is not None:
        raise InputValueError(
            f'training cannot go on from {path!r}: {obstacle}. To start from '
            'its weights, leave --resume out and set --cfg-options '
            f'load_from={path}'
        )


def _forbid_downloads(part: Any) -> None:
    """Let a model's parts load no weights that a checkpoint replaces.

    timm's are loaded, from the internet, when the model is built.
    """
    if isinstance(part, (list, tuple)):
        for entry in part:
            _forbid_downloads(entry)
    elif isinstance(part, dict):
        if part.get('pretrained'):
            part['pretrained'] = False if part['pretrained'] is True else None
        for entry in part.values():
            _forbid_downloads(entry)


def check_data_roots(cfg: Config, loaders: Tuple[str, ...] = LOADERS) -> None:
    """Raise a FileNotFoundError for a ``data_root`` without data.

    The config's ``data_hint`` says how to get the data.
    """
    for loader, dataset in dataset_configs(cfg, loaders):
        root = dataset.get('data_root')
        if not root or Path(root).is_file():  # one list
            continue
        if not (Path(root).is_dir() and any(Path(root).iterdir())):
            hint = cfg.get('data_hint', 'Give it with --cfg-options data_root')
            what = 'is empty' if Path(root).is_dir() else 'does not exist'
            raise MissingFileError(
                f'data_root {root!r} of the {loader} {what}. {hint}'
            )


def _note_misspelt(cfg: Config, options: Dict[str, Any]) -> None:
    """Say so if an override is new in the config, but like a key of it."""
    settings = cfg.to_dict()
    for option in options:
        *path, name = option.split('.')
        part: Any = settings
        for key in path:
            part = part.get(key) if isinstance(part, dict) else None
        if not isinstance(part, dict) or name in part:
            continue
        like = difflib.get_close_matches(name, list(part), 1, 0.8)
        if like:
            print(
                f'Note: {option} is not in the config: is '
                f'{".".join([*path, like[0]])} meant?',
                flush=True,
            )


def _check_own_data_root(cfg: Config) -> None:
    """Say so if a config's ``data_root`` reaches no dataset.

    A base has put its own into the datasets, when it was read.
    """
    datasets = [dataset for _, dataset in dataset_configs(cfg)]
    roots = {d.data_root for d in datasets if 'data_root' in d}
    own = cfg.get('data_root')
    if own and roots and own not in roots:
        print(
            f'Note: data_root = {own!r} of the config reaches no data set, '
            f'which read {", ".join(map(repr, sorted(roots)))}: give it with '
            f'--cfg-options data_root={own}',
            flush=True,
        )


def _complete_dataloaders(cfg: Config, pin_memory: bool) -> None:
    for name in LOADERS:
        loader = cfg.get(name)
        if loader is None:
            continue
        loader.setdefault('pin_memory', True)
        if not (pin_memory and torch.accelerator.is_available()):
            loader.pin_memory = False
        loader.setdefault('collate_fn', dict(type='default_collate'))
        # Without SampleSeedHook, workers that are started anew each epoch
        # repeat the first epoch's augmentations: mmengine seeds them alike.
        cores = len(os.sched_getaffinity(0))  # more workers only wait
        loader.num_workers = min(loader.get('num_workers', 0), cores)
        has_workers = loader.num_workers > 0
        loader.setdefault('persistent_workers', has_workers)
        if not has_workers:
            loader.persistent_workers = False


def _has_sync_bn(part: Any) -> bool:
    """Whether a part of a config asks for batch norm over all processes."""
    if isinstance(part, (list, tuple)):
        return any(map(_has_sync_bn, part))
    if not isinstance(part, dict):
        return False
    return (
        part.get('sync_bn') is not None
        or str(part.get('type')).endswith('SyncBN')
        or any(map(_has_sync_bn, part.values()))
    )


def _apply_timeouts(cfg: Config) -> None:
    """Apply the time limits that launch.sh documents."""
    env_cfg = cfg.setdefault('env_cfg', dict())
    dist_cfg = env_cfg.setdefault('dist_cfg', dict(backend='nccl'))
    if 'DIST_TIMEOUT' in os.environ:
        dist_cfg.timeout = int(os.environ['DIST_TIMEOUT'])
    # Where torchrun's agent keeps the store of its processes.
    if os.environ.get('TORCHELASTIC_USE_AGENT_STORE') == 'True':
        await_ranks(int(os.environ.get('RDZV_TIMEOUT', 40)))


def _share_processes(cfg: Config, local_rank: int) -> None:
    """Let the processes of a launcher run on this machine's devices."""
    os.environ.setdefault('LOCAL_RANK', str(local_rank))
    if cfg.launcher == 'none':
        return
    if not torch.accelerator.is_available() and _has_sync_bn(cfg.to_dict()):
        raise InputValueError(
            'SyncBatchNorm needs GPUs, and this machine has none: leave out '
            "sync_bn='torch' and norm_cfg=dict(type='SyncBN')"
        )
    _apply_timeouts(cfg)
    num_local = int(os.environ.get('LOCAL_WORLD_SIZE', 1))
    if torch.cuda.is_available():
        num_gpus = torch.cuda.device_count()
        if num_local > num_gpus:
            raise InputValueError(
                f'{num_local} GPUs were asked for, but this machine shows '
                f'{num_gpus}: start at most {num_gpus} processes on it'
            )
        return
    if torch.accelerator.is_available():
        return  # mmengine knows NPU, MLU and their like
    if cfg.launcher != 'pytorch':
        raise InputValueError(
            f'--launcher {cfg.launcher} needs GPUs, and this machine has '
            'none: use tools/dist_train.sh, which runs on CPU processes too'
        )
    if os.environ['LOCAL_RANK'] == '0':
        print(
            f'This machine has no GPU: running {num_local} CPU processes '
            '(gloo).',
            flush=True,
        )
    init_cpu_process_group(cfg.env_cfg.dist_cfg.get('timeout', 1800))
    cfg.model_wrapper_cfg = dict(
        type='MMDistributedDataParallel',
        device_ids=None,
        broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False),
    )
