"""Confused classes that are mirror images of each other, such as b and d."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from bcl_mm.classes import shorten
from bcl_mm.datasets.fingerprints import fingerprint
from bcl_mm.datasets.mirrored import mirrored_classes
from bcl_mm.report.confusion import confusion_cells
from bcl_mm.report.summary import Method
from bcl_mm.report.thumbnails import Pictures

_PAIRS = 20  # the most frequent confusions of each method
_IMAGES = 30  # of each class


def flips(settings: Any) -> bool:
    """Whether a config's part has a transform that flips images."""
    if isinstance(settings, dict):
        kind = str(settings.get('type', '')).rpartition('.')[2]
        if kind in ('RandomFlip', 'RandomHorizontalFlip'):
            return settings.get('prob', settings.get('p', 0.5)) != 0
        return any(flips(value) for value in settings.values())
    if isinstance(settings, (list, tuple)):
        return any(flips(value) for value in settings)
    return False


def confused_pairs(methods: Sequence[Method]) -> Dict[Tuple[int, int], int]:
    """The most frequent confusions: (class, larger class) -> images."""
    totals: Dict[Tuple[int, int], int] = {}
    for method in methods:
        true, predicted, times = confusion_cells(method)
        wrong = true != predicted
        cells = zip(true[wrong], predicted[wrong], times[wrong])
        found: Dict[Tuple[int, int], int] = {}
        for a, b, number in cells:
            pair = min(int(a), int(b)), max(int(a), int(b))
            found[pair] = found.get(pair, 0) + int(number)
        ranked = sorted(found.items(), key=lambda item: -item[1])
        for pair, number in ranked[:_PAIRS]:
            totals[pair] = totals.get(pair, 0) + number
    return totals


def mirror_notes(methods: Sequence[Method], pictures: Pictures) -> List[str]:
    """Warnings of confused classes that a flip turns into each other.

    None, if no training flips images.

    Args:
        methods: The methods.
        pictures: Pictures of the test images.
    """
    loaders = [m.runs[0].cfg.get('train_dataloader') for m in methods]
    if not any(map(flips, loaders)):
        return []
    e = methods[0].first
    confused = confused_pairs(methods)
    rows, labels = [], []
    for label in sorted({c for pair in confused for c in pair}):
        for index in np.flatnonzero(e.labels == label)[:_IMAGES].tolist():
            image = pictures(index)
            if image is None:
                continue
            # As a check sees them: BGR.
            bgr = np.asarray(image.convert('RGB'))[..., ::-1]
            row = fingerprint(np.ascontiguousarray(bgr))
            if row['comparable']:
                rows.append(row)
                labels.append(label)
    if not rows:
        return []
    table = np.stack(rows)
    pairs = mirrored_classes(
        table['hash'], table['mirrored'], np.array(labels)
    )
    return [
        f'{shorten(e.classes[a], 30)} and {shorten(e.classes[b], 30)} look '
        f'like mirror images of each other and are confused '
        f'({confused[a, b]:,} times), and the training flips images: try '
        '--cfg-options augmentation=symbols, which does not.'
        for a, b in ((pair.first, pair.second) for pair in pairs)
        if (a, b) in confused
    ]
