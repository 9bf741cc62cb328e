"""Train a model from a config."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
import traceback
from typing import Optional

from bcl_mm.cli import interruption
from bcl_mm.utils.errors import InputValueError

if __name__ == '__main__':
    interruption.watch()  # before the imports, which take seconds
    interruption.end_with_launcher()

# isort: split
from mmengine.config import Config
from mmengine.dist import is_main_process

from bcl_mm.apis.config import (
    add_common_options,
    build_runner,
    check_checkpoint,
    check_data_roots,
    check_work_dir,
    complete_model,
    is_explained,
    load_config,
    plain_errors,
)
from bcl_mm.apis.log_backends import add_log_backends, add_log_option
from bcl_mm.engine.hooks.checkpoint import CheckpointError
from bcl_mm.engine.hooks.progress import require_one_batch
from bcl_mm.engine.processes import leave_process_group
from bcl_mm.engine.resume import latest_checkpoint


def parse_args() -> argparse.Namespace:
    """Parse the options: those of mmpretrain's train.py, and --log."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='path of the config')
    add_common_options(parser)
    add_log_option(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='FILE',
        help='go on from a checkpoint; without FILE (or with "auto") from '
        'the latest one in the work dir',
    )
    parser.add_argument(
        '--no-validate', action='store_true', help='train without validation'
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate with the global batch size',
    )
    parser.add_argument(
        '--no-persistent-workers',
        action='store_true',
        help='start the data workers anew each epoch',
    )
    return parser.parse_args()


def find_checkpoint(work_dir: str) -> Optional[str]:
    """The checkpoint to go on from, None if there is none.

    Without one training starts from the beginning; a second stage then still
    starts from its ``load_from``.

    Raises:
        ValueError: There are checkpoints, but none is whole.
    """
    try:
        latest, problem = latest_checkpoint(work_dir)
    except ValueError as error:
        raise InputValueError(
            f'{error}: give another one, --resume FILE'
        ) from None
    if latest is None:
        message = f'There is no checkpoint in {work_dir}: starting anew.'
    else:
        message = f'Going on from {latest}, the newest whole checkpoint.'
    if problem is not None:
        message = f'{problem}. {message}'
    if latest is None or problem is not None:
        print(message, flush=True)
    return latest


def merge_options(cfg: Config, args: argparse.Namespace) -> None:
    """Apply the options of training to the config."""
    cfg.setdefault('resume', False)
    cfg.setdefault('load_from', None)
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if args.amp:
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    if args.resume not in (None, 'auto'):
        cfg.resume = True
        cfg.load_from = args.resume
    latest = None
    if args.resume == 'auto' or (cfg.resume and cfg.load_from is None):
        latest = find_checkpoint(cfg.work_dir)
        cfg.resume = latest is not None
    if latest is not None:
        cfg.load_from = latest
    elif cfg.load_from is not None:
        check_checkpoint(cfg.load_from, cfg.resume)
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


def train(cfg: Config) -> None:
    """Train, from the beginning or from a checkpoint."""
    runner = build_runner(cfg)
    # Here and not only in the hook: building schedules of an epoch without
    # iterations fails before the first hook runs.
    require_one_batch(runner.train_dataloader, runner.world_size)
    runner.train()
    leave_process_group()


def main() -> None:
    """Train; exit with 1, 130 (SIGINT) or 143 (SIGTERM) if it ends early."""
    args = parse_args()
    with plain_errors():
        cfg = load_config(args)
        interruption.watch(cfg.work_dir)
        merge_options(cfg, args)
        add_log_backends(cfg, args.log)
        check_data_roots(cfg, ('train_dataloader', 'val_dataloader'))
        complete_model(cfg, cfg.load_from if cfg.resume else None)
        check_work_dir(cfg.work_dir)
    try:
        train(cfg)
    except CheckpointError as error:
        # The other ranks have the same error; one of them tells it.
        sys.exit(f'Training ends: {error}' if is_main_process() else 1)
    except Exception as error:
        if 'DataLoader worker' in str(error):
            time.sleep(1)  # SIGTERM to all may reach the workers first
        if is_explained(error):
            message = str(error).strip()
            if 'DataLoader worker' in message:  # its traceback, then its words
                message = message.splitlines()[-1]
            print(f'{type(error).__name__}: {message}', file=sys.stderr)
        else:
            traceback.print_exc()
        latest = None
        if is_main_process():
            with contextlib.suppress(ValueError):
                latest, _ = latest_checkpoint(cfg.work_dir)
        sys.exit(f'--resume goes on from {latest}.' if latest else 1)


if __name__ == '__main__':
    main()
