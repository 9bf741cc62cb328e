"""Train a model from a config."""

from __future__ import annotations

import argparse
from pathlib import Path

from cli import (
    add_common_options,
    build_runner,
    check_checkpoint,
    check_data_roots,
    load_config,
)
from mmengine.config import Config

from bcl_mm.distributed import leave_process_group
from bcl_mm.hooks import require_one_batch


def parse_args() -> argparse.Namespace:
    """Parse the options, which are those of mmpretrain's train.py."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='path of the config')
    add_common_options(parser)
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


def has_checkpoint(work_dir: Path) -> bool:
    """Whether there is a checkpoint to go on from.

    Without one training starts from the beginning; a second stage then still
    starts from its ``load_from``.

    Raises:
        ValueError: There are checkpoints, but the latest is not known, or
            damaged.
        FileNotFoundError: The latest is known, but missing.
    """
    note = work_dir / 'last_checkpoint'
    latest = note.read_text().strip() if note.is_file() else ''
    if latest:
        try:
            check_checkpoint(latest)
        except (ValueError, FileNotFoundError) as error:
            raise type(error)(
                f'{error} (named by {note}): give another one of '
                f'{work_dir}, --resume FILE'
            ) from error
        return True
    if any(work_dir.glob('*.pth')):
        raise ValueError(
            f'{work_dir} holds checkpoints, but {note} does not say which is '
            'the latest: give one, --resume FILE'
        )
    print(f'There is no checkpoint in {work_dir}: starting anew.', flush=True)
    return False


def merge_options(cfg: Config, args: argparse.Namespace) -> None:
    """Apply the options of training to the config."""
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if args.amp:
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    if args.resume == 'auto':
        cfg.resume = has_checkpoint(Path(cfg.work_dir))
        if cfg.resume:
            cfg.load_from = None
    elif args.resume is not None:
        cfg.resume = True
        cfg.load_from = args.resume
    if cfg.get('load_from') is not None:
        check_checkpoint(cfg.load_from)
    if args.auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise ValueError(
                '--auto-scale-lr needs auto_scale_lr.base_batch_size in the '
                'config: the batch size that its learning rate is meant for'
            )
        cfg.auto_scale_lr.enable = True
    if args.no_persistent_workers:
        for loader in ('train_dataloader', 'val_dataloader'):
            if cfg.get(loader) is not None:
                cfg[loader].persistent_workers = False


def main() -> None:
    """Train."""
    args = parse_args()
    cfg = load_config(args)
    merge_options(cfg, args)
    check_data_roots(cfg, ('train_dataloader', 'val_dataloader'))
    runner = build_runner(cfg)
    # Here and not only in the hook: building schedules of an epoch without
    # iterations fails before the first hook runs.
    require_one_batch(runner.train_dataloader, runner.world_size)
    runner.train()
    leave_process_group()


if __name__ == '__main__':
    main()
