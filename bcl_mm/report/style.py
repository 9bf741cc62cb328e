"""The style of the figures of a report: themes, colours, sizes."""

from __future__ import annotations

from typing import (
    Any,
    ContextManager,
    Dict,
    Iterator,
    List,
    Optional,
    Sequence,
    Tuple,
)

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogFormatter

from bcl_mm.classes import shorten
from bcl_mm.utils.errors import visible

from .summary import Method

# A phone shows a figure 343 pixels wide. No text in it may be smaller than 11
# pixels there: 8.6 points.
WIDTH = 3.7  # inches
SMALL = 8.7  # points
# Groups of classes are greys, the more distinct the fewer images.
THEMES = dict(
    light=dict(
        paper='#ffffff',
        ink='#1f2328',
        faint='#d8dce1',
        groups=('#c3c9d0', '#87909a', '#3d444d'),
    ),
    dark=dict(
        paper='#15181c',
        ink='#e6e8ea',
        faint='#3a4048',
        groups=('#4f5761', '#89929c', '#dfe3e7'),
    ),
)
# Of the methods: those of Okabe and Ito, without black, which colour-blind
# people can tell apart.
COLOURS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9']
PLAIN = FuncFormatter(lambda value, _: f'{value:,.10g}')
GROUP_NAMES = dict(many='many-shot', medium='medium-shot', few='few-shot')


class _PlainLogFormatter(LogFormatter):
    """Labels the ticks that matplotlib would, as numbers, not as powers."""

    def __call__(self, x: float, pos: Optional[int] = None) -> str:
        return PLAIN(x) if super().__call__(x, pos) else ''


def theme(name: str) -> ContextManager[None]:
    """Context in which figures are drawn in a theme."""
    paper, ink, faint = (THEMES[name][k] for k in ('paper', 'ink', 'faint'))
    style = {
        **matplotlib.rcParamsDefault,
        'figure.facecolor': paper,
        'axes.facecolor': paper,
        'savefig.facecolor': paper,
        'axes.edgecolor': faint,
        'axes.spines.top': False,
        'axes.spines.right': False,
        'axes.grid': True,
        'axes.axisbelow': True,
        'axes.titlesize': 9.5,
        'axes.titlelocation': 'left',
        'grid.color': faint,
        'grid.linewidth': 0.6,
        'legend.frameon': False,
        'legend.fontsize': SMALL,
        'font.size': 9,
        'xtick.labelsize': SMALL,
        'ytick.labelsize': SMALL,
        'figure.constrained_layout.use': True,
        # A name may have a $.
        'text.parse_math': False,
        'text.color': ink,
        'axes.labelcolor': ink,
        'xtick.color': ink,
        'ytick.color': ink,
    }
    return matplotlib.rc_context(style)


def group_colours() -> Dict[str, str]:
    """Colours of the groups of classes, in the theme that is in use."""
    paper = matplotlib.rcParams['figure.facecolor']
    known = {one['paper']: one['groups'] for one in THEMES.values()}
    shades = known.get(paper, THEMES['light']['groups'])
    return dict(zip(GROUP_NAMES, shades))


def shown_label(name: str) -> str:
    """Label of a plot: matplotlib hides those that begin with ``_``."""
    name = visible(name)
    return f' {name}' if name.startswith('_') else name


def colours_of(number: int) -> List[str]:
    """A colour for each of this number of methods."""
    if number <= len(COLOURS):
        return COLOURS[:number]
    return [
        to_hex(matplotlib.colormaps['tab20'](i % 20)) for i in range(number)
    ]


def with_styles(
    methods: Sequence[Method],
) -> Iterator[Tuple[Method, Dict[str, Any]]]:
    """Each method with the colour and label of its plots."""
    for method, colour in zip(methods, colours_of(len(methods))):
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
    labels = [shorten(label, 46) for label in labels]
    columns = 1 if max(map(len, labels)) > 20 else 2
    figure.legend(handles, labels, loc='outside lower center', ncols=columns)
