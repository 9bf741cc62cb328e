"""Train configs with several seeds and write one table.

Finished runs, recognised by their config, options and seed, are kept;
interrupted ones are resumed. A config of a second stage waits for its first
stage, which is added if it is missing. The figures are those of the last
epoch, in percent: mean and, with several seeds, standard deviation. The table
is printed and written to WORK_DIR/results.md and results.csv.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Optional

from bcl_mm.apis.locations import make_folder
from bcl_mm.apis.log_backends import check_log_packages
from bcl_mm.cli.options import add_cfg_options, add_log_option, whole_number
from bcl_mm.utils.errors import InputValueError, visible


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = parser.add_argument
    add(
        'configs',
        nargs='+',
        metavar='CONFIG',
        help='paths of configs, or names of configs that come with bcl_mm',
    )
    seed = whole_number(0, 2**32 - 1)
    add('--seeds', type=seed, nargs='+', default=[0])
    add(
        '--folds',
        nargs='+',
        metavar='FOLD',
        help='names of folds: each replaces {fold} in --cfg-options, such as '
        'data_root=PATH_{fold}.csv',
    )
    add(
        '--reference',
        metavar='NAME',
        help='config, or method, that the others are compared with (default: '
        'the first one)',
    )
    add(
        '--part',
        choices=('test', 'val'),
        default='test',
        help='images that the figures are of: the test images, or those of '
        'the last validation, for choosing settings (default: test)',
    )
    number = whole_number(1)
    add('--jobs', type=number, default=1, help='runs side by side')
    add(
        '--gpus',
        type=number,
        default=1,
        help='GPUs (or, without GPU, CPU processes) of each run',
    )
    add_log_option(parser)
    add(
        '--report',
        action='store_true',
        help='write WORK_DIR/report.html, which shows more than the table '
        '(bcl-mm report writes one of any runs)',
    )
    add_cfg_options(parser)
    add('--work-dir', type=Path, default='work_dirs/compare')


def stop_on_signals() -> None:
    """Let SIGINT and SIGTERM end the trainings, and be named."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)


def _stop(number: int, frame: Optional[FrameType]) -> None:
    """Say which signal came, and exit; the launcher ends the trainings."""
    for other in (signal.SIGINT, signal.SIGTERM):
        signal.signal(other, signal.SIG_DFL)  # a second one ends it at once
    name = signal.Signals(number).name
    line = f'Interrupted by {name}: the same command resumes.\n'
    os.write(2, line.encode())  # it may have come in the middle of a print
    sys.exit(128 + number)


def run(args: argparse.Namespace) -> bool:
    """Train all, then write the table.

    Exits with 1 if a run failed, 130 after SIGINT, and 143 after SIGTERM.
    """
    stop_on_signals()
    make_folder('--work-dir', args.work_dir)
    check_log_packages(args.log)
    from bcl_mm.apis.comparison import COMMAND, check_data, plan_runs
    from bcl_mm.apis.comparison_table import (
        find_reference,
        make_table,
        markdown,
        write_table,
    )
    from bcl_mm.apis.launcher import Launcher

    if args.folds and args.report:
        raise InputValueError(
            '--report shows runs of the same images: leave it out with '
            '--folds, and report one fold with bcl-mm report'
        )
    runs = plan_runs(
        args.configs,
        args.seeds,
        args.cfg_options,
        args.work_dir,
        args.folds or [None],
        args.part,
    )
    reference = find_reference(runs, args.reference)
    check_data(runs)
    failures = Launcher(args.gpus, args.jobs, args.log).finish_all(runs)
    finished = [one.record() for one in runs if one.is_finished]
    if finished:
        rows = make_table(finished, reference)
        seeds = list(dict.fromkeys(args.seeds))
        which = f'Seed{"s" * (len(seeds) > 1)} {", ".join(map(str, seeds))}'
        if args.folds:
            which += f', folds {", ".join(dict.fromkeys(args.folds))}'
        if args.part == 'val':
            which += ', validation images'
        print(f'\n{which}, last epoch:\n\n{markdown(rows)}')
        write_table(rows, args.work_dir)
        print(f'\nWritten to {args.work_dir}/results.md and results.csv')
        if args.report:
            folders = [one.folder for one in finished]
            page = args.work_dir / 'report.html'
            command = [*COMMAND, 'report', *folders, '-o', page]
            command += ['--allow-code'] * args.allow_code
            if subprocess.run(command).returncode:
                failures.append(
                    'The report has failed, or lacks runs (see above); the '
                    'table is written.'
                )
    for failure in failures:
        print(visible(failure), file=sys.stderr)
    return bool(failures)
