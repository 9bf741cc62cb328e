"""Train a model from a config.

Exits with 1 after an error, 130 after SIGINT (Ctrl-C), and 143 after SIGTERM.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import time
import traceback
from typing import Any, Optional, Union

from bcl_mm.apis.locations import make_folder
from bcl_mm.cli import interruption, print_error
from bcl_mm.cli.options import (
    AMP_TYPES,
    add_common_options,
    add_config,
    add_log_option,
)
from bcl_mm.utils.errors import (
    InputError,
    InputValueError,
    as_input_error,
    visible,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of mmpretrain's train.py, and --log."""
    add_config(parser)
    add_common_options(parser)
    add_log_option(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='FILE',
        help='resume from a checkpoint; without FILE (or with "auto") from '
        'the latest one in the work dir',
    )
    for name, help_text in (
        ('--no-validate', 'train without validation'),
        (
            '--auto-scale-lr',
            'scale the learning rate with the global batch size',
        ),
        ('--no-persistent-workers', 'restart the data workers in each epoch'),
    ):
        parser.add_argument(name, action='store_true', help=help_text)
    parser.add_argument(
        '--allow-changed-data',
        action='store_true',
        help='resume although the training set, the batch size or the number '
        'of processes is not that of the checkpoint',
    )


def find_checkpoint(work_dir: str) -> Optional[str]:
    """The checkpoint to resume from, None if there is none.

    Without one training starts from the beginning; a second stage then still
    starts from its ``load_from``.

    Raises:
        InputValueError: There are checkpoints, but all are damaged.
    """
    from bcl_mm.engine.resume import latest_checkpoint

    try:
        latest, problem = latest_checkpoint(work_dir)
    except InputError as error:
        raise InputValueError(
            f'{error}: give another one, --resume FILE'
        ) from None
    start = '' if problem is None else f'{problem}. '
    if latest is None:
        start += f'There is no checkpoint in {work_dir}: starting anew.'
    elif problem is not None:
        start += f'Resuming from {latest}, the newest complete checkpoint.'
    if start:
        print(visible(start), flush=True)
    return latest


def _amp_wrapper(kind: Any) -> str:
    """The optimizer wrapper for mixed precision, AmpNAME of a NAME."""
    from bcl_mm.registry import OPTIM_WRAPPERS

    kind = getattr(kind, '__name__', kind) or 'OptimWrapper'
    scope, dot, name = kind.rpartition('.')
    if not name.startswith('Amp'):
        name = f'Amp{name}'
    if OPTIM_WRAPPERS.get(f'{scope}{dot}{name}') is None:
        raise InputValueError(
            f'--amp does not go with optim_wrapper.type={kind!r}: there is '
            f'no {scope}{dot}{name}'
        )
    return f'{scope}{dot}{name}'


def merge_options(cfg: Any, args: argparse.Namespace) -> None:
    """Apply the options of training to the config."""
    from bcl_mm.apis.config import check_checkpoint

    cfg.setdefault('resume', False)
    cfg.setdefault('load_from', None)
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if args.amp:
        cfg.optim_wrapper.type = _amp_wrapper(cfg.optim_wrapper.get('type'))
        if args.amp in AMP_TYPES:
            cfg.optim_wrapper.dtype = AMP_TYPES[args.amp]
        # bfloat16 has the range of float32: no gradient needs a scale.
        scale = dict(enabled=False) if args.amp == 'bf16' else 'dynamic'
        cfg.optim_wrapper.setdefault('loss_scale', scale)
    if args.resume not in (None, 'auto'):
        cfg.resume, cfg.load_from = True, args.resume
    latest = None
    if args.resume == 'auto' or (cfg.resume and cfg.load_from is None):
        latest = find_checkpoint(cfg.work_dir)
        cfg.resume = latest is not None
    if latest is not None:
        cfg.load_from = latest
    elif cfg.load_from is not None:
        check_checkpoint(cfg.load_from, cfg.resume)
    if args.allow_changed_data:
        class_info = cfg.get('default_hooks', {}).get('class_info')
        if class_info is None:
            raise InputValueError(
                '--allow-changed-data needs the ClassInfoHook, '
                'default_hooks.class_info of the config'
            )
        class_info.allow_changed_data = True
    if args.auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise InputValueError(
                '--auto-scale-lr needs auto_scale_lr.base_batch_size in the '
                'config: the batch size that its learning rate is meant for'
            )
        cfg.auto_scale_lr.enable = True
    if args.no_persistent_workers:
        for loader in ('train_dataloader', 'val_dataloader'):
            if cfg.get(loader) is not None:
                cfg[loader].persistent_workers = False


def run(args: argparse.Namespace) -> Union[None, int, str]:
    """Train; exits with 130 (SIGINT) or 143 (SIGTERM) if interrupted."""
    interruption.watch()  # before the imports, which take seconds
    interruption.end_with_launcher()
    from bcl_mm.apis import config
    from bcl_mm.engine.processes import starts_first
    from bcl_mm.utils.lock import lock_folder

    cfg = config.load_config(args, whole=True)
    interruption.watch(cfg.work_dir)
    is_new = not os.path.exists(cfg.work_dir)
    make_folder('work_dir', cfg.work_dir)
    lock: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
    if starts_first(cfg.launcher):
        lock = lock_folder(cfg.work_dir, is_new=is_new)
    with lock:  # before the checkpoint is looked for
        return _train(cfg, args)


def _train(cfg: Any, args: argparse.Namespace) -> Union[None, int, str]:
    """Train in a folder that no other training uses."""
    from mmengine.dist import is_main_process

    from bcl_mm.apis import config, log_backends
    from bcl_mm.apis.augmentation import describe_augmentation
    from bcl_mm.apis.build_errors import explained_build_errors
    from bcl_mm.apis.runner import build_runner
    from bcl_mm.apis.runs import method_name
    from bcl_mm.engine.hooks.checkpoint import CheckpointError
    from bcl_mm.engine.hooks.progress import require_one_batch
    from bcl_mm.engine.processes import leave_process_group
    from bcl_mm.engine.resume import StartHook, latest_checkpoint
    from bcl_mm.engine.terminal import Terminal

    start = StartHook()
    terminal = None
    if not args.verbose:
        terminal = Terminal(method_name(cfg))
    merge_options(cfg, args)
    log_backends.add_log_backends(cfg, args.log)
    config.check_data_roots(cfg, ('train_dataloader', 'val_dataloader'))
    config.complete_model(cfg, cfg.load_from if cfg.resume else None)
    if is_main_process() and cfg.get('augmentation'):
        print(describe_augmentation(cfg.augmentation), flush=True)
    try:
        with terminal or contextlib.nullcontext(), explained_build_errors(cfg):
            runner = build_runner(cfg, terminal)
            # Here and not only in the hook: building schedules of an epoch
            # without iterations fails before the first hook runs.
            require_one_batch(runner.train_dataloader, runner.world_size)
            runner.register_hook(start)
            runner.train()
        if not start.has_started and is_main_process():
            print(
                f'Nothing is left to train: {cfg.load_from} has reached the '
                'max_epochs or max_iters of train_cfg, or was stopped early'
            )
        del runner
        leave_process_group()
    except CheckpointError as error:
        # All ranks have this error; one of them reports it.
        return f'Training ends: {error}' if is_main_process() else 1
    except Exception as error:
        if 'DataLoader worker' in str(error):
            time.sleep(1)  # SIGTERM to all may reach the workers first
        told = as_input_error(error, f'a file in {cfg.work_dir}')
        if told is not None:
            print_error(told)
        else:
            traceback.print_exc()
        latest = None
        # A checkpoint that it could not resume from is no advice.
        if is_main_process() and (start.has_started or not cfg.resume):
            with contextlib.suppress(InputError):
                latest, _ = latest_checkpoint(cfg.work_dir)
        return f'--resume resumes from {latest}.' if latest else 1
    return None
