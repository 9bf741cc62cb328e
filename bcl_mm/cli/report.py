"""Compare trained models on one HTML page.

A RUN is a work dir of train.py or compare.py, or a folder that holds several:
all are taken. Runs that differ only in their seeds become one method. The
last checkpoint of each is tested on the config's test set (earlier results
are kept beside the run), and one self-contained HTML page is written, which
begins with a verdict. Its figures, the accuracy of each class, confusion
matrices and predictions are written beside it, in NAME_files/, and a model
card into the folder of each run.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bcl_mm.cli import print_error
from bcl_mm.cli.arguments import add_device
from bcl_mm.cli.options import add_cfg_options
from bcl_mm.utils.errors import counted, visible


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument('runs', nargs='+', type=Path, metavar='RUN')
    parser.add_argument(
        '-o',
        '--out',
        type=Path,
        default=Path('report.html'),
        metavar='FILE.html',
        help='the page (default: report.html)',
    )
    add_device(parser)
    add_cfg_options(parser)


def run(args: argparse.Namespace) -> bool:
    """Find the runs, test them, write the page; true if one is left out."""
    if args.out.suffix != '.html':
        args.error(f'--out must end in .html, got {str(args.out)!r}')

    import matplotlib

    from bcl_mm.report.making import make_report

    matplotlib.use('Agg')
    report = make_report(
        args.runs,
        args.out,
        cfg_options=args.cfg_options,
        device=args.device,
        allow_code=args.allow_code,
    )
    for error in report.errors:
        print_error(error)
    verdict = report.verdict
    print(visible(f'\n{verdict.headline}\n{verdict.advice}\n'))
    where = f'{args.out.resolve()} (files: {report.folder}/)'
    print(visible(f'Report: {where}'))
    if report.errors:
        print(
            f'left out: {counted(len(report.errors), "run")}', file=sys.stderr
        )
    return bool(report.errors)
