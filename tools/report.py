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
import torch
from cli import check_data_roots, plain_errors
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import load_state_dict
from reports.evaluation import VERSION, Evaluation, evaluate
from reports.found import TrainedRun, find_runs
from reports.page import write_page
from reports.summary import group_runs
from reports.thumbnails import Thumbnails

from bcl_mm.checkpoint import load_weights_only


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
    if args.device is None:
        args.device = 'cpu'
        if torch.accelerator.is_available():
            args.device = torch.accelerator.current_accelerator().type
    return args


def load_model(run: TrainedRun, device: str) -> tuple:
    """Model of a run in evaluation mode, and its (C,) training images."""
    checkpoint = load_weights_only(str(run.checkpoint))
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        config = run.cfg.model
        config.setdefault('data_preprocessor', run.cfg.data_preprocessor)
        model = MODELS.build(config)
    load_state_dict(model, checkpoint['state_dict'], strict=False)
    return model.to(device).eval(), checkpoint['meta'].get('class_counts')


def evaluate_run(run: TrainedRun, device: str) -> Evaluation:
    """What a run does on its test set, from before if nothing changed."""
    kept = run.folder / 'evaluation.npz'
    written = run.checkpoint.stat()
    key = f'{VERSION} {run.checkpoint.name} {written.st_mtime_ns}'
    found = Evaluation.load(kept, key)
    if found is None:
        print(f'{run.folder}: testing {run.checkpoint.name} ...', flush=True)
        found = evaluate(run, *load_model(run, device))
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
        folder = write_page(methods, args.out, Thumbnails(runs[0].cfg))
    print(f'Report: {args.out.resolve()} (figures: {folder}/)')


if __name__ == '__main__':
    main()
