"""The figures of a report: accuracy, errors, confidence, training."""

from __future__ import annotations

from typing import List

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bcl_mm.classes import shorten, shot_groups
from bcl_mm.evaluation import reliability

from .errors import error_shares
from .style import (
    GROUP_COLOURS,
    GROUP_NAMES,
    add_legend,
    new_figure,
    show_plain_numbers,
    with_styles,
)
from .summary import Method, mean_and_spread

# Figures of the log that are drawn, and their titles.
CURVES = {
    'loss': 'training loss',
    'accuracy/top1': 'top-1, validation (%)',
    'accuracy/few': 'few-shot, validation (%)',
}


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


def _smooth_line(method: Method, values: np.ndarray) -> tuple:
    """Training images and smoothed values of tested classes."""
    tested = np.isfinite(values)
    x = np.log(method.first.class_counts[tested])
    at = np.linspace(x.min(), x.max(), 80)
    return np.exp(at), smooth(x, values[tested], at)


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
                color=GROUP_COLOURS[group],
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
        line = _smooth_line(method, method.class_accuracies)
        axes.plot(*line, **style, linewidth=2)
    _log_counts(axes)
    axes.set(ylim=(-3, 103), ylabel='accuracy of the class (%)')
    add_legend(figure, axes)
    return figure


def draw_gains(methods: List[Method]) -> Figure:
    """Each method's gain over the first, from head to tail."""
    figure, axes = new_figure(3.4)
    (base, base_style), *others = with_styles(methods)
    for method, style in others:
        gains = method.class_accuracies - base.class_accuracies
        axes.plot(*_smooth_line(method, gains), **style, linewidth=2)
    axes.axhline(0, **base_style)
    _log_counts(axes)
    axes.set_ylabel('points above the first')
    add_legend(figure, axes)
    return figure


def draw_groups(methods: List[Method]) -> Figure:
    """Accuracy of the groups, with the spread and dots of the seeds."""
    figure, axes = new_figure(3.4)
    names = [n for n in GROUP_NAMES if any(m.values(n) for m in methods)]
    width = 0.8 / len(methods)
    ink = matplotlib.rcParams['text.color']
    for i, (method, style) in enumerate(with_styles(methods)):
        x = np.arange(len(names)) + (i - (len(methods) - 1) / 2) * width
        values = [method.values(name) for name in names]
        means, spreads = np.array([mean_and_spread(v) for v in values]).T
        axes.bar(x, means, width * 0.92, **style)
        if len(method.runs) > 1:
            axes.errorbar(x, means, spreads, fmt='none', ecolor=ink, capsize=2)
            for position, dots in zip(x, values):
                axes.scatter([position] * len(dots), dots, s=6, color=ink)
    axes.set_xticks(range(len(names)), [GROUP_NAMES[n] for n in names])
    axes.grid(axis='x', visible=False)
    axes.set(ylim=(0, 100), ylabel='accuracy (%)')
    add_legend(figure, axes)
    return figure


def draw_errors(methods: List[Method]) -> Figure:
    """How the test images of each group are classified."""
    shares = [error_shares(method) for method in methods]
    groups = list(shares[0])
    height = 0.9 + (0.45 + 0.26 * len(methods)) * len(groups)
    figure, all_axes = new_figure(
        height, nrows=len(groups), sharex=True, squeeze=False
    )
    rows = range(len(methods))
    for axes, group in zip(all_axes[:, 0], groups):
        axes.set_title(f'images of {GROUP_NAMES[group]} classes')
        left = np.zeros(len(methods))
        for outcome, colour in dict(right='#009e73', **GROUP_COLOURS).items():
            lengths = np.array([share[group][outcome] for share in shares])
            label = f'wrong, as {GROUP_NAMES.get(outcome)}'
            label = outcome if outcome == 'right' else label
            axes.barh(rows, lengths, left=left, color=colour, label=label)
            left += lengths
        axes.set_yticks(rows, [shorten(m.name, 22) for m in methods])
        axes.invert_yaxis()
        axes.set_xlim(0, 100)
        axes.grid(axis='y', visible=False)
    all_axes[-1, 0].set_xlabel('share of the images (%)')
    add_legend(figure, all_axes[0, 0])
    return figure


def draw_reliability(methods: List[Method]) -> Figure:
    """Accuracy over confidence, of all and of few-shot images."""
    few = shot_groups(methods[0].first.class_counts)['few']
    parts = {'all images': np.ones_like(few)}
    if few[methods[0].first.labels].any():
        parts['images of few-shot classes'] = few
    height = 3.2 if len(parts) > 1 else 4.4
    figure, all_axes = new_figure(
        height, ncols=len(parts), sharey=True, squeeze=False
    )
    ink = matplotlib.rcParams['text.color']
    for axes, (title, members) in zip(all_axes[0], parts.items()):
        axes.plot([0, 1], [0, 1], color=ink, linewidth=0.8, linestyle=':')
        for method, style in with_styles(methods):
            chosen, runs = members[method.first.labels], method.evaluations
            bins = reliability(
                np.concatenate([e.confidences[chosen] for e in runs]),
                np.concatenate([e.correct[chosen] for e in runs]),
            )
            filled = bins['counts'] > 0
            points = bins['confidence'][filled], bins['accuracy'][filled]
            axes.plot(*points, **style, linewidth=1, alpha=0.6)
            shares = bins['counts'][filled] / bins['counts'].sum()
            axes.scatter(*points, 2 + 150 * shares, color=style['color'])
        axes.set_aspect('equal')
        axes.set(title=title, xlim=(0, 1), ylim=(0, 1), xlabel='confidence')
    all_axes[0, 0].set_ylabel('accuracy')
    add_legend(figure, all_axes[0, 0])
    return figure


def logged_curves(methods: List[Method]) -> List[str]:
    """Names of the figures of CURVES that a run has logged."""
    runs = [run for method in methods for run in method.runs]
    return [n for n in CURVES if any(run.curve(n)[0] for run in runs)]


def draw_curves(methods: List[Method]) -> Figure:
    """Training loss, and accuracies at the validations."""
    logged = logged_curves(methods)
    figure, all_axes = new_figure(
        1.9 * len(logged) + 0.6, nrows=len(logged), sharex=True, squeeze=False
    )
    for axes, name in zip(all_axes[:, 0], logged):
        axes.set_title(CURVES[name])
        for method, style in with_styles(methods):
            style.update(markersize=3, linewidth=1.3)
            for run in method.runs:
                steps, values = run.curve(name)
                marker = 'o' if len(steps) < 10 else None
                axes.plot(steps, values, marker=marker, **style)
                style['label'] = None
    all_axes[-1, 0].set_xlabel('epoch')
    all_axes[-1, 0].xaxis.set_major_locator(MaxNLocator(integer=True))
    add_legend(figure, all_axes[0, 0])
    return figure
