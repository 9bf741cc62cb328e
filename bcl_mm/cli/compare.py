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


def summarise(runs: List[Run]) -> Dict[str, object]:
    """One row of the CSV file: the figures of a config's finished runs."""
    notes = [run.note for run in runs]
    stem = Path(runs[0].config).stem
    row: Dict[str, object] = dict(
        method=runs[0].cfg.get('method_name', stem.split('_')[0]),
        config=stem,
        seeds=' '.join(str(note['seed']) for note in notes),
    )
    for column in COLUMNS:
        found = [note['figures'].get(f'accuracy/{column}') for note in notes]
        # A group without classes has no figure.
        values = [value for value in found if value is not None]
        row[f'{column}_mean'] = statistics.mean(values) if values else None
        is_spread = len(values) > 1
        row[f'{column}_std'] = statistics.stdev(values) if is_spread else None
    times = [note['seconds_per_epoch'] for note in notes]
    times = [time for time in times if time is not None]
    row['seconds_per_epoch'] = statistics.median(times) if times else None
    commits = [commit for note in notes for commit in note['commits']]
    row['commits'] = ' '.join(dict.fromkeys(commits))
    row['folders'] = ' '.join(str(run.folder) for run in runs)
    return row


def _cell(value: Optional[float], form: str) -> str:
    return '' if value is None else format(value, form)


def markdown(rows: List[Dict[str, object]]) -> str:
    """The table as Markdown."""
    lines = [
        ['method', 'config', *COLUMNS.values(), 's / epoch', 'commit'],
        ['---', '---', *['---:'] * (len(COLUMNS) + 1), '---'],
    ]
    for row in rows:
        line = [row['method'], row['config']]
        for column in COLUMNS:
            mean = _cell(row[f'{column}_mean'], '.1f')
            deviation = _cell(row[f'{column}_std'], '.1f')
            line.append(f'{mean} ± {deviation}' if deviation else mean)
        line.append(_cell(row['seconds_per_epoch'], '.3g'))
        lines.append([*line, row['commits'].replace(' ', ', ')])
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
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


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


def write_report(runs: List[Run], path: Path) -> List[str]:
    """Make a page of finished runs; returns messages of failures."""
    folders = [str(run.folder) for run in runs]
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
    finished: Dict[str, List[Run]] = {}
    for one in runs:
        if one.is_finished:
            finished.setdefault(one.config, []).append(one)
    if finished:
        rows = [summarise(group) for group in finished.values()]
        table = markdown(rows)
        seeds = list(dict.fromkeys(args.seeds))
        print(f'\nSeeds {seeds}, last epoch:\n\n{table}')
        write_atomically(f'{table}\n', args.work_dir / 'results.md')
        write_csv(rows, args.work_dir / 'results.csv')
        print(f'\nWritten to {args.work_dir}/results.md and results.csv')
        if args.report:
            failures += write_report(
                sum(finished.values(), []), args.work_dir / 'report.html'
            )
    for failure in failures:
        print(failure, file=sys.stderr)
    return bool(failures)
