"""Measure the package's speed: each figure as a ratio within one run.

Candidates are timed in turn, so that a machine which grows slower does so for
all. The table shows medians, the median ratio and its quartiles, and the
figures and ratios that the project promises not to pass. Everything is
written to WORK_DIR/NAME.json, curves to WORK_DIR/NAME_*.png.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
from pathlib import Path
from typing import Any, Dict, List

import matplotlib
import torch
from benchmarks.common import Curve, Settings

matplotlib.use('Agg')
from matplotlib import pyplot  # noqa: E402

BENCHMARKS = {
    'loss': 'the balanced contrastive loss',
    'views': 'the three views of a sample',
    'startup': 'imports, and a list of 437,513 images',
    'step': 'epochs beside a bare loop, and our share of a step',
    'classes': 'class-complement by a sample of the classes',
}
# Measured on one thread, as a data worker has.
ONE_THREAD = ('views', 'startup')


def parse_args() -> argparse.Namespace:
    """Parse the options."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog='\n'.join(f'  {n}: {what}' for n, what in BENCHMARKS.items()),
    )
    parser.add_argument('names', nargs='+', metavar='NAME', choices=BENCHMARKS)
    parser.add_argument('--repeats', type=int, default=20, metavar='N')
    parser.add_argument(
        '--threads', type=int, default=0, help='default: as torch chooses'
    )
    parser.add_argument('--device', type=torch.device, default='cpu')
    parser.add_argument(
        '--quick',
        action='store_true',
        help='tiny sizes, whose figures mean nothing: to see that it runs',
    )
    parser.add_argument('--work-dir', type=Path, default='work_dirs/benchmark')
    args = parser.parse_args()
    if args.repeats < 1:
        parser.error(f'--repeats must be >= 1, got {args.repeats}')
    if args.threads < 0:
        parser.error(f'--threads must be >= 0, got {args.threads}')
    return args


def machine() -> Dict[str, Any]:
    """What the figures were measured on."""
    cpuinfo = Path('/proc/cpuinfo')
    names = [
        line.split(':', 1)[1].strip()
        for line in (
            cpuinfo.read_text().splitlines() if cpuinfo.exists() else ()
        )
        if line.startswith('model name')
    ]
    return dict(
        processor=names[0] if names else platform.processor(),
        cores=os.cpu_count(),
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        python=platform.python_version(),
    )


def print_table(rows: List[Dict[str, Any]]) -> None:
    """Print one line for each row."""
    width = max(len(row['name']) for row in rows)
    for row in rows:
        line = f'{row["name"]:{width}} {row["median"]:9.2f} {row["unit"]}'
        if row['most'] is not None:
            line += f', at most {row["most"]:g}'
        if 'ratio' in row:
            low, high = row['ratio_quartiles']
            line += (
                f'  {row["ratio"]:6.3f} ({low:.3f} to {high:.3f}) of '
                f'{row["baseline"]} ({row["baseline_median"]:.2f})'
            )
            if row['limit'] is not None:
                line += f'; at most {row["limit"]:g}'
        print(line)


def draw(curve: Curve, path: Path) -> None:
    """Draw the lines of a curve."""
    figure, axes = pyplot.subplots(figsize=(6, 4), layout='constrained')
    for label, values in curve.lines.items():
        axes.plot(curve.x, values, marker='o', label=label)
    axes.set(xlabel=curve.x_label, ylabel=curve.y_label)
    if max(curve.x) > 20 * min(curve.x) > 0:
        axes.set(xscale='log', yscale='log')
    else:
        axes.set(xticks=curve.x, ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def main() -> None:
    """Run the benchmarks, one after the other."""
    args = parse_args()
    args.work_dir.mkdir(parents=True, exist_ok=True)
    settings = Settings(args.repeats, args.device, args.quick)
    default_threads = args.threads or torch.get_num_threads()
    for name in args.names:
        torch.set_num_threads(1 if name in ONE_THREAD else default_threads)
        print(f'== {name}: {BENCHMARKS[name]}')
        rows, curves = importlib.import_module(f'benchmarks.{name}').run(
            settings
        )
        summaries = [row.summary() for row in rows]
        print_table(summaries)
        report = dict(
            benchmark=name,
            quick=args.quick,
            repeats=args.repeats,
            machine=machine(),
            rows=summaries,
            curves=[vars(curve) for curve in curves],
        )
        path = args.work_dir / f'{name}.json'
        path.write_text(json.dumps(report, indent=1) + '\n')
        for curve in curves:
            draw(curve, args.work_dir / f'{name}_{curve.name}.png')
        print(f'Written: {path}' + (' and its curves' if curves else ''))


if __name__ == '__main__':
    main()
