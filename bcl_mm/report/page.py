"""The page of a report: one HTML file that needs nothing else."""

from __future__ import annotations

import datetime
import re
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Callable, Dict, List, Optional

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from bcl_mm.classes import shot_groups
from bcl_mm.utils.files import write_atomically

from . import class_figures, figures, spaces, tables
from .data import data_name, data_notes, length_notes, place_of_run
from .errors import confusions, tail_classes
from .examples import examples_of
from .exports import as_png, write_class_table, write_exports
from .mirrors import mirror_notes
from .style import THEMES, colours_of
from .summary import Method
from .thumbnails import Pictures, address_of, data_address
from .verdict import Verdict, judge

# page.html has the titles and texts, by these names.
DRAWINGS: Dict[str, Callable[[List[Method]], Figure]] = dict(
    classes=class_figures.draw_classes,
    groups=figures.draw_groups,
    errors=figures.draw_errors,
    reliability=figures.draw_reliability,
    cosines=spaces.draw_cosines,
    embedding=spaces.draw_embedding,
    curves=figures.draw_curves,
    profile=class_figures.draw_profile,
)


def draw_all(
    methods: List[Method], verdict: Verdict, folder: Path
) -> Dict[str, Dict[str, str]]:
    """Draw the figures; write each, in light colours, to ``NAME.png``.

    Returns:
        Name -> theme -> ``data:`` address.
    """
    drawings = dict(DRAWINGS)
    if verdict.pair:
        best, rival = verdict.pair
        drawings['verdict'] = lambda m: figures.draw_verdict(
            m, best, rival, verdict.gaps
        )
        if len(methods) > 2:
            drawings['differences'] = lambda m: figures.draw_differences(
                m, best
            )
        drawings['gains'] = lambda m: class_figures.draw_gains(m, rival)
    if not figures.logged_curves(methods):
        del drawings['curves']
    drawn: Dict[str, Dict[str, str]] = {}
    for name, draw in drawings.items():
        drawn[name] = {}
        for colours in THEMES:
            content = as_png(partial(draw, methods), colours)
            drawn[name][colours] = data_address(content, 'png')
            if colours == 'light':
                write_atomically(content, folder / f'{name}.png')
    return drawn


def confusion_rows(method: Method, pictures: Pictures) -> List[dict]:
    """The confusions of a method's tail, for the page."""
    e = method.first
    rows = confusions(method)
    for row in rows:
        for which in ('true', 'predicted'):
            row[f'{which}_count'] = int(e.class_counts[row[which]])
            row[which] = e.classes[row[which]]
        found = filter(None, map(pictures, row['images']))
        row['images'] = list(map(address_of, found))
    return rows


def example_rows(method: Method, pictures: Pictures) -> List[dict]:
    """Some predictions of a method, for the page; none without images."""
    return [
        {**vars(one), 'image': address_of(one.image)}
        for one in examples_of(method, pictures)
        if one.image is not None
    ]


def _breakable(name: str) -> Markup:
    """A name that breaks behind ``_``, ``/`` and ``.`` where it must."""
    parts = re.split(r'(?<=[_/.])', name)
    return Markup('<wbr>').join(parts)


def write_page(
    methods: List[Method],
    path: Path,
    pictures: Pictures,
    date: Optional[datetime.date] = None,
) -> Path:
    """Write the page, and files beside it.

    Args:
        methods: The methods to compare. Unfinished ones stand apart.
        path: The HTML file.
        pictures: Pictures of the test images.
        date: The date that it has. Defaults to None: today.

    Returns:
        The folder of the files, ``NAME_files``.
    """
    folder = path.with_name(f'{path.stem}_files')
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = [method for method in methods if not method.is_finished]
    # Without a finished one, the page shows what there is.
    shown = [m for m in methods if m.is_finished] or unfinished
    verdict = judge(methods)
    example = verdict.best or shown[0]
    write_exports(shown, folder, pictures)
    e = shown[0].first
    stream = StringIO(newline='')
    write_class_table(shown, stream)
    classes_csv = stream.getvalue().encode(errors='backslashreplace')
    runs = [run for method in shown for run in method.runs]
    colours = colours_of(len(shown))
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters['thousands'] = '{:,}'.format
    environment.filters['breakable'] = _breakable
    pair = verdict.pair
    text = environment.get_template('page.html').render(
        name=data_name(runs[0].cfg),
        date=(date or datetime.date.today()).isoformat(),
        verdict=verdict,
        notes=[
            *verdict.notes,
            *length_notes(shown),
            *data_notes(runs),
            *mirror_notes(shown, pictures),
        ],
        methods=list(zip(shown, colours)),
        all_methods=methods,
        unfinished=unfinished if shown != unfinished else [],
        tables=tables,
        counts=e.class_counts,
        totals=e.totals,
        groups=shot_groups(e.class_counts),
        tail=tail_classes(e.class_counts, e.totals > 0),
        drawings=draw_all(shown, verdict, folder),
        confusions={m.name: confusion_rows(m, pictures) for m in shown},
        example=example,
        examples=example_rows(example, pictures),
        first_two=pair or shown[:2],
        class_rows=tables.class_rows(shown, pair),
        class_colours=[None, None, None, *colours],
        classes_csv=data_address(classes_csv, 'csv', 'text'),
        place_of_run=place_of_run,
    )
    write_atomically(text, path)
    return folder
