"""Train configs with several seeds and print one table.

The figures are those of the last epoch, in percent: mean and, with several
seeds, standard deviation.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, List, Sequence

import numpy as np

TRAIN = Path(__file__).resolve().with_name('train.py')
METHODS = dict(ce='cross-entropy', la='logit adjustment', bcl='BCL')
COLUMNS = dict(
    top1='top-1', many='many-shot', medium='medium-shot', few='few-shot'
)


def parse_args() -> argparse.Namespace:
    """Parse the options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('configs', nargs='+', metavar='CONFIG')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0])
    parser.add_argument('--work-dir', type=Path, default='work_dirs/compare')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='settings that all runs share, as for train.py',
    )
    return parser.parse_args()


def last_scalars(run: Path) -> Dict[str, float]:
    """The last validation's figures in a run's newest log.

    Raises:
        ValueError: The run has no validation.
    """
    logs = sorted(run.glob('*/vis_data/scalars.json'))
    lines = logs[-1].read_text().splitlines() if logs else []
    for line in reversed(lines):
        scalars = json.loads(line)
        if 'accuracy/top1' in scalars:
            return scalars
    raise ValueError(f'{run} has no validation results')


def train(config: str, seed: int, run: Path, options: Sequence[str]) -> str:
    """Train one run, showing its progress; returns what went wrong, or ''."""
    run.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(TRAIN), config, '--work-dir', str(run)]
    command += ['--cfg-options', f'randomness.seed={seed}', *options]
    log = run / 'output.log'
    name = f'{Path(config).stem}, seed {seed}'
    start, shown = time.time(), 0.0
    print(f'{name}: starting ...', flush=True)
    with (
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors='replace',
        ) as process,
        log.open('w') as file,
    ):
        for line in process.stdout:
            file.write(line)
            epoch = re.search(r'Epoch\(train\)\s*\[(\d+)\].*?eta: (\S+)', line)
            # A line every few seconds is enough to see that it goes on.
            if epoch and time.time() - shown > 5:
                shown = time.time()
                print(f'{name}: epoch {epoch[1]}, {epoch[2]} left', flush=True)
    if process.returncode:
        last = log.read_text().strip().splitlines()[-1:]
        return f'{name} failed: {"".join(last)}\nIts output is in {log}'
    figures = last_scalars(run)
    print(
        f'{name}: top-1 {figures["accuracy/top1"]:.1f} after '
        f'{time.time() - start:.0f} s',
        flush=True,
    )
    return ''


def table(results: Dict[str, List[Dict[str, float]]]) -> str:
    """Markdown table, one row per config."""
    rows = [
        ['method', 'config', *COLUMNS.values()],
        ['---', '---'] + ['---:'] * len(COLUMNS),
    ]
    for config, runs in results.items():
        method = config.split('_')[0]
        row = [METHODS.get(method, method), config]
        for column in COLUMNS:
            # A group without classes has no figure.
            values = [
                run[f'accuracy/{column}']
                for run in runs
                if f'accuracy/{column}' in run
            ]
            cell = f'{np.mean(values):.1f}' if values else ''
            if len(values) > 1:
                cell += f' ± {np.std(values, ddof=1):.1f}'
            row.append(cell)
        rows.append(row)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return '\n'.join(
        '| ' + ' | '.join(cell.ljust(w) for cell, w in zip(row, widths)) + ' |'
        for row in rows
    )


def main() -> None:
    """Train all, then print the table; exit with 1 if a run failed."""
    args = parse_args()
    for config in args.configs:
        if not Path(config).is_file():
            sys.exit(f'there is no config {config!r}')
    if len({Path(config).stem for config in args.configs}) < len(args.configs):
        sys.exit('configs must have different file names, which name the runs')
    results: Dict[str, List[Dict[str, float]]] = {}
    failures = []
    for config in args.configs:
        stem = Path(config).stem
        for seed in args.seeds:
            run = args.work_dir / stem / f'seed_{seed}'
            failure = train(config, seed, run, args.cfg_options)
            if failure:
                print(failure, file=sys.stderr, flush=True)
                failures.append(failure)
            else:
                results.setdefault(stem, []).append(last_scalars(run))
    if results:
        print(f'\nSeeds {args.seeds}, last epoch:\n\n{table(results)}')
    sys.exit(bool(failures))


if __name__ == '__main__':
    main()
