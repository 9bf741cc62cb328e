"""Figures with a place for each class, from head to tail."""

from __future__ import annotations

from typing import List

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bcl_mm.classes import shorten, shot_groups

from .style import (
    GROUP_NAMES,
    add_legend,
    group_colours,
    new_figure,
    show_plain_numbers,
    with_styles,
)
from .summary import Method


def _log_counts(axes: Axes) -> None:
    axes.set(xscale='log', xlabel='training images of the class')
    show_plain_numbers(axes.xaxis)


def smooth(x: np.ndarray, y: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Gaussian-weighted mean of y around each point.

    The Gaussian's width is a tenth of the range of x.

    Args:
        x: (n,) positions.
        y: (n,) values.
        at: (m,) positions of the means.

    Returns:
        (m,)
    """
    width = max(np.ptp(x) / 10, 1e-9)
    weights = np.exp(-0.5 * ((at[:, None] - x) / width) ** 2)  # (m, n)
    return weights @ y / weights.sum(axis=1)


def band(x: np.ndarray, y: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Half of the 95 % interval of :func:`smooth`, from the spread of y.

    A weighted mean of independent values with their weighted variance
    around it. Where one value has all the weight, nothing is known: NaN.

    Args:
        x: (n,) positions.
        y: (n,) values.
        at: (m,) positions of the means.

    Returns:
        (m,)
    """
    width = max(np.ptp(x) / 10, 1e-9)
    weights = np.exp(-0.5 * ((at[:, None] - x) / width) ** 2)  # (m, n)
    weights /= weights.sum(axis=1, keepdims=True)
    squares = (weights**2).sum(axis=1)
    gaps = (y - smooth(x, y, at)[:, None]) ** 2
    variance = (weights * gaps).sum(axis=1) / np.maximum(1 - squares, 1e-12)
    half = 1.96 * np.sqrt(variance * squares)
    return np.where(squares < 0.99, half, np.nan)


def _add_line(
    axes: Axes, method: Method, values: np.ndarray, style: dict
) -> None:
    """Draw the smoothed values of tested classes, with their band."""
    tested = np.isfinite(values)
    x, y = np.log(method.first.class_counts[tested]), values[tested]
    at = np.linspace(x.min(), x.max(), 80)
    line, half = smooth(x, y, at), band(x, y, at)
    axes.plot(np.exp(at), line, **style, linewidth=1.8)
    low, high = line - half, line + half
    colour = style['color']
    axes.fill_between(
        np.exp(at), low, high, color=colour, alpha=0.18, linewidth=0
    )


def _dots(method: Method, most: int = 150) -> tuple:
    """Counts and accuracies of tested classes; means of several if many."""
    counts, accuracies = method.first.class_counts, method.class_accuracies
    order = np.argsort(counts, kind='stable')
    order = order[np.isfinite(accuracies[order])]
    blocks = np.array_split(order, min(most, len(order)))
    return tuple(
        [values[block].mean() for block in blocks]
        for values in (counts, accuracies)
    )


def draw_profile(methods: List[Method]) -> Figure:
    """The number of training images of each class, sorted."""
    figure, axes = new_figure(2.8)
    counts = np.sort(methods[0].first.class_counts)[::-1]
    ranks = np.arange(1, len(counts) + 1)
    bottom = counts.min() / 2  # the rarest have a height, too
    for group, members in shot_groups(counts).items():
        if members.any():
            axes.fill_between(
                np.append(ranks[members], ranks[members][-1] + 1) - 0.5,
                np.append(counts[members], counts[members][-1]),
                bottom,
                step='post',
                color=group_colours()[group],
                label=f'{members.sum():,} {GROUP_NAMES[group]}',
                linewidth=0,
            )
    axes.set_yscale('log')
    show_plain_numbers(axes.yaxis)
    axes.set_ylim(bottom=bottom)
    axes.set(xlabel='classes, most frequent first', ylabel='training images')
    axes.legend()
    return figure


def draw_classes(methods: List[Method]) -> Figure:
    """Accuracy of each class over its training images."""
    figure, axes = new_figure(3.8)
    for method, style in with_styles(methods):
        colour = style['color']
        axes.scatter(
            *_dots(method), s=14, alpha=0.6, color=colour, linewidth=0
        )
        _add_line(axes, method, method.class_accuracies, style)
    _log_counts(axes)
    axes.set(ylim=(-3, 103), ylabel='accuracy of the class (%)')
    add_legend(figure, axes)
    return figure


def draw_gains(methods: List[Method], rival: Method) -> Figure:
    """Each method's gain over one of them, from head to tail."""
    figure, axes = new_figure(3.4)
    for method, style in with_styles(methods):
        if method is rival:
            axes.axhline(0, **style)
            continue
        gains = method.class_accuracies - rival.class_accuracies
        _add_line(axes, method, gains, style)
    _log_counts(axes)
    axes.set_ylabel(f'points above\n{shorten(rival.name, 24)}')
    add_legend(figure, axes)
    return figure
