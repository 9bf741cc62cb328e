"""Test of a trained model, kept beside the run."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple
from zipfile import BadZipFile

import numpy as np
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from torch import nn

from bcl_mm import __version__
from bcl_mm.apis.config import check_data_roots
from bcl_mm.apis.inference import load_model
from bcl_mm.apis.runs import TrainedRun
from bcl_mm.classes import check_class_counts, class_names_of, labels_of
from bcl_mm.evaluation import SimplexGeometry
from bcl_mm.utils.checkpoint import load_checkpoint
from bcl_mm.utils.errors import InputValueError
from bcl_mm.utils.files import open_atomically
from bcl_mm.utils.progress import show_progress

MAX_CELLS = 100  # rows of a heat map
# Few enough to tell them apart in the embedding.
EMBEDDED_CLASSES = 12
EMBEDDED_IMAGES = 50

_ARRAYS = (
    'labels',
    'predictions',
    'confidences',
    'class_counts',
    'shown',
    'embedding',
)


@dataclass
class Evaluation:
    """Predictions and features of a test set of N images, C classes.

    Attributes:
        labels: (N,) labels.
        predictions: (N,) predicted classes.
        confidences: (N,) their probabilities.
        class_counts: (C,) training images.
        classes: C names.
        geometry: Figures of :class:`~bcl_mm.evaluation.SimplexGeometry`.
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

    def save(self, path: Path, key: str) -> None:
        """Write it to an NPZ file, with a key for :meth:`load`."""
        arrays = {f'cosines/{k}': v for k, v in self.cosines.items()}
        for name in _ARRAYS:
            arrays[name] = getattr(self, name)
        text = np.array(json.dumps([key, self.geometry, self.classes]))
        with open_atomically(path, 'wb') as file:
            np.savez_compressed(file, text=text, **arrays)

    @classmethod
    def load(cls, path: Path, key: str) -> Evaluation | None:
        """Read what was saved with this key; None if that is not there."""
        try:
            with np.load(path, allow_pickle=False) as content:
                known, geometry, classes = json.loads(str(content['text']))
                if known != key:
                    return None
                arrays = {k: content[k] for k in content.files if k != 'text'}
        except (OSError, ValueError, KeyError, BadZipFile):
            return None
        cosines = {
            name.removeprefix('cosines/'): arrays.pop(name)
            for name in list(arrays)
            if name.startswith('cosines/')
        }
        return cls(
            classes=classes, geometry=geometry, cosines=cosines, **arrays
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
        cells: Blocks at most; with no more classes each is its own block.

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
    return TSNE(
        perplexity=perplexity, init='pca', random_state=0
    ).fit_transform(rows)


def evaluate(cfg: Config, model: nn.Module, class_counts: Any) -> Evaluation:
    """Test a model, in one pass.

    Args:
        cfg: Its config, which names the test set.
        model: In evaluation mode, on its device.
        class_counts: (C,) training images.
    """
    loader = Runner.build_dataloader(cfg.test_dataloader, seed=0)
    dataset = loader.dataset
    counts = check_class_counts(class_counts)
    labels = labels_of(dataset)
    shown = choose_shown(labels, counts)
    wanted = np.zeros(len(labels), dtype=bool)
    wanted[shown] = True
    geometry = SimplexGeometry()
    geometry.set_model(model)
    kept: List[Tuple[int, np.ndarray]] = []

    def keep(head: nn.Module, inputs: tuple, _: Any) -> None:
        features = head.pre_logits(inputs[0])
        rows = np.arange(done, done + len(features))
        for i in np.flatnonzero(wanted[rows]):
            kept.append((rows[i], features[i].float().cpu().numpy()))

    handle = model.head.register_forward_hook(keep)
    predictions, confidences = [], []
    done = 0
    try:
        for batch in show_progress(loader, len(loader), 'batches tested'):
            with torch.no_grad():
                samples = model.test_step(batch)
            scores = torch.stack([s.pred_score for s in samples]).float()
            best = scores.max(dim=1)
            predictions.append(best.indices.cpu().numpy())
            confidences.append(best.values.cpu().numpy())
            geometry.process(batch, [s.to_dict() for s in samples])
            done += len(samples)
    finally:
        handle.remove()
    figures = geometry.evaluate(len(labels))
    names = class_names_of(dataset) or [str(i) for i in range(len(counts))]
    index = dict(kept)
    return Evaluation(
        labels=labels,
        predictions=np.concatenate(predictions),
        confidences=np.concatenate(confidences),
        class_counts=counts,
        classes=list(names),
        geometry=figures,
        cosines=_heat_maps(geometry, counts),
        shown=shown,
        embedding=embed(np.stack([index[i] for i in shown])),
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


def _test_run(
    run: TrainedRun,
    cfg_options: Optional[Sequence[str]],
    device: Optional[str],
) -> Evaluation:
    meta = load_checkpoint(str(run.checkpoint)).get('meta', {})
    if 'class_counts' not in meta:
        raise InputValueError(
            f'{run.checkpoint} has no class_counts, the training images per '
            'class: it must come from a training with ClassComplementHook'
        )
    # Projections of an untrained projector would be meaningless.
    cfg, model = load_model(
        run.config,
        run.checkpoint,
        cfg_options=cfg_options,
        device=device,
        projects=None,
    )
    check_data_roots(cfg, ('test_dataloader',))
    return evaluate(cfg, model, meta['class_counts'])


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
        FileNotFoundError: The test set does not exist.
        ValueError: The checkpoint does not fit, or has no class counts.
    """
    path = run.folder / 'evaluation.npz'
    time = run.checkpoint.stat().st_mtime_ns
    options = cfg_options or []
    key = json.dumps([__version__, run.checkpoint.name, time, options])
    found = Evaluation.load(path, key)
    if run.progress:
        print(f'Unfinished, {run.progress}: {run.folder}', file=sys.stderr)
    if found is None:
        print(f'{run.folder}: testing {run.checkpoint.name} ...', flush=True)
        found = _test_run(run, cfg_options, device)
        found.save(path, key)
    return found
