"""What the metrics of a Runner will be called, before hours of training."""

from __future__ import annotations

import copy
import difflib
from typing import Any, List, Optional, Sequence, Set

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import CheckpointHook, EarlyStoppingHook, Hook

from bcl_mm.utils.errors import InputValueError

_CHUNK = 256  # classes at once: scores are one row of C per class


def _names_of(
    metric: BaseMetric, labels: np.ndarray, num_classes: int
) -> Optional[Set[str]]:
    """Names of a metric's values, from a right prediction of each label.

    None if the metric needs more, such as one that examines the model.
    """
    try:
        metric = copy.deepcopy(metric)
        metric.results = []
        for start in range(0, len(labels), _CHUNK):
            chunk = torch.as_tensor(labels[start : start + _CHUNK])
            scores = F.one_hot(chunk, num_classes).float()
            samples = [
                dict(gt_label=label, pred_label=label, pred_score=score)
                for label, score in zip(chunk[:, None], scores)
            ]
            metric.process(None, samples)
        names = metric.compute_metrics(metric.results)
    except Exception:  # whatever a metric of the user's needs
        return None
    prefix = f'{metric.prefix}/' if metric.prefix else ''
    return {f'{prefix}{name}' for name in names}


def check_metric_names(
    evaluator: Evaluator,
    labels: np.ndarray,
    num_classes: int,
    hooks: Sequence[Hook] = (),
) -> None:
    """Refuse metrics of one name, and what hooks name that will not be.

    Hooks name figures in ``save_best``, and in ``monitor`` of early stopping.

    The metrics are given one right prediction of each class that is tested:
    the group of few-shot classes, for example, may be empty.

    Args:
        evaluator: Of the validation or the test.
        labels: Labels that it tests.
        num_classes: Number of classes C.
        hooks: Hooks of the training. Defaults to none.

    Raises:
        InputValueError: One of both.
    """
    tested = np.unique(labels)
    known: List[str] = []
    unknown: List[Any] = []
    for metric in evaluator.metrics:
        names = _names_of(metric, tested, num_classes)
        if names is None:
            unknown.append(metric.prefix)
            continue
        twice = sorted(names.intersection(known))
        if twice:
            raise InputValueError(
                f'{type(metric).__name__} and another metric both give '
                f'{", ".join(twice)}: give one of them a prefix of its own, '
                "such as prefix='stock' (ShotAccuracy(topk=(1, 5)) gives "
                'top-5, too)'
            )
        known += sorted(names)
    for hook in hooks:
        setting, named = '', []
        if isinstance(hook, CheckpointHook) and hook.save_best:
            setting, named = 'save_best', hook.key_indicators
        elif isinstance(hook, EarlyStoppingHook):
            setting, named = 'monitor', [hook.monitor]
        for name in named:
            prefixes = {None, name.split('/')[0]}
            if name in (*known, 'auto') or prefixes.intersection(unknown):
                continue
            near = difflib.get_close_matches(name, known, 1)
            raise InputValueError(
                f'{setting} names {name!r}, which no metric will give: '
                + (f'is {near[0]!r} meant? ' if near else '')
                + f'There are {", ".join(known)}'
            )
