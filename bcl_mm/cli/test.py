"""Test a checkpoint."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from bcl_mm.apis.locations import make_folder
from bcl_mm.cli.options import (
    AMP_TYPES,
    add_common_options,
    add_model,
    whole_number,
)
from bcl_mm.utils.errors import InputValueError

# Formats of --out: of metrics, and of predictions.
FORMATS = dict(
    metrics=('.json', '.yaml', '.yml', '.pkl', '.pickle'),
    pred=('.pkl', '.pickle'),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options, which are those of mmpretrain's test.py."""
    add_model(parser)
    add_common_options(parser)
    parser.add_argument(
        '--out', type=Path, metavar='FILE', help='for predictions or metrics'
    )
    parser.add_argument(
        '--out-item',
        choices=list(FORMATS),
        help='what --out receives; predictions by default',
    )
    parser.add_argument(
        '--tta',
        action='store_true',
        help="average the scores of test-time augmentations: the config's "
        'tta_model and tta_pipeline, or the image and its mirror image',
    )
    parser.add_argument(
        '--show-dir', metavar='FOLDER', help='save images with predictions'
    )
    parser.add_argument(
        '--show', action='store_true', help='show them in a window'
    )
    parser.add_argument(
        '--interval',
        type=whole_number(1),
        default=1,
        metavar='N',
        help='show or save every Nth image (default: 1)',
    )
    parser.add_argument(
        '--wait-time',
        type=float,
        default=2,
        metavar='SECONDS',
        help='how long each window is shown (default: 2)',
    )


def _show_images(cfg: Any, args: argparse.Namespace) -> None:
    """Let a hook draw the predictions."""
    if args.tta:
        args.error('--show and --show-dir draw no images of --tta')
    if args.show_dir is not None:
        make_folder('--show-dir', args.show_dir)
    settings = dict(cfg.default_hooks.get('visualization') or {})
    settings.update(
        type='bcl_mm.PredictionImagesHook',
        enable=True,
        show=args.show,
        wait_time=args.wait_time,
        out_dir=args.show_dir,
        interval=args.interval,
    )
    cfg.default_hooks.visualization = settings


def _augment(cfg: Any) -> None:
    """Wrap the model for test-time augmentation."""
    dataset = cfg.test_dataloader.dataset
    if 'tta_pipeline' not in cfg:
        if cfg.get('augmentation') == 'symbols':
            raise InputValueError(
                '--tta averages the scores of an image and its mirror image, '
                "which is another symbol (augmentation='symbols'): set "
                'tta_pipeline in the config, or leave --tta out'
            )
        *steps, last = dataset.pipeline
        flips = [dict(type='RandomFlip', prob=p) for p in (1.0, 0.0)]
        views = dict(type='TestTimeAug', transforms=[flips, [last]])
        cfg.tta_pipeline = [*steps, views]
    tta_model = cfg.get(
        'tta_model', dict(type='mmpretrain.AverageClsScoreTTA')
    )
    cfg.model = dict(**tta_model, module=cfg.model)
    dataset.pipeline = cfg.tta_pipeline


def run(args: argparse.Namespace) -> None:
    """Test."""
    if args.out is None and args.out_item is not None:
        args.error('--out-item needs --out FILE')
    item = args.out_item or 'pred'
    if args.out is not None and args.out.suffix not in FORMATS[item]:
        args.error(
            f'--out must end in {" or ".join(FORMATS[item])}, got {args.out}'
        )
    import mmengine
    import torch

    from bcl_mm.apis import config
    from bcl_mm.apis.build_errors import explained_build_errors
    from bcl_mm.apis.runner import build_runner
    from bcl_mm.apis.runs import method_name
    from bcl_mm.apis.trained_models import find_model
    from bcl_mm.engine.processes import leave_process_group, starts_first
    from bcl_mm.engine.terminal import Terminal
    from bcl_mm.evaluation import DumpPredictions
    from bcl_mm.utils.files import write_atomically

    if args.out:
        make_folder('folder of --out', args.out.parent)
    found = find_model(
        args.config, args.checkpoint, args.select, args.allow_code
    )
    args.config, args.checkpoint = found.config, found.checkpoint
    if found.folder is not None and args.work_dir is None:
        args.work_dir = str(found.folder / 'test')  # beside, not over it
    cfg = config.load_config(args, whole=True)
    make_folder('work_dir', cfg.work_dir)
    config.check_checkpoint(args.checkpoint)
    config.check_data_roots(cfg, ('test_dataloader',))
    config.complete_model(cfg, args.checkpoint)
    cfg.load_from, cfg.resume = args.checkpoint, False
    if starts_first(cfg.launcher):
        print(f'Model: {found.summary}', file=sys.stderr, flush=True)
    if args.amp:
        cfg.test_cfg.fp16 = True  # autocast, of any type
    device = None
    if torch.accelerator.is_available():  # or torch 2.6 raises
        device = torch.accelerator.current_accelerator()
    if args.amp in AMP_TYPES and device is not None:
        dtype = getattr(torch, AMP_TYPES[args.amp])
        torch.set_autocast_dtype(device.type, dtype)
    if args.show or args.show_dir is not None:
        _show_images(cfg, args)
    if args.tta:
        _augment(cfg)
    terminal = None
    if not args.verbose:
        terminal = Terminal(method_name(cfg))
    with explained_build_errors(cfg):
        runner = build_runner(cfg, terminal)
        if args.out and item == 'pred':
            dump = DumpPredictions(str(args.out))
            runner.test_evaluator.metrics.append(dump)
        metrics = runner.test()
    if args.out and item == 'metrics' and runner.rank == 0:
        content = mmengine.dump(metrics, file_format=args.out.suffix[1:])
        write_atomically(content, args.out)
    del runner
    leave_process_group()
