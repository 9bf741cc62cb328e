"""Figures of the feature space: cosines of class means, embedded images."""

from __future__ import annotations

from typing import List

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from bcl_mm.classes import shorten

from .style import SMALL, new_figure, shown_label
from .summary import Method
from .tables import KINDS


def _panels(number: int, height: float) -> tuple:
    """A figure of this number of square panels, two in a row."""
    columns = min(2, number)
    rows = -(-number // columns)
    figure, axes = new_figure(
        rows * height, nrows=rows, ncols=columns, squeeze=False
    )
    for unused in axes.flat[number:]:
        unused.set_visible(False)
    return figure, list(axes.flat[:number])


def draw_cosines(methods: List[Method]) -> Figure:
    """Cosines of the class means of each method, and the ideal ones."""
    first = methods[0].first
    ideal = -1 / (len(first.class_counts) - 1)
    panels = [
        (f'{shorten(method.name, 20)}\n{KINDS[kind]}', square)
        for method in methods
        for kind, square in method.first.cosines.items()
    ]
    blocks = len(panels[0][1])
    perfect = np.full((blocks, blocks), ideal)
    if blocks == (first.totals > 0).sum():  # else the diagonal has pairs, too
        np.fill_diagonal(perfect, 1)
    panels.append((f'regular simplex\n{ideal:.3g} everywhere', perfect))
    figure, all_axes = _panels(len(panels), 2.2)
    # Around the ideal, without the diagonal, which is known.
    others = ~np.eye(blocks, dtype=bool)
    spread = max(np.abs(square[others] - ideal).max() for _, square in panels)
    spread = max(spread, 1e-3)
    limits = dict(vmin=ideal - spread, vmax=ideal + spread)
    for axes, (title, square) in zip(all_axes, panels):
        image = axes.imshow(
            square, cmap='RdBu_r', interpolation='nearest', **limits
        )
        axes.set_title(title, fontsize=SMALL)
        axes.set(xticks=[], yticks=[], xlabel='head → tail')
        axes.grid(visible=False)
    bar = dict(location='bottom', shrink=0.6, aspect=30)
    figure.colorbar(image, ax=all_axes, label='cosine', **bar)
    return figure


def draw_embedding(methods: List[Method]) -> Figure:
    """Test images of some classes, from head to tail, in two dimensions."""
    figure, all_axes = _panels(len(methods), 2.1)
    for axes, method in zip(all_axes, methods):
        e = method.first
        labels = e.labels[e.shown]
        classes = list(dict.fromkeys(labels))  # head first
        shades = np.linspace(0.05, 0.95, len(classes))
        for c, colour in zip(classes, matplotlib.colormaps['turbo'](shades)):
            name = shorten(str(e.classes[c]), 14)
            axes.scatter(
                *e.embedding[labels == c].T,
                s=7,
                color=colour,
                linewidth=0,
                label=shown_label(f'{name} ({e.class_counts[c]:,})'),
            )
        axes.set_title(shorten(method.name, 20), fontsize=SMALL)
        axes.set(xticks=[], yticks=[])
    figure.legend(
        *all_axes[0].get_legend_handles_labels(),
        loc='outside lower center',
        ncols=2,
        markerscale=2,
        fontsize=SMALL,
    )
    return figure
