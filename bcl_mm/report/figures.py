"""Figures of groups of classes, of confidence and of training."""

from __future__ import annotations

from typing import Any, Dict, List

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bcl_mm.classes import shorten, shot_groups
from bcl_mm.evaluation import Difference, holm, reliability

from .errors import error_shares
from .style import (
    GROUP_NAMES,
    add_legend,
    group_colours,
    new_figure,
    with_styles,
)
from .summary import Method, mean_and_spread
from .tables import COLUMNS
from .verdict import CRITERION

# Figures of the log that are drawn, and their titles.
CURVES = {
    'loss': 'training loss',
    'accuracy/top1': 'top-1, validation (%)',
    'accuracy/few': 'few-shot, validation (%)',
}


def _draw_gaps(
    gaps: List[Difference],
    names: List[str],
    colours: List[Any],
    are_clear: List[bool],
    x_label: str,
) -> Figure:
    """A row for each difference: a dot, and its interval if it has one."""
    figure, axes = new_figure(0.8 + 0.32 * len(gaps))
    ink = matplotlib.rcParams['text.color']
    axes.axvline(0, color=ink, linewidth=0.8)
    for row, (gap, colour) in enumerate(zip(gaps, colours)):
        fill = colour if are_clear[row] else axes.get_facecolor()
        if gap.is_known:
            axes.plot([gap.low, gap.high], [row, row], color=colour)
        axes.plot(gap.mean, row, 'o', color=colour, markerfacecolor=fill)
    axes.set_yticks(range(len(gaps)), names)
    axes.invert_yaxis()
    axes.set_ylim(len(gaps) - 0.5, -0.5)
    axes.grid(axis='y', visible=False)
    axes.set_xlabel(x_label)
    return figure


def draw_verdict(
    methods: List[Method],
    best: Method,
    rival: Method,
    differences: Dict[str, Difference],
) -> Figure:
    """The best method's differences from its rival, with intervals."""
    (colour,) = [
        style['color'] for m, style in with_styles(methods) if m is best
    ]
    gaps = list(differences.values())
    return _draw_gaps(
        gaps,
        [COLUMNS[name][0] for name in differences],
        [colour] * len(gaps),
        [gap.is_clear for gap in gaps],
        f'points of {shorten(best.name, 22)}\nabove {shorten(rival.name, 26)}',
    )


def draw_differences(methods: List[Method], best: Method) -> Figure:
    """All methods' differences from the best one, the nearest first."""
    others = []
    for method, style in with_styles(methods):
        gap = None if method is best else method.above(best, CRITERION)
        if gap is not None:
            others.append((gap, method, style['color']))
    others.sort(key=lambda row: -row[0].mean)
    gaps = [gap for gap, _, _ in others]
    found = [(i, gap.p_value) for i, gap in enumerate(gaps)]
    known = {i: p_value for i, p_value in found if p_value is not None}
    are_clear = [False] * len(gaps)
    for i, p_value in zip(known, holm(list(known.values()))):
        are_clear[i] = p_value < 0.05
    return _draw_gaps(
        gaps,
        [shorten(method.name, 26) for _, method, _ in others],
        [colour for _, _, colour in others],
        are_clear,
        f'balanced accuracy, points\nabove {shorten(best.name, 26)}',
    )


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
    axes.set(ylim=(0, 103), ylabel='accuracy (%)')
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
        paper = axes.get_facecolor()
        for outcome in ('right', *groups):
            lengths = np.array([share[group][outcome] for share in shares])
            is_right = outcome == 'right'
            axes.barh(
                rows,
                lengths,
                left=left,
                color=paper if is_right else group_colours()[outcome],
                edgecolor=matplotlib.rcParams['xtick.color'],
                linewidth=0.6,
                label=outcome if is_right else f'as {GROUP_NAMES[outcome]}',
            )
            left += lengths
        axes.set_yticks(rows, [shorten(m.name, 16) for m in methods])
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
    figure, all_axes = new_figure(
        0.6 + 2.9 * len(parts), nrows=len(parts), squeeze=False
    )
    ink = matplotlib.rcParams['text.color']
    for axes, (title, members) in zip(all_axes[:, 0], parts.items()):
        axes.plot([0, 100], [0, 100], color=ink, linewidth=0.8, linestyle=':')
        for method, style in with_styles(methods):
            chosen, runs = members[method.first.labels], method.evaluations
            bins = reliability(
                np.concatenate([e.confidences[chosen] for e in runs]),
                np.concatenate([e.correct[chosen] for e in runs]),
            )
            filled = bins['counts'] > 0
            x, y = (100 * bins[k][filled] for k in ('confidence', 'accuracy'))
            axes.plot(x, y, **style, linewidth=1, alpha=0.6)
            shares = bins['counts'][filled] / bins['counts'].sum()
            axes.scatter(x, y, 2 + 150 * shares, color=style['color'])
        axes.set_aspect('equal')
        axes.set(title=title, xlim=(0, 100), ylim=(0, 100))
        axes.set_ylabel('accuracy (%)')
    all_axes[-1, 0].set_xlabel('confidence (%)')
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
