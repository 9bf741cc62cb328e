"""Predict the classes of images, or extract their features.

Shows the best classes of each image, or writes them to a CSV or JSON file;
writes features to an NPZ file. Images that cannot be loaded are named and
left out; the exit status is then 1.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, Iterable, Iterator, List, Tuple

import numpy as np
from mmengine.model import BaseModel

from bcl_mm.apis.config import plain_errors
from bcl_mm.apis.inference import (
    Prediction,
    Predictor,
    add_model_options,
    class_names,
    load_model,
)
from bcl_mm.utils.errors import MissingFileError
from bcl_mm.utils.progress import show_progress

SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif', '.tiff')
SUFFIXES += ('.webp',)
# An image's path, and of its best classes label, name and score.
Row = Tuple[str, List[dict]]


def parse_args() -> argparse.Namespace:
    """Parse and check the options."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_model_options(parser)
    parser.add_argument(
        'input', nargs='+', type=Path, help='images, and folders of images'
    )
    add = parser.add_argument
    add('--device', help='such as cuda:1 or cpu (default: the best there is)')
    add('--top-k', type=int, default=5, metavar='K', help='default: 5 classes')
    add(
        '--out',
        type=Path,
        metavar='FILE',
        help='.csv or .json file for the predictions, instead of showing them',
    )
    add(
        '--features',
        type=Path,
        metavar='FILE',
        help='.npz file for "paths" (N,) and "features" (N, D)',
    )
    add(
        '--feature-kind',
        choices=['backbone', 'projected'],
        default='backbone',
        help='what the classifier sees (default), or the unit-norm '
        'projections that a contrastive loss saw',
    )
    add('--batch-size', type=int, default=32, metavar='N', help='default: 32')
    add(
        '--workers',
        type=int,
        default=2,
        metavar='N',
        help='processes that load images, if there is more than one batch '
        '(default: 2)',
    )
    args = parser.parse_args()
    for name, least in (('top_k', 1), ('batch_size', 1), ('workers', 0)):
        if getattr(args, name) < least:
            option = f'--{name.replace("_", "-")}'
            parser.error(
                f'{option} must be >= {least}, got {vars(args)[name]}'
            )
    for name, suffixes in (('out', WRITERS), ('features', ['.npz'])):
        path = getattr(args, name)
        if path is None:
            continue
        if path.suffix not in suffixes:
            parser.error(
                f'--{name} must end in {" or ".join(suffixes)}, got {path}'
            )
        if not path.parent.is_dir():
            parser.error(f'--{name}: there is no folder {path.parent}')
    return args


def find_images(inputs: List[Path]) -> List[str]:
    """Images among files and folders; those of a folder are sorted.

    Raises:
        FileNotFoundError: An input does not exist, or a folder has no image.
    """
    paths = []
    for entry in inputs:
        if not entry.exists():
            raise MissingFileError(f'there is no image or folder {entry}')
        found = [entry]
        if entry.is_dir():
            found = sorted(
                path
                for path in entry.rglob('*')
                if path.suffix.lower() in SUFFIXES
                and not path.name.startswith('.')  # macOS's are no images
            )
        if not found:
            raise MissingFileError(
                f'there is no image ({" ".join(SUFFIXES)}) in {entry}'
            )
        paths += found
    return list(map(str, paths))


@contextlib.contextmanager
def whole_file(path: Path, **options: Any) -> Iterator[Any]:
    """Open a file that is there whole in the end, or as it was before."""
    part = path.with_name(f'{path.name}.part')
    try:
        with open(part, **options) as stream:
            yield stream
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def show_table(rows: Iterable[Row], width: int) -> None:
    """Show the rows, the paths in a column of some width."""
    for path, best in rows:
        classes = '  '.join(f'{e["class"]} {e["score"]:.3f}' for e in best)
        print(f'{path:{width}}  {classes}', flush=True)


def write_csv(rows: Iterable[Row], stream: Any) -> None:
    """Write lines of path, class_1, score_1, class_2, ..."""
    writer = csv.writer(stream)
    for number, (path, best) in enumerate(rows):
        if number == 0:
            ranks = range(1, len(best) + 1)
            names = [f'{n}_{i}' for i in ranks for n in ('class', 'score')]
            writer.writerow(['path', *names])
        values = [v for e in best for v in (e['class'], e['score'])]
        writer.writerow([path, *values])


def write_json(rows: Iterable[Row], stream: Any) -> None:
    """Write a list of ``{"path": ..., "classes": [...]}``, row by row."""
    start = '[\n'
    for path, best in rows:
        stream.write(start + json.dumps(dict(path=path, classes=best)))
        start = ',\n'
    stream.write('[]\n' if start == '[\n' else '\n]\n')


WRITERS = {'.csv': write_csv, '.json': write_json}


class FeatureFile:
    """Collects features on disk: a million images' would fill the memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.paths: List[str] = []
        self.rows = tempfile.TemporaryFile(dir=path.parent)  # noqa: SIM115

    def collect(
        self, predictions: Iterable[Prediction]
    ) -> Iterator[Prediction]:
        """Pass predictions on, and take their features (D,)."""
        for prediction in predictions:
            self.paths.append(prediction.path)
            self.rows.write(prediction.features.tobytes())
            yield prediction

    def save(self) -> None:
        """Write the NPZ file."""
        self.rows.flush()
        features = np.zeros((0, 0), np.float32)
        if self.paths:
            features = np.memmap(self.rows, np.float32, 'r')
            features = features.reshape(len(self.paths), -1)  # (N, D)
        with whole_file(self.path, mode='wb') as stream:
            np.savez(stream, paths=np.array(self.paths), features=features)
        print(f'{self.path}: features of shape {features.shape}')


def leave_out(
    predictions: Iterable[Prediction], errors: List[str]
) -> Iterator[Prediction]:
    """Pass on predictions of what could be loaded, and name what could not."""
    for prediction in predictions:
        if prediction.error is None:
            yield prediction
        else:
            errors.append(prediction.error)
            print(f'Left out: {prediction.error}', file=sys.stderr, flush=True)


def best_classes(
    predictions: Iterable[Prediction], model: BaseModel, top_k: int
) -> Iterator[Row]:
    """The classes of the highest scores, the first of equals first."""
    names: List[str] = []
    for path, _, scores, _ in predictions:
        names = names or class_names(model, len(scores))
        best = np.argsort(-scores, kind='stable')[:top_k].tolist()
        yield (
            path,
            [
                {
                    'label': label,
                    'class': names[label],
                    'score': round(float(scores[label]), 6),
                }
                for label in best
            ],
        )


def main() -> None:
    """Predict; exit with 1 if an image could not be loaded."""
    # A file name need not be text.
    sys.stdout.reconfigure(errors='backslashreplace')
    args = parse_args()
    kind = None if args.features is None else args.feature_kind
    with plain_errors():
        paths = find_images(args.input)
        _, model = load_model(args, projects=kind == 'projected')
    errors: List[str] = []
    predictor = Predictor(model, kind)
    found = show_progress(
        predictor.predict(paths, args.batch_size, args.workers),
        len(paths),
        'images',
        sys.stderr,
    )
    found = leave_out(found, errors)
    if args.features is not None:
        features = FeatureFile(args.features)
        found = features.collect(found)
    rows = best_classes(found, model, args.top_k)
    if args.out is None:
        show_table(rows, width=min(60, max(map(len, paths))))
    else:
        options = dict(encoding='utf-8', errors='surrogateescape', newline='')
        with whole_file(args.out, mode='w', **options) as stream:
            WRITERS[args.out.suffix](rows, stream)
        print(f'{args.out}: {len(paths) - len(errors)} images')
    if args.features is not None:
        features.save()
    if errors:
        sys.exit(f'{len(errors)} of {len(paths)} images were left out')


if __name__ == '__main__':
    main()
