"""The page of a report: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path
from typing import Any, Dict, List

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure

from bcl_mm.classes import shot_groups
from bcl_mm.utils.files import write_atomically

from . import figures, spaces
from .errors import confusions, tail_classes
from .style import Drawing, render
from .summary import Method, geometry_table, results_table
from .thumbnails import Pictures

DPI = 180
DRAWINGS = [
    Drawing(
        'classes',
        'Every class',
        'A dot is a class (of more than 150, the mean of some with like '
        'counts), a line the smoothed course from tail (left) to '
        'head (right). A method for long tails lifts the left end; look '
        'whether the right end pays for it.',
        figures.draw_classes,
    ),
    Drawing(
        'gains',
        'Gain over the first method',
        'Points of accuracy above the first method, smoothed. Below the '
        'line the classes have lost.',
        figures.draw_gains,
    ),
    Drawing(
        'groups',
        'Many, medium, few',
        'Means over the classes with more than 100, 20 to 100 and fewer '
        'than 20 training images. Lines and dots: standard deviation and '
        'values of the seeds.',
        figures.draw_groups,
    ),
    Drawing(
        'errors',
        'Where the errors go',
        'A model that follows the class frequencies takes images of rare '
        'classes for frequent ones; one that overdoes it, the other way '
        'round.',
        figures.draw_errors,
    ),
    Drawing(
        'reliability',
        'Reliability',
        'How often a prediction of some confidence is right. Below the '
        'dotted line the model promises too much. Dots: shares of the images.',
        figures.draw_reliability,
    ),
    Drawing(
        'cosines',
        'Cosines of class means',
        'Of test features, classes from head to tail (first seed). Backbone '
        'features are centred. A regular simplex has one colour everywhere; '
        'patches at one end say that those classes are too close to each '
        'other. Blocks of classes are averaged where there are many.',
        spaces.draw_cosines,
    ),
    Drawing(
        'embedding',
        'Features in two dimensions',
        'Backbone features of test images of some classes, from head (blue) '
        'to tail (red), by t-SNE (first seed). In brackets: training images.',
        spaces.draw_embedding,
    ),
    Drawing(
        'curves',
        'Training',
        'Mean loss of an epoch (losses of different methods do not compare) '
        'and accuracy at the validations.',
        figures.draw_curves,
    ),
    Drawing(
        'profile',
        'The training set',
        'Training images of each class.',
        figures.draw_profile,
    ),
]


def _png(figure: Figure) -> bytes:
    stream = BytesIO()
    figure.savefig(stream, dpi=DPI, format='png')
    return stream.getvalue()


def _address(png: bytes) -> str:
    return f'data:image/png;base64,{base64.b64encode(png).decode()}'


def draw_all(methods: List[Method], folder: Path) -> List[Dict[str, Any]]:
    """Draw the figures; write each, in light colours, to ``NAME.png``.

    Returns:
        Name, title, text and ``data:`` addresses of each.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shown = []
    for drawing in DRAWINGS:
        if drawing.name == 'gains' and len(methods) < 2:
            continue
        if drawing.name == 'curves' and not any(
            run.scalars for method in methods for run in method.runs
        ):
            continue
        pngs = {
            theme: _png(figure)
            for theme, figure in render(drawing, methods).items()
        }
        write_atomically(pngs['light'], folder / f'{drawing.name}.png')
        shown.append(
            dict(
                name=drawing.name,
                title=drawing.title,
                text=drawing.text,
                light=_address(pngs['light']),
                dark=_address(pngs['dark']),
            )
        )
    return shown


def confusion_rows(method: Method, pictures: Pictures) -> List[dict]:
    """The confusions of a method's tail, for the page."""
    e = method.first
    rows = []
    for found in confusions(method):
        images = [pictures(i) for i in found['images']]
        rows.append(
            dict(
                true=e.classes[found['true']],
                true_count=int(e.class_counts[found['true']]),
                predicted=e.classes[found['predicted']],
                predicted_count=int(e.class_counts[found['predicted']]),
                times=found['times'],
                of=found['of'],
                images=[image for image in images if image],
            )
        )
    return rows


def class_rows(methods: List[Method]) -> List[list]:
    """Name, counts and accuracies of each class, the rarest first."""
    e = methods[0].first
    tests = np.bincount(e.labels, minlength=len(e.class_counts))
    accuracies = [method.class_accuracies for method in methods]
    return [
        [str(e.classes[c]), int(e.class_counts[c]), int(tests[c])]
        + [
            None if np.isnan(a[c]) else round(float(a[c]), 1)
            for a in accuracies
        ]
        for c in np.argsort(e.class_counts, kind='stable')
    ]


def facts(methods: List[Method]) -> Dict[str, Any]:
    """Figures of the data, for the head of the page."""
    e = methods[0].first
    counts = e.class_counts
    tested = np.bincount(e.labels, minlength=len(counts)) > 0
    return dict(
        classes=len(counts),
        training=int(counts.sum()),
        largest=int(counts.max()),
        smallest=int(counts.min()),
        factor=float(counts.max() / counts.min()),
        groups={k: int(v.sum()) for k, v in shot_groups(counts).items()},
        testing=len(e.labels),
        untested=int((~tested).sum()),
        has_few=bool((shot_groups(counts)['few'] & tested).any()),
        tail=int(tail_classes(counts, tested).sum()),
    )


def write_page(methods: List[Method], path: Path, pictures: Pictures) -> Path:
    """Write the page, and its figures beside it.

    Args:
        methods: The methods to compare.
        path: The HTML file.
        pictures: Pictures of the test images.

    Returns:
        The folder of the figures.
    """
    folder = path.with_name(f'{path.stem}_figures')
    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template('page.html').render(
        facts=facts(methods),
        results=results_table(methods),
        geometry=geometry_table(methods),
        drawings=draw_all(methods, folder),
        confusions=[(m.name, confusion_rows(m, pictures)) for m in methods],
        class_heads=['class', 'training', 'test', *(m.name for m in methods)],
        class_rows=class_rows(methods),
        runs=[(m.name, r) for m in methods for r in m.runs],
    )
    write_atomically(text, path)
    return folder
