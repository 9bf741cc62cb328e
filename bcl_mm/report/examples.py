"""Some predictions of a method, right and wrong, with their images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from bcl_mm.classes import shorten
from bcl_mm.report.style import SMALL, new_figure
from bcl_mm.report.summary import Method
from bcl_mm.report.thumbnails import Pictures

EXAMPLES = 8  # of each kind
_COLUMNS = 4


@dataclass
class Example:
    """The prediction of a test image, by the first run.

    Attributes:
        true, predicted: Class names.
        confidence: Of the prediction, percent.
        is_right: Whether it is right.
        image: The image; None if it cannot be loaded.
    """

    true: str
    predicted: str
    confidence: float
    is_right: bool
    image: Optional[Image.Image]


def choose_examples(
    labels: np.ndarray, chosen: np.ndarray, class_counts: np.ndarray, most: int
) -> np.ndarray:
    """Indices of images of different classes, from head to tail.

    Args:
        labels: (N,) labels.
        chosen: (N,) bool: the images to choose from.
        class_counts: (C,) training images.
        most: Maximum number of images.

    Returns:
        At most ``most`` indices: random ones, the same each time, of each
        class as few as possible.
    """
    order = np.random.RandomState(0).permutation(np.flatnonzero(chosen))
    taken = np.zeros(len(class_counts), int)
    rounds = np.empty(len(order), int)  # how many of its class come before
    for i, label in enumerate(labels[order]):
        rounds[i] = taken[label]
        taken[label] += 1
    order = order[np.argsort(rounds, kind='stable')]
    pool = order[: max(most, int((taken > 0).sum()))]
    pool = pool[np.argsort(-class_counts[labels[pool]], kind='stable')]
    picks = np.linspace(0, len(pool) - 1, min(most, len(pool))).round()
    return pool[np.unique(picks.astype(int))]


def examples_of(method: Method, pictures: Pictures) -> List[Example]:
    """Some right predictions and as many wrong ones, if there are."""
    e = method.first
    found = []
    for chosen in (e.correct, ~e.correct):
        picks = choose_examples(e.labels, chosen, e.class_counts, EXAMPLES)
        for i in picks.tolist():
            found.append(
                Example(
                    true=e.classes[e.labels[i]],
                    predicted=e.classes[e.predictions[i]],
                    confidence=100 * float(e.confidences[i]),
                    is_right=bool(e.correct[i]),
                    image=pictures(i),
                )
            )
    return found


def draw_examples(examples: List[Example]) -> Figure:
    """The examples in a grid."""
    rows = -(-len(examples) // _COLUMNS)
    figure, all_axes = new_figure(
        1.5 * rows, nrows=rows, ncols=_COLUMNS, squeeze=False
    )
    figure.set_figwidth(1.4 * _COLUMNS)
    for axes in all_axes.flat:
        axes.set_axis_off()
    for axes, example in zip(all_axes.flat, examples):
        if example.image is not None:
            axes.imshow(example.image.convert('RGB'))
        true = shorten(example.true, 14)
        title = f'✓ {true}'
        if not example.is_right:
            title = f'✗ {true}\nas {shorten(example.predicted, 13)}'
        title += f'\n{example.confidence:.0f} %'
        axes.set_title(title, fontsize=SMALL, loc='center')
    return figure
