"""Check the data sets of a config before training on them.

Reports their figures and lists every problem: missing and unreadable files,
labels and classes that do not agree, duplicates, images in both training and
test set, and figures that differ from the published ones. Exits with 1 if
there is a problem, and with 2 if the command is wrong.
"""

from __future__ import annotations

import argparse
import os
import sys

from bcl_mm.cli.arguments import output_file
from bcl_mm.cli.options import add_cfg_options, add_config, whole_number
from bcl_mm.utils.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_config(parser)
    add_cfg_options(parser)
    parser.add_argument(
        '--workers',
        type=whole_number(1),
        default=os.cpu_count() or 1,
        metavar='N',
        help='processes that decode images (default: one per core)',
    )
    parser.add_argument(
        '--fast',
        action='store_true',
        help='only check that files exist and are not empty; decode none',
    )
    parser.add_argument(
        '--all',
        action='store_true',
        help='write out all findings, not the first 10 of each kind',
    )
    parser.add_argument(
        '--counts',
        type=output_file(),
        metavar='FILE',
        help='write the images per class to a CSV file',
    )


def run(args: argparse.Namespace) -> int:
    """Check and report; returns 1 if there is a problem."""
    from bcl_mm.apis import data_check
    from bcl_mm.apis.config import load_config
    from bcl_mm.apis.from_data import LOADERS

    # A file name need not be valid text.
    sys.stdout.reconfigure(errors='backslashreplace')
    try:
        cfg = load_config(args)
    except InputError as error:
        args.error(str(error))
    if not any(cfg.get(loader) for loader in LOADERS):
        args.error(f'{args.config} has none of {", ".join(LOADERS)}')
    result = data_check.check_datasets(cfg, args.fast, args.workers)
    if result.splits and args.counts is not None:
        data_check.write_counts(args.counts, result.splits)
    for split in result.splits:
        print(data_check.describe_split(split))
    print(f'\n{result.describe(None if args.all else 10)}')
    return bool(result.problems)
