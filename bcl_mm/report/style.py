"""How the figures of a report look: themes, colours, sizes."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Callable, Dict, Iterator, List

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from bcl_mm.classes import shorten

from .summary import Method

# Shown at about this many CSS pixels, on a phone a little smaller: the text
# must stay readable there.
WIDTH = 5.0  # inches
THEMES = dict(
    light=dict(paper='#ffffff', ink='#1f2328', faint='#d8dce1'),
    dark=dict(paper='#15181c', ink='#e6e8ea', faint='#3a4048'),
)
# Okabe and Ito's colours, which colour-blind people tell apart, without black.
COLOURS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9']
GROUP_COLOURS = dict(many='#56b4e9', medium='#e69f00', few='#d55e00')
PLAIN = FuncFormatter(lambda value, _: f'{value:,.10g}')
GROUP_NAMES = dict(
    top1='all images', many='many-shot', medium='medium-shot', few='few-shot'
)


@contextlib.contextmanager
def theme(name: str) -> Iterator[None]:
    """Draw in a theme."""
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
    }
    for key in ('text.color', 'axes.labelcolor', 'xtick.color', 'ytick.color'):
        style[key] = ink
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **style}):
        yield


def colour_of(index: int, number: int) -> object:
    """Colour of a method among so many."""
    if number <= len(COLOURS):
        return COLOURS[index]
    return matplotlib.colormaps['tab20'](index % 20)


def lines_of(methods: List[Method]) -> Iterator[tuple]:
    """Each method with what plots of it share."""
    for i, method in enumerate(methods):
        colour = colour_of(i, len(methods))
        yield method, dict(color=colour, label=method.name)


def new_figure(height: float = 3.4, **kwargs) -> tuple:
    figure = Figure(figsize=(WIDTH, height))
    return figure, figure.subplots(**kwargs)


def add_legend(figure: Figure, axes: Axes) -> None:
    """A legend below: names of methods can be long."""
    handles, labels = axes.get_legend_handles_labels()
    labels = [shorten(label, 55) for label in labels]
    columns = 1 if max(map(len, labels)) > 28 else 2
    figure.legend(handles, labels, loc='outside lower center', ncols=columns)


@dataclass
class Drawing:
    """A figure of the page.

    Attributes:
        name: Of its file.
        title: Heading.
        text: What it shows, and how to read it.
        draw: Draws it.
    """

    name: str
    title: str
    text: str
    draw: Callable[[List[Method]], Figure]


def render(drawing: Drawing, methods: List[Method]) -> Dict[str, Figure]:
    """The figure in each theme."""
    figures = {}
    for name in THEMES:
        with theme(name):
            figures[name] = drawing.draw(methods)
            # Laid out now: the theme's sizes are not known later.
            figures[name].draw_without_rendering()
    return figures
