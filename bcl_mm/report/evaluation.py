"""What the test of a trained model has found; kept beside the run."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Dict, List
from zipfile import ZipFile

import numpy as np

from bcl_mm.classes import check_class_counts
from bcl_mm.utils.files import open_atomically

MAX_BYTES = 2**30  # of what is kept of a test


@dataclass
class Evaluation:
    """Predictions and features of a test set of N images, C classes.

    Attributes:
        labels: (N,) labels.
        predictions: (N,) predicted classes.
        confidences: (N,) their probabilities.
        class_counts: (C,) training images.
        classes: C names.
        geometry: Results of :class:`~bcl_mm.evaluation.SimplexGeometry`.
        cosines: Cosines of class means, most frequent class first, averaged
            over blocks of classes where there are many: name -> square.
        shown: (n,) some images, of classes from head to tail.
        embedding: (n, 2) their backbone features in two dimensions.
    """

    labels: np.ndarray
    predictions: np.ndarray
    confidences: np.ndarray
    class_counts: np.ndarray
    classes: List[str]
    geometry: Dict[str, float]
    cosines: Dict[str, np.ndarray]
    shown: np.ndarray
    embedding: np.ndarray

    @cached_property
    def totals(self) -> np.ndarray:
        """(C,) test images."""
        return np.bincount(self.labels, minlength=len(self.class_counts))

    @property
    def correct(self) -> np.ndarray:
        """(N,) bool: whether the prediction is the label."""
        return self.labels == self.predictions

    def save(self, path: Path, key: str) -> None:
        """Write it to an NPZ file, with a key for :meth:`load`."""
        arrays = {f.name: getattr(self, f.name) for f in fields(self)}
        text = json.dumps([key, arrays.pop('geometry'), arrays.pop('classes')])
        for kind, square in arrays.pop('cosines').items():
            arrays[f'cosines/{kind}'] = square
        with open_atomically(path, 'wb') as file:
            np.savez_compressed(file, text=np.array(text), **arrays)

    @classmethod
    def load(cls, path: Path, key: str) -> Evaluation | None:
        """Read what was saved with this key; None if there is none.

        A damaged or foreign file is none, too: the test is done again.
        """
        if not path.is_file():
            return None
        try:
            with ZipFile(path) as archive:
                sizes = [part.file_size for part in archive.infolist()]
            if sum(sizes) > MAX_BYTES:
                return None
            with np.load(path, allow_pickle=False) as content:
                arrays = dict(content)
            known, geometry, classes = json.loads(str(arrays.pop('text')))
            if known != key:
                return None
            cosines = {
                name.removeprefix('cosines/'): arrays.pop(name)
                for name in list(arrays)
                if name.startswith('cosines/')
            }
            found = cls(
                classes=classes, geometry=geometry, cosines=cosines, **arrays
            )
            return found if found._is_consistent() else None
        except Exception:  # a damaged file may raise anything
            return None

    def _is_consistent(self) -> bool:
        """Whether sizes, types and ranges fit each other."""
        num_images, num_classes = len(self.labels), len(self.class_counts)
        check_class_counts(self.class_counts)
        for rows, length, end in (
            (self.labels, num_images, num_classes),
            (self.predictions, num_images, num_classes),
            (self.shown, len(self.shown), num_images),
        ):
            is_index = rows.dtype.kind in 'iu' and rows.shape == (length,)
            if not (
                is_index and length and 0 <= rows.min() <= rows.max() < end
            ):
                return False
        squares = [square.shape for square in self.cosines.values()]
        figures = self.geometry.values()
        return (
            self.confidences.dtype.kind == 'f'
            and self.confidences.shape == (num_images,)
            and self.embedding.dtype.kind == 'f'
            and self.embedding.shape == (len(self.shown), 2)
            and len(self.classes) == num_classes
            and all(isinstance(name, str) for name in self.classes)
            and all(isinstance(value, float) for value in figures)
            and 'features' in self.cosines
            and all(len(s) == 2 and s[0] == s[1] > 1 for s in squares)
            and len(set(squares)) == 1
            and set(self.cosines) <= {'features', 'projected', 'prototypes'}
        )
