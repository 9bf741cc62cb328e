"""Compare trained models on one page: what each does to the tail.

A RUN is a work dir of train.py or compare.py; of a folder that holds several,
all are taken. Runs that differ in their seeds alone become one method. The
last checkpoint of each is tested on the config's test set (what was tested
before is kept beside the run), and one HTML page is written that needs nothing
else, with its figures as PNG files beside it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib
from cli import check_data_roots, complete_model, plain_errors
from inference import add_model_options, load_model
from reports.evaluation import VERSION, Evaluation, evaluate
from reports.found import TrainedRun, find_runs
from reports.page import write_page
from reports.summary import group_runs
from reports.thumbnails import Thumbnails

from bcl_mm.pretrained import load_dict


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
    args = parser.parse_args()
    if args.out.suffix != '.html':
        parser.error(f'--out must end in .html, got {str(args.out)!r}')
    return args


def test_again(run: TrainedRun, device: str) -> Evaluation:
    """What a run does on its test set.

    Raises:
        ValueError: The checkpoint does not fit, or has no class counts.
    """
    meta = load_dict(str(run.checkpoint)).get('meta', {})
    if 'class_counts' not in meta:
        raise ValueError(
            f'{run.checkpoint} has no class_counts, the training images per '
            'class: it must come from a training with ClassComplementHook'
        )
    parser = argparse.ArgumentParser()
    add_model_options(parser)
    args = parser.parse_args([str(run.config), str(run.checkpoint)])
    args.device = device
    cfg, model = load_model(args)
    return evaluate(cfg, model, meta['class_counts'])


def evaluate_run(run: TrainedRun, device: str) -> Evaluation:
    """What a run does on its test set, from before if nothing changed."""
    kept = run.folder / 'evaluation.npz'
    written = run.checkpoint.stat()
    key = f'{VERSION} {run.checkpoint.name} {written.st_mtime_ns}'
    found = Evaluation.load(kept, key)
    if found is None:
        print(f'{run.folder}: testing {run.checkpoint.name} ...', flush=True)
        found = test_again(run, device)
        found.save(kept, key)
    return found


def main() -> None:
    """Find the runs, test them, write the page."""
    args = parse_args()
    matplotlib.use('Agg')
    with plain_errors():
        runs = find_runs(args.runs)
        for run in runs:
            check_data_roots(run.cfg, ('test_dataloader',))
        args.out.parent.mkdir(parents=True, exist_ok=True)
        methods = group_runs(
            runs, [evaluate_run(run, args.device) for run in runs]
        )
        print('Drawing ...', flush=True)
        cfg = runs[0].cfg
        complete_model(cfg, str(runs[0].checkpoint))
        folder = write_page(methods, args.out, Thumbnails(cfg))
    print(f'Report: {args.out.resolve()} (figures: {folder}/)')


if __name__ == '__main__':
    main()
