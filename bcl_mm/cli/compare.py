"""Train configs with several seeds and write one table.

Finished runs, recognised by their config, options and seed, are kept;
interrupted ones are resumed. A config of a second stage waits for its first
stage, which is added if it is missing. The figures are those of the last
epoch, in percent: mean and, with several seeds, standard deviation. The table
is printed and written to WORK_DIR/results.md and results.csv.
"""

from __future__ import annotations

import argparse
import csv
import os
import signal
import statistics
import subprocess
import sys
import traceback
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Dict, List, Optional, Tuple, Union

from bcl_mm.apis.comparison import COMMAND, Launcher, Run, RunError
from bcl_mm.apis.locations import find_config
from bcl_mm.apis.log_backends import check_log_packages
from bcl_mm.cli.options import add_cfg_options, add_log_option, whole_number
from bcl_mm.utils.errors import InputError, InputValueError
from bcl_mm.utils.files import open_atomically, write_atomically

if TYPE_CHECKING:
    from mmengine.config import Config

COLUMNS = dict(
    top1='top-1', many='many-shot', medium='medium-shot', few='few-shot'
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        'configs',
        nargs='+',
        metavar='CONFIG',
        help='paths of configs, or names of configs that come with bcl_mm',
    )
    parser.add_argument('--seeds', type=int, nargs='+', default=[0])
    parser.add_argument(
        '--jobs', type=whole_number(1), default=1, help='runs side by side'
    )
    parser.add_argument(
        '--gpus',
        type=whole_number(1),
        default=1,
        help='GPUs (or, without GPU, CPU processes) of each run',
    )
    add_log_option(parser)
    parser.add_argument(
        '--report',
        action='store_true',
        help='write WORK_DIR/report.html, which shows more than the table '
        '(bcl-mm report writes one of any runs)',
    )
    add_cfg_options(parser)
    parser.add_argument('--work-dir', type=Path, default='work_dirs/compare')


def plan(args: argparse.Namespace) -> List[Run]:
    """All runs, each after the first stage that it starts from.

    Raises:
        InputError: A config does not exist, or cannot be read.
    """
    from bcl_mm.apis.config import read_config

    configs: Dict[str, Config] = {}
    runs: Dict[Tuple[str, int], Run] = {}

    def add(path: str, seed: int, later: Tuple[str, ...] = ()) -> Run:
        real_path = os.path.realpath(path)
        if real_path in later:
            raise InputValueError(
                f'{path}: first_stage leads back to this config'
            )
        key = real_path, seed
        if key not in runs:
            if real_path not in configs:
                configs[real_path] = read_config(path)
            cfg = configs[real_path]
            name = cfg.get('first_stage')
            first = None
            if name:
                first_path = find_config(name, os.path.dirname(path))
                first = add(first_path, seed, (*later, real_path))
            runs[key] = Run(
                path, cfg, seed, args.cfg_options, args.work_dir, first
            )
        return runs[key]

    for config in args.configs:
        for seed in dict.fromkeys(args.seeds):
            add(find_config(config), seed)
    return list(runs.values())


def summarise(runs: List[Run]) -> List[Dict[str, object]]:
    """One row of figures per config, over its finished runs."""
    rows: Dict[str, Dict[str, object]] = {}
    for run in runs:
        if run.is_finished:
            rows.setdefault(run.config, dict(runs=[]))['runs'].append(run)
    for config, row in rows.items():
        cfg, notes = row['runs'][0].cfg, [run.note for run in row['runs']]
        stem = Path(config).stem
        row['method'] = cfg.get('method_name', stem.split('_')[0])
        row['config'] = stem
        row['seeds'] = [note['seed'] for note in notes]
        for column in COLUMNS:
            # A group without classes has no figure.
            row[column] = [
                note['figures'][f'accuracy/{column}']
                for note in notes
                if f'accuracy/{column}' in note['figures']
            ]
        row['seconds'] = [
            note['seconds_per_epoch']
            for note in notes
            if note['seconds_per_epoch'] is not None
        ]
        commits = [commit for note in notes for commit in note['commits']]
        row['commits'] = list(dict.fromkeys(commits))
    return list(rows.values())


def _deviation(values: List[float]) -> Optional[float]:
    return statistics.stdev(values) if len(values) > 1 else None


def markdown(rows: List[Dict[str, object]]) -> str:
    """The table as Markdown."""
    lines = [
        ['method', 'config', *COLUMNS.values(), 's / epoch', 'commit'],
        ['---', '---', *['---:'] * (len(COLUMNS) + 1), '---'],
    ]
    for row in rows:
        line = [row['method'], row['config']]
        for column in COLUMNS:
            values = row[column]
            cell = f'{statistics.mean(values):.1f}' if values else ''
            if len(values) > 1:
                cell += f' ± {_deviation(values):.1f}'
            line.append(cell)
        seconds = row['seconds']
        line.append(f'{statistics.median(seconds):.3g}' if seconds else '')
        lines.append([*line, ', '.join(row['commits'])])
    widths = [max(map(len, column)) for column in zip(*lines)]
    return '\n'.join(
        '| '
        + ' | '.join(cell.ljust(w) for cell, w in zip(line, widths))
        + ' |'
        for line in lines
    )


def write_csv(rows: List[Dict[str, object]], path: Path) -> None:
    """Write the table as CSV, with a column for each standard deviation."""
    with open_atomically(path, newline='') as file:
        writer = csv.writer(file)
        parts = ('mean', 'std')
        figures = [f'{column}_{part}' for column in COLUMNS for part in parts]
        writer.writerow(
            ['method', 'config', 'seeds', *figures]
            + ['seconds_per_epoch', 'commits', 'folders']
        )
        for row in rows:
            line = [row['method'], row['config']]
            line.append(' '.join(map(str, row['seeds'])))
            for column in COLUMNS:
                values = row[column]
                line.append(statistics.mean(values) if values else None)
                line.append(_deviation(values))
            seconds = row['seconds']
            line.append(statistics.median(seconds) if seconds else None)
            line.append(' '.join(row['commits']))
            line.append(' '.join(str(run.folder) for run in row['runs']))
            writer.writerow(line)


def finish_all(runs: List[Run], launcher: Launcher) -> List[str]:
    """Finish all runs; returns messages of those that failed."""
    tasks: Dict[Path, Future] = {}

    def finish(run: Run) -> None:
        if run.first:
            try:
                tasks[run.first.folder].result()
            except Exception as error:
                raise RunError(
                    f'{run.name} failed: its first stage did'
                ) from error
        launcher.finish(run)

    failures = []
    # First stages come before their second ones, and so start before them.
    with ThreadPoolExecutor(launcher.jobs) as pool:
        try:
            for run in runs:
                tasks[run.folder] = pool.submit(finish, run)
            for done, task in enumerate(as_completed(tasks.values()), 1):
                error = task.exception()
                if error is not None:
                    if not isinstance(error, InputError):
                        traceback.print_exception(error)
                    print(error, file=sys.stderr, flush=True)
                    failures.append(str(error))
                print(f'[{done} of {len(runs)} runs]', flush=True)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            launcher.stop()
            raise
    return failures


def write_report(rows: List[Dict[str, object]], path: Path) -> List[str]:
    """Make a page of the finished runs; returns messages of failures."""
    folders = [str(run.folder) for row in rows for run in row['runs']]
    command = [*COMMAND, 'report', *folders, '-o', str(path)]
    if subprocess.run(command).returncode:
        return ['The report failed; the table is written.']
    return []


def run(args: argparse.Namespace) -> Union[bool, str]:
    """Train all, then write the table; exits with 1 if a run failed."""
    # Scheduled machines end a job with SIGTERM: end the trainings, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        args.work_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        args.error(f'--work-dir {args.work_dir}: {error.strerror}')
    check_log_packages(args.log)
    runs = plan(args)
    launcher = Launcher(args.gpus, args.jobs, args.log)
    try:
        failures = finish_all(runs, launcher)
    except KeyboardInterrupt:
        return 'Interrupted: the same command resumes.'
    rows = summarise(runs)
    if rows:
        table = markdown(rows)
        seeds = list(dict.fromkeys(args.seeds))
        print(f'\nSeeds {seeds}, last epoch:\n\n{table}')
        write_atomically(f'{table}\n', args.work_dir / 'results.md')
        write_csv(rows, args.work_dir / 'results.csv')
        print(f'\nWritten to {args.work_dir}/results.md and results.csv')
        if args.report:
            failures += write_report(rows, args.work_dir / 'report.html')
    for failure in failures:
        print(failure, file=sys.stderr)
    return bool(failures)
