"""Files of predictions and features."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import (
    Any,
    Dict,
    Iterable,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Tuple,
)

import numpy as np
from mmengine.model import BaseModel

from bcl_mm.apis.inference import Prediction, class_names
from bcl_mm.utils.files import (
    CsvWriter,
    open_atomically,
    telling_failed_writes,
)


class Row(NamedTuple):
    """What is predicted for an image.

    Attributes:
        path: Its path.
        classes: ``label``, ``class`` (its name) and ``score`` of the best
            classes.
        abstain: Whether the best score is below the threshold; None without
            one.
    """

    path: str
    classes: List[Dict[str, Any]]
    abstain: Optional[bool] = None


def best_classes(
    predictions: Iterable[Prediction],
    model: BaseModel,
    top_k: int,
    threshold: Optional[float] = None,
) -> Iterator[Row]:
    """The classes with the highest scores; equal ones in order of labels.

    Args:
        predictions: Of the images; those without scores are left out.
        model: The model, which has the names of the classes.
        top_k: Number of classes for each image.
        threshold: Least score of the best class with which an image is
            accepted. Defaults to None: there is none.
    """
    names: List[str] = []
    for path, _, scores, _ in predictions:
        if scores is None:
            continue
        names = names or class_names(model, len(scores))
        classes = []
        for label in np.argsort(-scores, kind='stable')[:top_k].tolist():
            entry = {'label': label, 'class': names[label]}
            entry['score'] = round(float(scores[label]), 6)
            classes.append(entry)
        abstain = None if threshold is None else scores.max() < threshold
        yield Row(path, classes, abstain if abstain is None else bool(abstain))


def _write_csv(rows: Iterable[Row], stream: Any) -> None:
    """Write rows of path, class_1, score_1, class_2, ..., abstain."""
    writer = CsvWriter(stream)
    for number, (path, best, abstain) in enumerate(rows):
        if number == 0:
            ranks = range(1, len(best) + 1)
            names = [f'{n}_{i}' for i in ranks for n in ('class', 'score')]
            names += [] if abstain is None else ['abstain']
            writer.writerow(['path', *names])
        values = [v for e in best for v in (e['class'], e['score'])]
        values += [] if abstain is None else [int(abstain)]
        writer.writerow([path, *values])


def _write_json(rows: Iterable[Row], stream: Any) -> None:
    """Write a list of ``{"path": ..., "classes": [...]}``, row by row."""
    start = '[\n'
    for row in rows:
        entry = {k: v for k, v in row._asdict().items() if v is not None}
        stream.write(start + json.dumps(entry))
        start = ',\n'
    stream.write('[]\n' if start == '[\n' else '\n]\n')


def write_rows(rows: Iterable[Row], path: Path) -> None:
    """Write the best classes of images to a file.

    Args:
        rows: Of :func:`best_classes`.
        path: The file, CSV if its name ends in .csv, else JSON.

    Raises:
        InputFileError: The file cannot be written.
    """
    write = _write_csv if path.suffix == '.csv' else _write_json
    # A path need not be valid UTF-8.
    with open_atomically(path, errors='surrogateescape', newline='') as file:
        write(rows, file)


class FeatureFile:
    """Collects features on disk: those of a million images exceed memory.

    Args:
        path: The NPZ file to write.

    Raises:
        InputFileError: The disk is full.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.paths: List[str] = []
        with telling_failed_writes(path):
            self.rows = tempfile.TemporaryFile(dir=path.parent)  # noqa: SIM115

    def collect(
        self, predictions: Iterable[Prediction]
    ) -> Iterator[Prediction]:
        """Pass predictions on, and keep the features (D,) that they have."""
        for prediction in predictions:
            if prediction.features is not None:
                self.paths.append(prediction.path)
                with telling_failed_writes(self.path):
                    self.rows.write(prediction.features.tobytes())
            yield prediction

    def save(self) -> Tuple[int, int]:
        """Write ``paths`` (N,) and ``features`` (N, D); returns (N, D).

        Raises:
            InputFileError: The file cannot be written.
        """
        with telling_failed_writes(self.path):
            self.rows.flush()
        features = np.zeros((0, 0), np.float32)
        if self.paths:
            features = np.memmap(self.rows, np.float32, 'r')
            features = features.reshape(len(self.paths), -1)
        with open_atomically(self.path, 'wb') as file:
            np.savez(file, paths=np.array(self.paths), features=features)
        return features.shape
