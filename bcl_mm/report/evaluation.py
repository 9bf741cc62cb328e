"""Tests of trained models; the results are kept beside the runs."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence
from zipfile import ZipFile

import numpy as np
import torch
from mmengine.runner import Runner
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from torch import nn
from torch.utils.data import DataLoader

from bcl_mm import __version__
from bcl_mm.apis.build_errors import lack_of_type
from bcl_mm.apis.config import check_data_roots
from bcl_mm.apis.inference import load_model
from bcl_mm.apis.runs import TrainedRun
from bcl_mm.classes import check_class_counts, class_names_of, labels_of
from bcl_mm.evaluation import SimplexGeometry
from bcl_mm.utils.checkpoint import load_checkpoint
from bcl_mm.utils.errors import (
    InputError,
    InputFileError,
    InputValueError,
    as_input_error,
    described,
    place_of,
    visible,
)
from bcl_mm.utils.files import open_atomically
from bcl_mm.utils.progress import show_progress

MAX_CELLS = 100  # rows of a heat map
MAX_BYTES = 2**30  # of what is kept of a test
# Few enough to tell apart in the embedding.
EMBEDDED_CLASSES = 12
EMBEDDED_IMAGES = 50


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


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """(n, D) rows, each of norm 1."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.maximum(norms, 1e-12)


def block_cosines(
    means: np.ndarray, order: np.ndarray, cells: int = MAX_CELLS
) -> np.ndarray:
    """Pairwise cosines of class means, averaged over blocks of classes.

    Args:
        means: (C, D) class means.
        order: The classes to show, in their order.
        cells: Maximum number of blocks; up to this many classes, each class
            is its own block.

    Returns:
        (B, B) means over pairs of *different* classes; the diagonal of a
        block of one class is 1.
    """
    rows = unit_rows(means[order])
    blocks = np.array_split(rows, min(cells, len(rows)))
    sums = np.stack([block.sum(axis=0) for block in blocks])  # (B, D)
    sizes = np.array([len(block) for block in blocks])
    cosines = sums @ sums.T / np.outer(sizes, sizes)
    pairs = sizes * (sizes - 1)
    own = (sums**2).sum(axis=1)
    # Pairs within a block, without those of a class with itself.
    within = np.where(pairs > 0, (own - sizes) / np.maximum(pairs, 1), 1.0)
    np.fill_diagonal(cosines, within)
    return cosines.astype(np.float32)


def choose_shown(labels: np.ndarray, class_counts: np.ndarray) -> np.ndarray:
    """Images to embed: of classes spread evenly from head to tail."""
    order = np.argsort(-class_counts, kind='stable')
    order = order[np.isin(order, labels)]
    picks = np.linspace(0, len(order) - 1, EMBEDDED_CLASSES).round()
    chosen = order[np.unique(picks.astype(int))]
    return np.concatenate(
        [np.flatnonzero(labels == c)[:EMBEDDED_IMAGES] for c in chosen]
    )


def embed(features: np.ndarray) -> np.ndarray:
    """Embed (n, D) features as (n, 2) by t-SNE, or by PCA if n < 20."""
    rows = unit_rows(features)
    if len(rows) < 20:
        points = PCA(min(2, *rows.shape)).fit_transform(rows)
        return np.pad(points, ((0, 0), (0, 2 - points.shape[1])))
    perplexity = min(30, (len(rows) - 1) / 3)
    tsne = TSNE(perplexity=perplexity, init='pca', random_state=0)
    return tsne.fit_transform(rows)


@torch.no_grad()
def evaluate(
    loader: DataLoader, model: nn.Module, class_counts: Any
) -> Evaluation:
    """Test a model, in one pass.

    Args:
        loader: Of its test set.
        model: In evaluation mode, on its device.
        class_counts: (C,) training images.
    """
    counts = check_class_counts(class_counts)
    labels = labels_of(loader.dataset)
    shown = choose_shown(labels, counts)
    features: Dict[int, Any] = dict.fromkeys(shown.tolist())
    geometry = SimplexGeometry()
    geometry.set_model(model)

    def keep_shown(head: nn.Module, inputs: tuple, _: Any) -> None:
        for i, row in enumerate(head.pre_logits(inputs[0]), done):
            if i in features:
                features[i] = row.float().cpu().numpy()

    predictions, confidences = [], []
    done = 0
    with model.head.register_forward_hook(keep_shown):
        for batch in show_progress(loader, len(loader), 'batches tested'):
            samples = model.test_step(batch)
            scores = torch.stack([s.pred_score for s in samples]).float()
            best = scores.max(dim=1)
            predictions.append(best.indices.cpu().numpy())
            confidences.append(best.values.cpu().numpy())
            geometry.process(batch, [s.to_dict() for s in samples])
            done += len(samples)
    names = class_names_of(loader.dataset)
    return Evaluation(
        labels=labels,
        predictions=np.concatenate(predictions),
        confidences=np.concatenate(confidences),
        class_counts=counts,
        classes=[visible(str(n)) for n in names or range(len(counts))],
        geometry=geometry.evaluate(len(labels)),
        cosines=_heat_maps(geometry, counts),
        shown=shown,
        embedding=embed(np.stack(list(features.values()))),
    )


def _heat_maps(
    geometry: SimplexGeometry, class_counts: np.ndarray
) -> Dict[str, np.ndarray]:
    maps = {}
    for name, moments in geometry.moments.items():
        means = np.asarray(moments.means)
        order = np.argsort(-class_counts, kind='stable')
        order = order[np.isfinite(means[order]).all(axis=1)]
        if name == 'features':  # not on a sphere around the origin
            means = means - means[order].mean(axis=0)
        maps[name] = block_cosines(means, order)
    return maps


def evaluate_run(
    run: TrainedRun,
    cfg_options: Optional[Sequence[str]] = None,
    device: Optional[str] = None,
) -> Evaluation:
    """Test the last checkpoint of a run, unless that was done before.

    The result is kept in the run's folder, in ``evaluation.npz``.

    Args:
        run: The run.
        cfg_options: ``KEY=VALUE`` settings that override the config's.
            Defaults to None.
        device: Such as ``'cuda:1'`` or ``'cpu'``. Defaults to None: a GPU if
            there is one.

    Raises:
        MissingFileError: The test set does not exist.
        InputValueError: The checkpoint does not fit, or has no class counts;
            the config cannot be built, or its test fails.
    """
    if run.progress:
        note = visible(f'Unfinished, {run.progress}: {run.folder}')
        print(note, file=sys.stderr)
    path = run.folder / 'evaluation.npz'
    time = run.checkpoint.stat().st_mtime_ns
    options = cfg_options or []
    key = json.dumps([__version__, run.checkpoint.name, time, options])
    found = Evaluation.load(path, key)
    if found is not None:
        return found
    note = f'{run.folder}: testing {run.checkpoint.name} ...'
    print(visible(note), flush=True)
    meta = load_checkpoint(str(run.checkpoint)).get('meta', {})
    if 'class_counts' not in meta:
        raise InputValueError(
            f'{run.checkpoint} lacks class_counts, the training images per '
            'class: it must come from a training with ClassComplementHook'
        )
    # projects=None: projections of an untrained projector are meaningless.
    try:
        cfg, model = load_model(
            run.cfg,
            run.checkpoint,
            cfg_options=cfg_options,
            device=device,
            projects=None,
        )
        check_data_roots(cfg, ('test_dataloader',))
        loader = Runner.build_dataloader(cfg.test_dataloader, seed=0)
    except InputError:
        raise
    except Exception as error:  # what a foreign config names or lacks
        reason = lack_of_type(error) or described(error)
        raise InputValueError(
            f'{run.config} cannot be used: {reason}'
        ) from error
    try:
        found = evaluate(loader, model, meta['class_counts'])
    except InputError:
        raise
    except Exception as error:
        told = as_input_error(error)  # such as full shared memory
        if told is not None:
            raise told from error
        # Perhaps a bug of ours: the place tells it from a foreign config.
        reason = described(error)
        place = place_of(error).partition(':')[0]
        if place and place not in reason:
            reason += f' ({place})'
        raise InputValueError(
            f'{run.config}: its test has failed: {reason}'
        ) from error
    try:
        found.save(path, key)
    except InputFileError as error:  # perhaps on a read-only disk
        note = f'Note: {error}; another report will test this run again'
        print(visible(note), file=sys.stderr)
    return found
