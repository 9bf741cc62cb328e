"""Train configs with several seeds and write one table.

Runs that have been finished before are kept, recognised by their config,
options and seed; an interrupted one is resumed. A config of a second stage
waits for its first, which is added where it is missing. The figures are
those of the last epoch, in percent: mean and, with several seeds, standard
deviation. The table is printed and written to WORK_DIR/results.md and
results.csv.
"""

from __future__ import annotations

import argparse
import csv
import signal
import statistics
import subprocess
import sys
import traceback
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from mmengine.config import Config

from bcl_mm.apis.comparison import TOOLS, Launcher, Run, RunError
from bcl_mm.apis.log_backends import add_log_option, check_log_packages
from bcl_mm.utils.errors import InputValueError

COLUMNS = dict(
    top1='top-1', many='many-shot', medium='medium-shot', few='few-shot'
)


def parse_args() -> argparse.Namespace:
    """Parse the options."""

    def positive(text: str) -> int:
        if not text.isdecimal() or int(text) < 1:
            raise argparse.ArgumentTypeError(
                f'must be a whole number >= 1, got {text!r}'
            )
        return int(text)

    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('configs', nargs='+', metavar='CONFIG')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0])
    parser.add_argument('--work-dir', type=Path, default='work_dirs/compare')
    parser.add_argument(
        '--jobs', type=positive, default=1, help='runs side by side'
    )
    parser.add_argument(
        '--gpus',
        type=positive,
        default=1,
        help='GPUs (or, without GPU, CPU processes) of each run',
    )
    add_log_option(parser)
    parser.add_argument(
        '--report',
        action='store_true',
        help='write WORK_DIR/report.html, which shows what the table cannot '
        '(tools/report.py makes one of any runs)',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='settings that all runs share, as for train.py',
    )
    args = parser.parse_args()
    args.seeds = list(dict.fromkeys(args.seeds))
    for config in args.configs:
        if not Path(config).is_file():
            parser.error(f'there is no config {config!r}')
    for option in args.cfg_options:
        if '=' not in option:
            parser.error(f'--cfg-options must be KEY=VALUE, got {option!r}')
    try:
        args.work_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f'--work-dir {args.work_dir}: {error.strerror}')
    return args


def plan(args: argparse.Namespace) -> List[Run]:
    """All runs, each after the first stage that it starts from.

    Raises:
        ValueError: A config cannot be read.
    """
    configs: Dict[Path, Config] = {}
    runs: Dict[tuple, Run] = {}

    def add(path: Path, seed: int, later: Tuple[Path, ...] = ()) -> Run:
        key = path.resolve(), seed
        if key[0] in later:
            raise InputValueError(
                f'{path}: first_stage leads back to this config'
            )
        if key not in runs:
            if key[0] not in configs:
                try:
                    configs[key[0]] = Config.fromfile(path)
                except Exception as error:  # a config is Python
                    raise InputValueError(f'{path}: {error}') from error
            cfg = configs[key[0]]
            name = cfg.get('first_stage')
            first = None
            if name:
                first = add(path.parent / name, seed, (*later, key[0]))
            runs[key] = Run(
                str(path), cfg, seed, args.cfg_options, args.work_dir, first
            )
        return runs[key]

    for config in args.configs:
        for seed in args.seeds:
            add(Path(config), seed)
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
    """The table as CSV, means and standard deviations apart."""
    with path.open('w', newline='', encoding='utf-8') as file:
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
    """Bring all runs to their end; returns what went wrong."""
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
    # First stages stand before their second ones, and so start before.
    with ThreadPoolExecutor(launcher.jobs) as pool:
        try:
            for run in runs:
                tasks[run.folder] = pool.submit(finish, run)
            for done, task in enumerate(as_completed(tasks.values()), 1):
                error = task.exception()
                if error is not None:
                    if not isinstance(error, RunError):
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
    """Make a page of the finished runs; returns what went wrong."""
    folders = [str(run.folder) for row in rows for run in row['runs']]
    command = [sys.executable, str(TOOLS / 'report.py'), *folders]
    if subprocess.run([*command, '-o', str(path)]).returncode:
        return ['The report failed; the table is there.']
    return []


def main() -> None:
    """Train all, then write the table; exit with 1 if a run failed."""
    args = parse_args()
    # Scheduled machines end a job with SIGTERM: end what trains, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        check_log_packages(args.log)
        launcher = Launcher(args.gpus, args.jobs, args.log)
        runs = plan(args)
    except ValueError as error:
        sys.exit(str(error))
    try:
        failures = finish_all(runs, launcher)
    except KeyboardInterrupt:
        sys.exit('Interrupted: the same command goes on from here.')
    rows = summarise(runs)
    if rows:
        table = markdown(rows)
        print(f'\nSeeds {args.seeds}, last epoch:\n\n{table}')
        (args.work_dir / 'results.md').write_text(table + '\n')
        write_csv(rows, args.work_dir / 'results.csv')
        print(f'\nWritten to {args.work_dir}/results.md and results.csv')
        if args.report:
            failures += write_report(rows, args.work_dir / 'report.html')
    for failure in failures:
        print(failure, file=sys.stderr)
    sys.exit(bool(failures))


if __name__ == '__main__':
    main()
