"""The errors of a model: which classes it confuses."""

from __future__ import annotations

from typing import Dict, List

import numpy as np

from bcl_mm.classes import shot_groups

from .summary import Method


def tail_classes(class_counts: np.ndarray, tested: np.ndarray) -> np.ndarray:
    """(C,) bool: few-shot classes, or the rarest third if there are none."""
    tail = shot_groups(class_counts)['few'] & tested
    if not tail.any():
        rarest = np.argsort(class_counts, kind='stable')
        rarest = rarest[tested[rarest]]
        tail[rarest[: max(1, len(rarest) // 3)]] = True
    return tail


def confusions(method: Method, most: int = 6) -> List[dict]:
    """The largest confusions of the tail, as shares of a class's images.

    Returns:
        For each the ``true`` and ``predicted`` class, ``times``: how often it
        happens among ``of`` images (over all runs), ``images``: indices of
        test images, those with the most confident error first.
    """
    e, num_runs = method.first, len(method.runs)
    num_classes = len(e.class_counts)
    tail = tail_classes(e.class_counts, e.totals > 0)
    pairs = []
    for one in method.evaluations:
        wrong = ~one.correct & tail[e.labels]
        pairs.append((e.labels * num_classes + one.predictions)[wrong])
    codes, times = np.unique(np.concatenate(pairs), return_counts=True)
    of = e.totals[codes // num_classes] * num_runs
    found = []
    # As if there were one image more: one of one says little.
    for i in np.argsort(-times / (of + 1), kind='stable')[:most]:
        true, predicted = map(int, divmod(codes[i], num_classes))
        # The first run may not have made this error.
        sure = np.full(len(e.labels), -1.0)
        for one in method.evaluations:
            taken = (e.labels == true) & (one.predictions == predicted)
            sure[taken] = np.maximum(sure[taken], one.confidences[taken])
        images = np.flatnonzero(sure >= 0)
        order = np.argsort(-sure[images], kind='stable')
        found.append(
            dict(
                true=true,
                predicted=predicted,
                times=int(times[i]),
                of=int(of[i]),
                images=images[order][:4].tolist(),
            )
        )
    return found


def error_shares(method: Method) -> Dict[str, Dict[str, float]]:
    """Share of each group's test images, right or by wrong group, in percent.

    A group's shares are means over its classes, as its accuracy is.

    Returns:
        For each group with test images: ``right``, and the share of wrong
        predictions in each group.
    """
    e = method.first
    groups = shot_groups(e.class_counts)
    shares: Dict[str, Dict[str, float]] = {}
    for group, members in groups.items():
        own = np.flatnonzero(members & (e.totals > 0))
        if not len(own):
            continue
        weights = np.zeros(len(e.totals))
        weights[own] = 100 / e.totals[own] / len(own) / len(method.runs)
        weight = weights[e.labels]
        share = shares[group] = dict.fromkeys(('right', *groups), 0.0)
        for one in method.evaluations:
            share['right'] += weight[one.correct].sum()
            for other, others in groups.items():
                wrong = others[one.predictions] & ~one.correct
                share[other] += weight[wrong].sum()
    return shares
