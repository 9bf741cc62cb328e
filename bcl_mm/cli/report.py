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

from bcl_mm.apis.locations import make_folder
from bcl_mm.cli import print_error
from bcl_mm.cli.arguments import add_device
from bcl_mm.cli.options import add_cfg_options
from bcl_mm.utils.errors import InputError, visible


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

    from bcl_mm.apis.runs import find_runs
    from bcl_mm.report.exports import write_cards
    from bcl_mm.report.page import write_page
    from bcl_mm.report.summary import group_runs
    from bcl_mm.report.testing import evaluate_run
    from bcl_mm.report.thumbnails import pictures_of
    from bcl_mm.report.verdict import judge

    matplotlib.use('Agg')
    make_folder('folder of --out', args.out.parent)
    found, errors = find_runs(args.runs, args.allow_code)
    runs, evaluations = [], []
    for one in found:
        try:
            _ = one.scalars, one.cost  # logs may be damaged, too
            evaluations.append(
                evaluate_run(one, args.cfg_options, args.device)
            )
            runs.append(one)
        except InputError as error:
            errors.append(InputError(f'{one.folder}: {error}'))
    for error in errors[0 if runs else 1 :]:
        print_error(error)
    if not runs:
        raise errors[0]
    methods = group_runs(runs, evaluations)
    print('Drawing ...', flush=True)
    pictures = pictures_of(runs[0], args.cfg_options)
    folder = write_page(methods, args.out, pictures)
    write_cards(methods)
    verdict = judge(methods)
    print(visible(f'\n{verdict.headline}\n{verdict.advice}\n'))
    print(visible(f'Report: {args.out.resolve()} (files: {folder}/)'))
    if errors:
        print(f'{len(errors)} runs were left out', file=sys.stderr)
    return bool(errors)
