"""The style of the figures of a report: themes, colours, sizes."""

from __future__ import annotations

from typing import ContextManager, Iterator, List, Optional

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogFormatter

from bcl_mm.classes import shorten
from bcl_mm.utils.errors import visible

from .summary import Method

# The page shows a figure at about this size, a phone a little smaller. The
# text must stay readable there.
WIDTH = 5.0  # inches
THEMES = dict(
    light=dict(paper='#ffffff', ink='#1f2328', faint='#d8dce1'),
    dark=dict(paper='#15181c', ink='#e6e8ea', faint='#3a4048'),
)
# The colours of Okabe and Ito, without black: colour-blind people can tell
# them apart.
COLOURS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9']
GROUP_COLOURS = dict(many='#56b4e9', medium='#e69f00', few='#d55e00')
PLAIN = FuncFormatter(lambda value, _: f'{value:,.10g}')
GROUP_NAMES = dict(
    top1='all images', many='many-shot', medium='medium-shot', few='few-shot'
)


class _PlainLogFormatter(LogFormatter):
    """Labels the ticks that matplotlib would, as numbers, not as powers."""

    def __call__(self, x: float, pos: Optional[int] = None) -> str:
        return PLAIN(x) if super().__call__(x, pos) else ''


def theme(name: str) -> ContextManager:
    """Context in which figures are drawn in a theme."""
    paper, ink, faint = (THEMES[name][k] for k in ('paper', 'ink', 'faint'))
    style = {
        'figure.facecolor': paper,
        'axes.facecolor': paper,
        'savefig.facecolor': paper,
        'axes.edgecolor': faint,
        'axes.spines.top': False,
        'axes.spines.right': False,
        'axes.grid': True,
        'axes.axisbelow': True,
        'axes.titlesize': 10,
        'axes.titlelocation': 'left',
        'grid.color': faint,
        'grid.linewidth': 0.6,
        'legend.frameon': False,
        'legend.fontsize': 9,
        'font.size': 10,
        'figure.constrained_layout.use': True,
        # A name may have a $.
        'text.parse_math': False,
    }
    for key in ('text.color', 'axes.labelcolor', 'xtick.color', 'ytick.color'):
        style[key] = ink
    return matplotlib.rc_context({**matplotlib.rcParamsDefault, **style})


def shown_label(name: str) -> str:
    """Label of a plot: matplotlib hides those that begin with ``_``."""
    name = visible(name)
    return f' {name}' if name.startswith('_') else name


def with_styles(methods: List[Method]) -> Iterator[tuple]:
    """Each method with the colour and label of its plots."""
    for i, method in enumerate(methods):
        few = len(methods) <= len(COLOURS)
        colour = COLOURS[i] if few else matplotlib.colormaps['tab20'](i % 20)
        yield method, dict(color=colour, label=shown_label(method.name))


def show_plain_numbers(axis: Axis) -> None:
    """Label a logarithmic axis with numbers."""
    axis.set_major_formatter(PLAIN)
    axis.set_minor_formatter(_PlainLogFormatter())


def new_figure(height: float = 3.4, **kwargs) -> tuple:
    """Figure of this height, and its axes: ``kwargs`` are of subplots."""
    figure = Figure(figsize=(WIDTH, height))
    return figure, figure.subplots(**kwargs)


def add_legend(figure: Figure, axes: Axes) -> None:
    """Add a legend below: names of methods can be long."""
    handles, labels = axes.get_legend_handles_labels()
    labels = [shorten(label, 55) for label in labels]
    columns = 1 if max(map(len, labels)) > 28 else 2
    figure.legend(handles, labels, loc='outside lower center', ncols=columns)
