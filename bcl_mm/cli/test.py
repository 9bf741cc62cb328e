"""Test a checkpoint."""

from __future__ import annotations

import argparse

import mmengine
from mmengine.evaluator import DumpResults

from bcl_mm.apis.config import (
    add_common_options,
    build_runner,
    check_checkpoint,
    check_data_roots,
    complete_model,
    load_config,
    plain_errors,
)
from bcl_mm.engine.processes import leave_process_group


def parse_args() -> argparse.Namespace:
    """Parse the options, which are those of mmpretrain's test.py."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='path of the config')
    parser.add_argument('checkpoint', help='path of the checkpoint')
    add_common_options(parser)
    parser.add_argument('--out', help='file for predictions or metrics')
    parser.add_argument(
        '--out-item',
        choices=['metrics', 'pred'],
        help='what --out receives; predictions by default',
    )
    args = parser.parse_args()
    if args.out is None and args.out_item is not None:
        parser.error('--out-item needs --out FILE')
    return args


def main() -> None:
    """Test."""
    args = parse_args()
    with plain_errors():
        cfg = load_config(args)
        check_checkpoint(args.checkpoint)
        check_data_roots(cfg, ('test_dataloader',))
        complete_model(cfg, args.checkpoint)
    cfg.load_from = args.checkpoint
    if args.amp:
        cfg.test_cfg.fp16 = True
    runner = build_runner(cfg)
    if args.out and args.out_item != 'metrics':
        runner.test_evaluator.metrics.append(DumpResults(args.out))
    metrics = runner.test()
    if args.out and args.out_item == 'metrics':
        mmengine.dump(metrics, args.out)
    leave_process_group()


if __name__ == '__main__':
    main()
