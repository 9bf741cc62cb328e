"""Check the data sets of a config before training on them.

Reports their figures and lists every problem: missing and unreadable files,
labels and classes that do not agree, duplicates, images in both training and
test set, and figures that differ from the published ones. Exits with 1 if
there is a problem, and with 2 if the command is wrong. Warnings do not count.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from typing import TYPE_CHECKING, Optional

from bcl_mm.cli import print_any_name
from bcl_mm.cli.arguments import output_file
from bcl_mm.cli.options import add_cfg_options, add_config, whole_number
from bcl_mm.utils.errors import InputError, counted

if TYPE_CHECKING:
    from bcl_mm.apis.data_check import CheckResult


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
    parser.add_argument(
        '--histogram',
        type=output_file('.png'),
        metavar='FILE',
        help='draw the images per class into a PNG file',
    )
    parser.add_argument(
        '--fix-list',
        type=output_file('.csv'),
        metavar='FILE',
        help='write a CSV file of the images to exclude, which own data take '
        'as exclude=FILE',
    )


def run(args: argparse.Namespace) -> int:
    """Check and report; returns 1 if there is a problem."""
    from bcl_mm.apis import data_check
    from bcl_mm.apis.config import load_config
    from bcl_mm.apis.from_data import LOADERS
    from bcl_mm.datasets.exclusions import write_exclusions

    print_any_name()
    try:
        cfg = load_config(args)
    except InputError as error:
        args.error(str(error))
    if not any(cfg.get(loader) for loader in LOADERS):
        args.error(f'{args.config} has none of {", ".join(LOADERS)}')
    result = data_check.check_datasets(cfg, args.fast, args.workers)
    splits = result.splits
    if splits and args.counts is not None:
        data_check.write_counts(args.counts, splits)
    if splits and args.histogram is not None:
        from bcl_mm.report.class_histogram import write_class_histogram

        names = map(
            splits[0].name_of_class, range(len(splits[0].class_counts))
        )
        write_class_histogram(
            args.histogram, splits[0].class_counts, list(names)
        )
    show_result(result, None if args.all else 10)
    if args.fix_list is not None:
        # One list is followed at a time: it has those of before, too.
        write_exclusions(args.fix_list, result.to_exclude)
        number, new = len(result.to_exclude), len(result.exclusions)
        before = f', {number - new:,} of them from before' * (number > new)
        what = f'{counted(number, "image")} to exclude{before}'
        print(f'\n{args.fix_list} lists {what}.')
    return bool(result.problems)


def show_result(result: CheckResult, most: Optional[int] = 10) -> None:
    """Print what a check found.

    Args:
        result: What it found.
        most: Findings of one kind that are written out. Defaults to 10;
            None: all.
    """
    from bcl_mm.apis.data_check import describe

    print(encodable(describe(result, most)), flush=True)


def encodable(text: str) -> str:
    """Text whose bars the terminal can show."""
    try:
        text.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        return re.sub('[█-▏]', '#', text)
    return text
