"""Compare trained models on one page: what each does to the tail.

A RUN is a work dir of train.py or compare.py; of a folder that holds several,
all are taken. Runs that differ in their seeds alone become one method. The
last checkpoint of each is tested on the config's test set (what was tested
before is kept beside the run), and one HTML page is written that needs nothing
else, with its figures as PNG files beside it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import matplotlib

from bcl_mm import __version__
from bcl_mm.apis.config import (
    add_cfg_options,
    check_data_roots,
    complete_model,
    load_config,
    plain_errors,
)
from bcl_mm.apis.inference import add_model_options, load_model
from bcl_mm.apis.runs import TrainedRun, find_runs
from bcl_mm.report.evaluation import Evaluation, evaluate
from bcl_mm.report.page import write_page
from bcl_mm.report.summary import group_runs
from bcl_mm.report.thumbnails import Pictures, Thumbnails
from bcl_mm.utils.checkpoint import load_checkpoint
from bcl_mm.utils.errors import InputValueError


def parse_args() -> argparse.Namespace:
    """Parse the options."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('runs', nargs='+', type=Path, metavar='RUN')
    parser.add_argument(
        '-o',
        '--out',
        type=Path,
        default=Path('report.html'),
        metavar='FILE.html',
        help='the page (default: report.html)',
    )
    parser.add_argument(
        '--device',
        help='such as cuda:1 or cpu (default: a GPU if there is one)',
    )
    add_cfg_options(parser)
    args = parser.parse_args()
    if args.out.suffix != '.html':
        parser.error(f'--out must end in .html, got {str(args.out)!r}')
    return args


def model_args(
    run: TrainedRun, args: argparse.Namespace
) -> argparse.Namespace:
    """What load_config and load_model want to know."""
    parser = argparse.ArgumentParser()
    add_model_options(parser)
    known = parser.parse_args([str(run.config), str(run.checkpoint)])
    known.device, known.cfg_options = args.device, args.cfg_options
    return known


def test_run(run: TrainedRun, args: argparse.Namespace) -> Evaluation:
    """What a run does on its test set.

    Raises:
        FileNotFoundError: The test set is not there.
        ValueError: The checkpoint does not fit, or has no class counts.
    """
    meta = load_checkpoint(str(run.checkpoint)).get('meta', {})
    if 'class_counts' not in meta:
        raise InputValueError(
            f'{run.checkpoint} has no class_counts, the training images per '
            'class: it must come from a training with ClassComplementHook'
        )
    # Projections of a projector that was not trained would mean nothing.
    cfg, model = load_model(model_args(run, args), projects=None)
    check_data_roots(cfg, ('test_dataloader',))
    return evaluate(cfg, model, meta['class_counts'])


def evaluate_run(run: TrainedRun, args: argparse.Namespace) -> Evaluation:
    """What a run does on its test set, from before if nothing changed."""
    kept = run.folder / 'evaluation.npz'
    written = run.checkpoint.stat()
    options = f' {args.cfg_options}' if args.cfg_options else ''
    name = run.checkpoint.name
    key = f'{__version__} {name} {written.st_mtime_ns}{options}'
    found = Evaluation.load(kept, key)
    if run.stand:
        print(f'Unfinished, {run.stand}: {run.folder}', file=sys.stderr)
    if found is None:
        print(f'{run.folder}: testing {run.checkpoint.name} ...', flush=True)
        found = test_run(run, args)
        found.save(kept, key)
    return found


def pictures_of(run: TrainedRun, args: argparse.Namespace) -> Pictures:
    """Pictures of the test images; none if they are not there any more."""
    try:
        cfg = load_config(model_args(run, args))
        complete_model(cfg, str(run.checkpoint))
        return Thumbnails(cfg)
    except OSError as error:
        print(f'No test images are shown: {error}', file=sys.stderr)
        return lambda index: None


def main() -> None:
    """Find the runs, test them, write the page."""
    args = parse_args()
    matplotlib.use('Agg')
    with plain_errors():
        args.out.parent.mkdir(parents=True, exist_ok=True)
        runs = find_runs(args.runs)
        methods = group_runs(runs, [evaluate_run(run, args) for run in runs])
        print('Drawing ...', flush=True)
        folder = write_page(methods, args.out, pictures_of(runs[0], args))
    print(f'Report: {args.out.resolve()} (figures: {folder}/)')


if __name__ == '__main__':
    main()
