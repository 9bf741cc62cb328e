"""The page of a report: one HTML file that needs nothing else."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Dict, List

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bcl_mm.classes import shot_groups
from bcl_mm.utils.files import write_atomically

from . import figures, spaces
from .errors import confusions, tail_classes
from .style import THEMES, theme
from .summary import PRIORS, Method, geometry_table, results_table
from .thumbnails import Pictures, data_address

DPI = 180
# page.html has the titles and texts, by these names.
DRAWINGS = dict(
    classes=figures.draw_classes,
    gains=figures.draw_gains,
    groups=figures.draw_groups,
    errors=figures.draw_errors,
    reliability=figures.draw_reliability,
    cosines=spaces.draw_cosines,
    embedding=spaces.draw_embedding,
    curves=figures.draw_curves,
    profile=figures.draw_profile,
)


def draw_all(methods: List[Method], folder: Path) -> Dict[str, Dict[str, str]]:
    """Draw the figures; write each, in light colours, to ``NAME.png``.

    Returns:
        Name -> theme -> ``data:`` address.
    """
    folder.mkdir(parents=True, exist_ok=True)
    skipped = set()
    if len(methods) < 2:
        skipped.add('gains')
    if not figures.logged_curves(methods):
        skipped.add('curves')
    drawn: Dict[str, Dict[str, str]] = {}
    for name, draw in DRAWINGS.items():
        if name in skipped:
            continue
        drawn[name] = {}
        for colours in THEMES:
            stream = BytesIO()
            with theme(colours):
                figure = draw(methods)
                # Laid out now: the theme's sizes are not known later.
                figure.draw_without_rendering()
            figure.savefig(stream, dpi=DPI, format='png')
            drawn[name][colours] = data_address(stream.getvalue(), 'png')
            if colours == 'light':
                write_atomically(stream.getvalue(), folder / f'{name}.png')
    return drawn


def confusion_rows(method: Method, pictures: Pictures) -> List[dict]:
    """The confusions of a method's tail, for the page."""
    e = method.first
    rows = confusions(method)
    for row in rows:
        for which in ('true', 'predicted'):
            row[f'{which}_count'] = int(e.class_counts[row[which]])
            row[which] = e.classes[row[which]]
        row['images'] = list(filter(None, map(pictures, row['images'])))
    return rows


def class_rows(methods: List[Method]) -> List[list]:
    """Name, counts and accuracies of each class, the rarest first."""
    e = methods[0].first
    accuracies = np.stack([m.class_accuracies for m in methods], axis=1)
    return [
        [str(e.classes[c]), int(e.class_counts[c]), int(e.totals[c])]
        + [None if np.isnan(a) else round(float(a), 1) for a in accuracies[c]]
        for c in np.argsort(e.class_counts, kind='stable')
    ]


def write_page(methods: List[Method], path: Path, pictures: Pictures) -> Path:
    """Write the page, and its figures beside it.

    Args:
        methods: The methods to compare.
        path: The HTML file.
        pictures: Pictures of the test images.

    Returns:
        The folder of the figures.
    """
    e = methods[0].first
    folder = path.with_name(f'{path.stem}_figures')
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters['thousands'] = '{:,}'.format
    text = environment.get_template('page.html').render(
        counts=e.class_counts,
        totals=e.totals,
        groups=shot_groups(e.class_counts),
        tail=tail_classes(e.class_counts, e.totals > 0),
        results=results_table(methods),
        priors=results_table(methods, PRIORS),
        geometry=geometry_table(methods),
        drawings=draw_all(methods, folder),
        confusions=[(m.name, confusion_rows(m, pictures)) for m in methods],
        class_heads=['class', 'training', 'test', *(m.name for m in methods)],
        class_rows=class_rows(methods),
        runs=[(m.name, r) for m in methods for r in m.runs],
    )
    write_atomically(text, path)
    return folder
