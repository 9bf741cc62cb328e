"""Sizes, formats and class sizes of data sets, as short text."""

from __future__ import annotations

from typing import Any, Callable, List, Sequence, Set

import numpy as np

from bcl_mm.classes import shorten
from bcl_mm.datasets.audit import Split

_ROWS = 20  # of a histogram, at most
_BAR, _NAME = 40, 24  # characters
_TILES = ' ▏▎▍▌▋▊▉█'
# Pillow's modes whose names say nothing.
_MODES = {
    '1': 'black and white',
    'L': 'grey',
    'LA': 'grey with alpha',
    'P': 'palette',
    'RGBA': 'RGB with alpha',
    'I;16': 'grey of 16 bits',
}


def _counted(values: np.ndarray, show: Callable[[Any], str]) -> str:
    """Values and how often they occur, the most frequent first."""
    found, counts = np.unique(values, return_counts=True)
    order = np.argsort(-counts, kind='stable')
    return ', '.join(f'{counts[i]:,} {show(found[i])}' for i in order)


def describe_images(splits: Sequence[Split]) -> List[str]:
    """Lines on the decoded images of all splits, each image once.

    Returns:
        No line if nothing was decoded.
    """
    names, prints = [], []
    seen: Set[str] = set()
    for split in splits:
        known = np.flatnonzero(split.fingerprints['known']).tolist()
        new = [i for i in known if split.paths[i] not in seen]
        seen.update(filter(None, split.paths))
        names += [f'{split.name}: {split.image_name(i)}' for i in new]
        prints.append(split.fingerprints[new])
    rows = np.concatenate(prints)
    if not len(rows):
        return []

    def size(i: int) -> str:
        return f'{rows["width"][i]:,} x {rows["height"][i]:,}'

    pixels = rows['width'].astype(np.int64) * rows['height']
    order = np.argsort(pixels, kind='stable')
    first, last = order[0], order[-1]
    lines = [f'images: {len(rows):,} decoded']
    if size(first) == size(last):
        lines.append(f'  size: {size(first)} pixels')
    else:
        lines += [
            f'  median size: {size(order[len(order) // 2])} pixels',
            f'  smallest: {size(first)}, {names[first]}',
            f'  largest: {size(last)}, {names[last]}',
        ]
    files = rows[rows['bits'] > 0]
    if len(files):
        lines += [
            f'  formats: {_counted(files["format"], bytes.decode)}',
            f'  channels: {_counted(files["mode"], _mode_name)}',
            f'  bits: {_counted(files["bits"], "with {}".format)}',
            f'  turned by EXIF: {files["is_turned"].sum():,}',
        ]
    flat = np.flatnonzero(rows['is_flat'])
    if len(flat):
        lines.append(
            f'  of one colour: {len(flat):,}, such as {names[flat[0]]}'
        )
    return lines


def _mode_name(mode: bytes) -> str:
    name = mode.decode()
    return _MODES.get(name, name)


def _bar(part: float) -> str:
    """A bar whose length is a part, in [0, 1], of the longest."""
    eighths = max(round(part * _BAR * 8), 1 if part else 0)
    return '█' * (eighths // 8) + _TILES[eighths % 8].strip()


def describe_classes(split: Split) -> List[str]:
    """Histogram of the classes of a split, from head to tail.

    Each row is a class or, if there are more than 20, as many classes as
    the others; its bar is their mean.
    """
    counts = split.class_counts
    order = np.argsort(-counts, kind='stable')
    most = max(counts.max(), 1)

    def name(label: int) -> str:
        return shorten(split.name_of_class(int(label)), _NAME)

    lines = []
    if len(order) <= _ROWS:
        width = max(len(name(label)) for label in order)
        digits = len(f'{most:,}')
        for label in order:
            text = f'{counts[label]:>{digits},} {_bar(counts[label] / most)}'
            lines.append(f'  {name(label):<{width}}  {text}'.rstrip())
        return lines
    ranks = np.arange(1, len(order) + 1)
    labels = []
    for part, block in zip(
        np.array_split(ranks, _ROWS), np.array_split(order, _ROWS)
    ):
        first, last = counts[block[0]], counts[block[-1]]
        figures = f'{first:,}' if first == last else f'{first:,} to {last:,}'
        labels.append(
            (
                f'classes {part[0]:,} to {part[-1]:,}',
                figures,
                _bar(counts[block].mean() / most),
            )
        )
    widths = [max(len(row[i]) for row in labels) for i in (0, 1)]
    lines = [
        f'  {ranks:<{widths[0]}}  {figures:>{widths[1]}} {bar}'
        for ranks, figures, bar in labels
    ]
    for title, some in (
        ('largest', order[:3]),
        ('smallest', order[-3:][::-1]),
    ):
        listed = ', '.join(f'{name(c)} ({counts[c]:,})' for c in some)
        lines.append(f'  {title}: {listed}')
    return lines
