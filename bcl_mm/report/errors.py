"""The errors of a model: which classes it confuses."""

from __future__ import annotations

from typing import Dict, List

import numpy as np

from bcl_mm.classes import shot_groups

from .summary import Method


def tail_classes(class_counts: np.ndarray, tested: np.ndarray) -> np.ndarray:
    """(C,) bool: few-shot classes, or the rarest third if there is none."""
    tail = shot_groups(class_counts)['few'] & tested
    if not tail.any():
        rarest = np.argsort(class_counts, kind='stable')
        rarest = rarest[tested[rarest]]
        tail[rarest[: max(1, len(rarest) // 3)]] = True
    return tail


def confusions(method: Method, most: int = 6) -> List[dict]:
    """The largest confusions of the tail, as shares of a class's images.

    Returns:
        Of each: ``true`` and ``predicted`` class, ``times`` it happens among
        ``of`` images (over all runs), ``images``: indices of test images, the
        surest first (of the first run).
    """
    e, num_runs = method.first, len(method.runs)
    num_classes = len(e.class_counts)
    totals = np.bincount(e.labels, minlength=num_classes)
    tail = tail_classes(e.class_counts, totals > 0)
    pairs = np.concatenate(
        [
            (one.labels * num_classes + one.predictions)[
                (one.labels != one.predictions) & tail[one.labels]
            ]
            for one in method.evaluations
        ]
    )
    codes, times = np.unique(pairs, return_counts=True)
    true, predicted = np.divmod(codes, num_classes)
    of = totals[true] * num_runs
    # As if there were one image more: one of one says little.
    order = np.argsort(-times / (of + 1), kind='stable')
    found = []
    for i in order[:most]:
        images = np.flatnonzero(
            (e.labels == true[i]) & (e.predictions == predicted[i])
        )
        surest = images[np.argsort(-e.confidences[images], kind='stable')]
        found.append(
            dict(
                true=int(true[i]),
                predicted=int(predicted[i]),
                times=int(times[i]),
                of=int(of[i]),
                images=surest[:4].tolist(),
            )
        )
    return found


def taken_for(method: Method) -> Dict[str, Dict[str, float]]:
    """Where each group's test images end: right, or in which group, percent.

    A group's shares are means over its classes, as its accuracy is.
    """
    e = method.first
    groups = shot_groups(e.class_counts)
    totals = np.bincount(e.labels, minlength=len(e.class_counts))
    shares: Dict[str, Dict[str, float]] = {}
    for group, members in groups.items():
        if not (members & (totals > 0)).any():
            continue
        own = np.flatnonzero(members & (totals > 0))
        weights = np.zeros(len(totals))
        weights[own] = 100 / totals[own] / len(own) / len(method.runs)
        shares[group] = dict.fromkeys(('right', *groups), 0.0)
        for one in method.evaluations:
            weight, right = weights[one.labels], one.labels == one.predictions
            shares[group]['right'] += weight[right].sum()
            for other, others in groups.items():
                there = others[one.predictions] & ~right
                shares[group][other] += weight[there].sum()
    return shares
