"""Measure the package's speed, as ratios within one run.

Candidates are timed in turn, so that a machine that slows down does so for
all of them. The table shows medians, the median ratio with its quartiles, and
the figures and ratios that the project promises not to exceed. Results are
written to WORK_DIR/NAME.json, curves to WORK_DIR/NAME_*.png.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import re
import sys
from pathlib import Path
from typing import Any, Dict, List

import matplotlib
import torch
from benchmarks.common import Curve, Row, Settings

matplotlib.use('Agg')
from matplotlib import pyplot  # noqa: E402

BENCHMARKS = {
    'loss': 'the balanced contrastive loss',
    'views': 'the three views of a sample',
    'startup': 'imports, and a list of 437,513 images',
    'step': 'epochs beside a bare loop, and our share of a step',
    'identical': 'identical images among 5,000 of 60 kB',
    'classes': 'class-complement by a sample of the classes',
    'growth': 'time and memory by number of images and classes',
    'gpu': 'first checks and timings of a GPU (--device cuda)',
}
# These run on one thread, as a data worker does.
ONE_THREAD = ('views', 'startup', 'identical')


def parse_args() -> argparse.Namespace:
    """Parse the options."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog='\n'.join(f'  {n}: {what}' for n, what in BENCHMARKS.items()),
    )
    parser.add_argument('names', nargs='+', metavar='NAME', choices=BENCHMARKS)
    add = parser.add_argument
    add('--repeats', type=int, default=20, metavar='N')
    add('--threads', type=int, default=0, help="default: torch's own choice")
    add('--device', type=torch.device, default='cpu')
    quick = 'check that it runs, with sizes too small for useful figures'
    add('--quick', action='store_true', help=quick)
    add('--work-dir', type=Path, default='work_dirs/benchmark')
    args = parser.parse_args()
    if args.repeats < 1:
        parser.error(f'--repeats must be >= 1, got {args.repeats}')
    if args.threads < 0:
        parser.error(f'--threads must be >= 0, got {args.threads}')
    return args


def machine() -> Dict[str, Any]:
    """The machine and the versions of a run."""
    cpuinfo = Path('/proc/cpuinfo')
    text = cpuinfo.read_text() if cpuinfo.exists() else ''
    name = re.search(r'^model name\s*: (.*)', text, re.MULTILINE)
    return dict(
        processor=name[1] if name else platform.processor(),
        cores=os.cpu_count(),
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        python=platform.python_version(),
    )


def accelerator(device: torch.device) -> Dict[str, Any]:
    """Name and memory of a GPU, and the libraries that drive it."""
    if device.type != 'cuda':
        return {}
    properties = torch.cuda.get_device_properties(device)
    return dict(
        gpu=properties.name,
        memory_gib=round(properties.total_memory / 2**30, 1),
        gpus=torch.cuda.device_count(),
        cuda=torch.version.cuda,
        cudnn=torch.backends.cudnn.version(),
    )


def verdict(row: Row) -> str:
    """Whether a row is within its limits; empty if it has none."""
    values = (
        (row['median'], row['max_median']),
        (
            row.get('ratio'),
            row.get('max_ratio'),
        ),
    )
    limited = [(v, limit) for v, limit in values if limit is not None]
    if not limited:
        return ''
    return 'ok' if all(v <= limit for v, limit in limited) else 'OVER'


def print_table(rows: List[Row]) -> None:
    """Print one line per row."""
    width = max(len(row['name']) for row in rows)
    for row in rows:
        line = f'{row["name"]:{width}}'
        if row['median'] is not None:
            line += f' {row["median"]:9.4g} {row["unit"]}'
        if row['max_median'] is not None:
            line += f', at most {row["max_median"]:g}'
        if 'ratio' in row:
            low, high = row['ratio_quartiles']
            line += (
                f'  {row["ratio"]:6.3f} ({low:.3f} to {high:.3f}) of '
                f'{row["baseline"]} ({row["baseline_median"]:.2f})'
            )
            if row['max_ratio'] is not None:
                line += f'; at most {row["max_ratio"]:g}'
        print(line + (f'  {row["verdict"]}' if row['verdict'] else ''))


def draw(curve: Curve, path: Path) -> None:
    """Plot the lines of a curve."""
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


def main() -> int:
    """Run the benchmarks, one after the other; 1 if a check fails."""
    args = parse_args()
    args.work_dir.mkdir(parents=True, exist_ok=True)
    settings = Settings(args.repeats, args.device, args.quick)
    has_failed = False
    default_threads = args.threads or torch.get_num_threads()
    for name in args.names:
        torch.set_num_threads(1 if name in ONE_THREAD else default_threads)
        print(f'== {name}: {BENCHMARKS[name]}')
        benchmark = importlib.import_module(f'benchmarks.{name}')
        rows, curves = benchmark.run(settings)
        for row in rows:
            row.setdefault('verdict', verdict(row))
            has_failed |= row['verdict'].startswith('FAILED')
        print_table(rows)
        report = dict(benchmark=name, quick=args.quick, repeats=args.repeats)
        found = dict(machine(), **accelerator(args.device))
        report.update(machine=found, rows=rows)
        report['curves'] = [vars(curve) for curve in curves]
        path = args.work_dir / f'{name}.json'
        path.write_text(json.dumps(report, indent=1) + '\n')
        for curve in curves:
            draw(curve, args.work_dir / f'{name}_{curve.name}.png')
        print(f'Written: {path}' + (' and its curves' if curves else ''))
    return int(has_failed)


if __name__ == '__main__':
    sys.exit(main())
