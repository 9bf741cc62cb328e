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

from .errors import taken_for
from .style import (
    GROUP_COLOURS,
    GROUP_NAMES,
    PLAIN,
    add_legend,
    colour_of,
    lines_of,
    new_figure,
)
from .summary import GROUPS, Method, mean_and_spread


def _log_counts(axes: Axes) -> None:
    axes.set_xscale('log')
    axes.xaxis.set_major_formatter(PLAIN)
    axes.set_xlabel('training images of the class')


def smooth(x: np.ndarray, y: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Gaussian-weighted mean of y around each point.

    The Gaussian is a tenth of the range of x wide.

    Args:
        x: (n,) places.
        y: (n,) values.
        at: (m,) where to give the mean.

    Returns:
        (m,)
    """
    width = max(np.ptp(x) / 10, 1e-9)
    weights = np.exp(-0.5 * ((at[:, None] - x) / width) ** 2)  # (m, n)
    return weights @ y / weights.sum(axis=1)


def _head_to_tail(method: Method, values: np.ndarray) -> tuple:
    """Counts and smoothed values of tested classes."""
    counts = method.first.class_counts
    tested = np.isfinite(values)
    x = np.log(counts[tested])
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
    """How many training images each class has, sorted."""
    figure, axes = new_figure(2.8)
    counts = np.sort(methods[0].first.class_counts)[::-1]
    ranks = np.arange(1, len(counts) + 1)
    for group, members in shot_groups(counts).items():
        if members.any():
            axes.fill_between(
                np.append(ranks[members], ranks[members][-1] + 1) - 0.5,
                np.append(counts[members], counts[members][-1]),
                counts.min() / 2,  # the rarest have a height, too
                step='post',
                color=GROUP_COLOURS[group],
                label=f'{members.sum():,} {GROUP_NAMES[group]}',
                linewidth=0,
            )
    axes.set_yscale('log')
    axes.yaxis.set_major_formatter(PLAIN)
    axes.set_ylim(bottom=counts.min() / 2)
    axes.set_xlabel('classes, most frequent first')
    axes.set_ylabel('training images')
    axes.legend()
    return figure


def draw_classes(methods: List[Method]) -> Figure:
    """Accuracy of each class over its training images."""
    figure, axes = new_figure(3.8)
    for method, style in lines_of(methods):
        axes.scatter(
            *_dots(method), s=14, alpha=0.6, color=style['color'], linewidth=0
        )
        axes.plot(
            *_head_to_tail(method, method.class_accuracies),
            **style,
            linewidth=2,
        )
    _log_counts(axes)
    axes.set_ylim(-3, 103)
    axes.set_ylabel('accuracy of the class (%)')
    add_legend(figure, axes)
    return figure


def draw_gains(methods: List[Method]) -> Figure:
    """Each method's gain over the first, from head to tail."""
    figure, axes = new_figure(3.4)
    base, *others = methods
    for i, method in enumerate(others, 1):
        gains = method.class_accuracies - base.class_accuracies
        axes.plot(
            *_head_to_tail(method, gains),
            color=colour_of(i, len(methods)),
            label=method.name,
            linewidth=2,
        )
    axes.axhline(0, color=colour_of(0, len(methods)), label=base.name)
    _log_counts(axes)
    axes.set_ylabel('points above the first')
    add_legend(figure, axes)
    return figure


def draw_groups(methods: List[Method]) -> Figure:
    """Accuracy of the groups, with the spread and dots of the seeds."""
    figure, axes = new_figure(3.4)
    names = [n for n in GROUPS if any(m.values(n) for m in methods)]
    width = 0.8 / len(methods)
    for i, (method, style) in enumerate(lines_of(methods)):
        places = np.arange(len(names)) + (i - (len(methods) - 1) / 2) * width
        values = [method.values(name) for name in names]
        means, spreads = np.array([mean_and_spread(v) for v in values]).T
        axes.bar(places, means, width * 0.92, **style)
        if len(method.runs) > 1:
            ink = matplotlib.rcParams['text.color']
            axes.errorbar(
                places, means, spreads, fmt='none', ecolor=ink, capsize=2
            )
            for place, dots in zip(places, values):
                axes.scatter([place] * len(dots), dots, s=6, color=ink)
    axes.set_xticks(range(len(names)), [GROUP_NAMES[n] for n in names])
    axes.grid(axis='x', visible=False)
    axes.set_ylim(0, 100)
    axes.set_ylabel('accuracy (%)')
    add_legend(figure, axes)
    return figure


def draw_errors(methods: List[Method]) -> Figure:
    """Where test images of each group end."""
    shares = [taken_for(method) for method in methods]
    groups = list(shares[0])
    figure, all_axes = new_figure(
        0.9 + (0.45 + 0.26 * len(methods)) * len(groups),
        nrows=len(groups),
        sharex=True,
        squeeze=False,
    )
    colours = dict(right='#009e73', **GROUP_COLOURS)
    for axes, group in zip(all_axes[:, 0], groups):
        axes.set_title(f'images of {GROUP_NAMES[group]} classes')
        left = np.zeros(len(methods))
        for end, colour in colours.items():
            lengths = np.array([share[group][end] for share in shares])
            what = 'right' if end == 'right' else f'as {GROUP_NAMES[end]}'
            axes.barh(
                range(len(methods)),
                lengths,
                left=left,
                color=colour,
                label=what if end == 'right' else f'wrong, {what}',
            )
            left += lengths
        axes.set_yticks(
            range(len(methods)),
            [shorten(method.name, 22) for method in methods],
        )
        axes.invert_yaxis()
        axes.set_xlim(0, 100)
        axes.grid(axis='y', visible=False)
    all_axes[-1, 0].set_xlabel('share of the images (%)')
    add_legend(figure, all_axes[0, 0])
    return figure


def draw_reliability(methods: List[Method]) -> Figure:
    """Accuracy over confidence, of all and of few-shot images."""
    few = shot_groups(methods[0].first.class_counts)['few']
    parts = dict(all=np.ones_like(few), few=few)
    titles = dict(all='all images', few='images of few-shot classes')
    if not few[methods[0].first.labels].any():
        del parts['few']
    figure, all_axes = new_figure(
        3.2 if len(parts) > 1 else 4.4,
        ncols=len(parts),
        sharey=True,
        squeeze=False,
    )
    for axes, (part, members) in zip(all_axes[0], parts.items()):
        ink = matplotlib.rcParams['text.color']
        axes.plot([0, 1], [0, 1], color=ink, linewidth=0.8, linestyle=':')
        for method, style in lines_of(methods):
            chosen = [members[e.labels] for e in method.evaluations]
            runs = list(zip(method.evaluations, chosen))
            sure = np.concatenate([e.confidences[c] for e, c in runs])
            right = np.concatenate(
                [(e.labels == e.predictions)[c] for e, c in runs]
            )
            bins = reliability(sure, right)
            there = bins['counts'] > 0
            points = bins['confidence'][there], bins['accuracy'][there]
            axes.plot(*points, **style, linewidth=1, alpha=0.6)
            shares = bins['counts'][there] / bins['counts'].sum()
            axes.scatter(*points, 2 + 150 * shares, color=style['color'])
        axes.set_title(titles[part])
        axes.set_aspect('equal')
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel='confidence')
    all_axes[0, 0].set_ylabel('accuracy')
    add_legend(figure, all_axes[0, 0])
    return figure


def draw_curves(methods: List[Method]) -> Figure:
    """Training loss, and accuracies at the validations."""
    names = dict(loss='training loss')
    names['accuracy/top1'] = 'top-1, validation (%)'
    names['accuracy/few'] = 'few-shot, validation (%)'
    there = {
        name: title
        for name, title in names.items()
        if any(run.curve(name)[0] for m in methods for run in m.runs)
    }
    figure, all_axes = new_figure(
        1.9 * len(there) + 0.6, nrows=len(there), sharex=True, squeeze=False
    )
    for axes, (name, title) in zip(all_axes[:, 0], there.items()):
        axes.set_title(title)
        for method, style in lines_of(methods):
            for run in method.runs:
                steps, values = run.curve(name)
                marker = 'o' if len(steps) < 10 else None
                axes.plot(
                    steps,
                    values,
                    **style,
                    marker=marker,
                    markersize=3,
                    linewidth=1.3,
                )
                style = dict(style, label=None)
    all_axes[-1, 0].set_xlabel('epoch')
    all_axes[-1, 0].xaxis.set_major_locator(MaxNLocator(integer=True))
    add_legend(figure, all_axes[0, 0])
    return figure
