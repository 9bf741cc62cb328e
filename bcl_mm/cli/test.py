"""Test a checkpoint."""

from __future__ import annotations

import argparse
from pathlib import Path

from bcl_mm.apis.locations import make_folder
from bcl_mm.cli.options import add_common_options, add_config

# Formats of --out: of metrics, and of predictions.
FORMATS = dict(
    metrics=('.json', '.yaml', '.yml', '.pkl', '.pickle'),
    pred=('.pkl', '.pickle'),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options, which are those of mmpretrain's test.py."""
    add_config(parser)
    parser.add_argument('checkpoint', help='path of the checkpoint')
    add_common_options(parser)
    parser.add_argument(
        '--out', type=Path, metavar='FILE', help='for predictions or metrics'
    )
    parser.add_argument(
        '--out-item',
        choices=list(FORMATS),
        help='what --out receives; predictions by default',
    )


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

    from bcl_mm.apis import config
    from bcl_mm.apis.build_errors import explained_build_errors
    from bcl_mm.engine.processes import leave_process_group
    from bcl_mm.evaluation import DumpPredictions
    from bcl_mm.utils.files import write_atomically

    if args.out:
        make_folder('folder of --out', args.out.parent)
    cfg = config.load_config(args, whole=True)
    config.check_checkpoint(args.checkpoint)
    config.check_data_roots(cfg, ('test_dataloader',))
    config.complete_model(cfg, args.checkpoint)
    cfg.load_from = args.checkpoint
    if args.amp:
        cfg.test_cfg.fp16 = True
    with explained_build_errors(cfg):
        runner = config.build_runner(cfg)
        if args.out and item == 'pred':
            dump = DumpPredictions(str(args.out))
            runner.test_evaluator.metrics.append(dump)
        metrics = runner.test()
    if args.out and item == 'metrics' and runner.rank == 0:
        content = mmengine.dump(metrics, file_format=args.out.suffix[1:])
        write_atomically(content, args.out)
    del runner
    leave_process_group()
