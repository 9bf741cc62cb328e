"""Tests of trained models."""

from __future__ import annotations

import json
import sys
from typing import Any, Dict, Optional, Sequence

import numpy as np
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from bcl_mm import __version__
from bcl_mm.apis.build_errors import lack_of_type
from bcl_mm.apis.config import check_data_roots
from bcl_mm.apis.inference import load_model
from bcl_mm.apis.runs import TrainedRun
from bcl_mm.classes import check_class_counts, class_names_of, labels_of
from bcl_mm.evaluation import SimplexGeometry
from bcl_mm.report.evaluation import Evaluation
from bcl_mm.report.maps import choose_shown, embed, heat_maps
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
from bcl_mm.utils.progress import show_progress


@torch.no_grad()
def evaluate(
    loader: DataLoader, model: BaseModel, class_counts: Any
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

    def keep_shown(head: Any, inputs: tuple, _: Any) -> None:
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
        cosines=heat_maps(geometry, counts),
        shown=shown,
        embedding=embed(np.stack(list(features.values()))),
    )


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
