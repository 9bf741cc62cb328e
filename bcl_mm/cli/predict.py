"""Predict the classes of images, or extract their features.

Shows the best classes of each image, or writes them to a CSV or JSON file;
writes features to an NPZ file. Images that cannot be loaded are named and
left out; the exit status is then 1.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Iterable, Iterator, List

from bcl_mm.cli.arguments import add_count, add_device, output_file
from bcl_mm.cli.models import load_named_model
from bcl_mm.cli.options import add_model_options, add_no_calibration
from bcl_mm.utils.errors import counted, visible


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_model_options(parser)
    add = parser.add_argument
    add('input', nargs='+', type=Path, help='images, and folders of images')
    add_device(parser)
    add_count(parser, '--top-k', 'number of classes', 5)
    add(
        '--out',
        type=output_file('.csv', '.json'),
        metavar='FILE',
        help='write the predictions to this .csv or .json file, instead of '
        'showing them',
    )
    add(
        '--features',
        type=output_file('.npz'),
        metavar='FILE',
        help='write "paths" (N,) and "features" (N, D) to this .npz file',
    )
    add(
        '--feature-kind',
        choices=['backbone', 'projected'],
        default='backbone',
        help="the classifier's input (default), or the unit-norm projections "
        'that a contrastive loss is trained on',
    )
    add_count(parser, '--batch-size', 'images per batch', 32)
    what = 'processes that load images, if there is more than one batch'
    add_count(parser, '--workers', what, 2, at_least=0)
    add_no_calibration(parser)


def _leave_out_errors(predictions: Iterable, errors: List[str]) -> Iterator:
    """Pass on predictions of images that could be loaded; name the others."""
    for prediction in predictions:
        if prediction.error is None:
            yield prediction
        else:
            errors.append(prediction.error)
            line = visible(f'Left out: {prediction.error}')
            print(line, file=sys.stderr, flush=True)


def run(args: argparse.Namespace) -> int:
    """Predict; returns 1 if an image could not be loaded."""
    from bcl_mm.apis.calibration import find_calibration
    from bcl_mm.apis.inference import Predictor, list_images
    from bcl_mm.apis.predictions import FeatureFile, best_classes, write_rows
    from bcl_mm.apis.trained_models import is_checkpoint_name, names_run
    from bcl_mm.utils.progress import show_progress

    inputs = args.input
    if args.checkpoint is not None and not (
        is_checkpoint_name(args.checkpoint) or not names_run(args.config)
    ):  # MODEL is enough, and this is the first image
        inputs, args.checkpoint = [Path(args.checkpoint), *inputs], None
    kind = None if args.features is None else args.feature_kind
    paths = list_images(inputs)
    projects = kind == 'projected'
    found, cfg, model = load_named_model(args, args.device, projects)
    temperature, threshold = 1.0, None
    if not args.no_calibration:
        calibration = find_calibration(found, cfg, model)
        if calibration is not None:
            temperature = calibration.temperature
            threshold = calibration.threshold
    predictor = Predictor(model, kind, temperature)
    predictions = predictor.predict(paths, args.batch_size, args.workers)
    predictions = show_progress(predictions, len(paths), 'images', sys.stderr)
    errors: List[str] = []
    predictions = _leave_out_errors(predictions, errors)
    if args.features is not None:
        features = FeatureFile(args.features)
        predictions = features.collect(predictions)
    rows = best_classes(predictions, model, args.top_k, threshold)
    if args.out is None:
        width = min(60, max(map(len, paths)))
        for path, best, abstain in rows:
            parts = [f'{e["class"]} {e["score"]:.3f}' for e in best]
            if abstain is not None:
                parts.insert(0, 'abstain' if abstain else '       ')
            line = visible(f'{path:{width}}  {"  ".join(parts)}')
            print(line.replace('\n', '\\n'), flush=True)
    else:
        write_rows(rows, args.out)
        number = len(paths) - len(errors)
        print(visible(f'{args.out}: {counted(number, "image")}'))
    if args.features is not None:
        shape = features.save()
        print(visible(f'{args.features}: features of shape {shape}'))
    if errors:
        message = f'{len(errors)} of {len(paths)} images were left out'
        print(message, file=sys.stderr)
    return bool(errors)
