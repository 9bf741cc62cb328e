"""Files beside the page: figures, tables, model cards."""

from __future__ import annotations

import re
import sys
from io import BytesIO
from pathlib import Path
from typing import Callable, Dict, List, Sequence

from matplotlib.figure import Figure

from bcl_mm.classes import shot_groups
from bcl_mm.report.confusion import draw_confusion, write_confusion
from bcl_mm.report.examples import draw_examples, examples_of
from bcl_mm.report.model_card import CARD, model_card
from bcl_mm.report.style import theme
from bcl_mm.report.summary import Method
from bcl_mm.report.thumbnails import Pictures
from bcl_mm.utils.errors import InputFileError, visible
from bcl_mm.utils.files import CsvWriter, open_atomically, write_atomically

DPI = 200


def as_png(draw: Callable[[], Figure], colours: str = 'light') -> bytes:
    """What is drawn in a theme, as the content of a PNG file."""
    stream = BytesIO()
    with theme(colours):
        draw().savefig(stream, dpi=DPI, format='png')
    return stream.getvalue()


def file_names(methods: Sequence[Method]) -> Dict[str, str]:
    """Name of each method -> a part of file names that is as unique."""
    names: Dict[str, str] = {}
    for method in methods:
        stem = re.sub(r'[^a-z0-9]+', '_', method.name.lower()).strip('_')
        stem = stem[:60] or 'method'
        taken, number = set(names.values()), 2
        unique = stem
        while unique in taken:
            unique, number = f'{stem}_{number}', number + 1
        names[method.name] = unique
    return names


def write_class_table(methods: Sequence[Method], file: object) -> None:
    """Write a line for each class, the rarest first, as CSV.

    With several runs, a method has its mean and its standard deviation.

    Args:
        methods: The methods.
        file: Open for writing, with ``newline=''``.
    """
    e = methods[0].first
    groups = shot_groups(e.class_counts)
    heads = ['class', 'group', 'training images', 'test images']
    columns = []
    for method in methods:
        heads.append(f'{method.name} (%)')
        columns.append(method.class_accuracies)
        if len(method.runs) > 1:
            heads.append(f'{method.name}, standard deviation')
            columns.append(method.run_class_accuracies.std(axis=0, ddof=1))
    writer = CsvWriter(file)
    writer.writerow(heads)
    for c in e.class_counts.argsort(kind='stable').tolist():
        (group,) = [name for name, members in groups.items() if members[c]]
        line = [e.classes[c], group, int(e.class_counts[c]), int(e.totals[c])]
        for values in columns:
            line.append(round(float(values[c]), 2) if e.totals[c] else '')
        writer.writerow(line)


def write_exports(
    methods: Sequence[Method], folder: Path, pictures: Pictures
) -> None:
    """Write what people ask for beside the page.

    ``classes.csv``; for each method ``confusion_NAME.csv`` and ``.png``, and
    ``predictions_NAME.png``.

    Args:
        methods: The methods.
        folder: Folder of the files, which exists.
        pictures: Pictures of the test images.
    """
    with open_atomically(folder / 'classes.csv', newline='') as file:
        write_class_table(methods, file)
    names = file_names(methods)
    for method in methods:
        stem = names[method.name]
        write_confusion(method, folder / f'confusion_{stem}.csv')
        drawn = {f'confusion_{stem}': lambda m=method: draw_confusion(m)}
        examples = examples_of(method, pictures)
        if any(example.image is not None for example in examples):
            drawn[f'predictions_{stem}'] = lambda e=examples: draw_examples(e)
        for name, draw in drawn.items():
            write_atomically(as_png(draw), folder / f'{name}.png')


def write_cards(methods: Sequence[Method]) -> List[Path]:
    """Write ``model_card.md`` into the folder of each run.

    A folder that cannot be written is noted on stderr.

    Returns:
        The files.
    """
    written = []
    for method in methods:
        for run, one in zip(method.runs, method.evaluations):
            path = run.folder / CARD
            try:
                write_atomically(model_card(run, one), path)
                written.append(path)
            except InputFileError as error:  # perhaps a read-only disk
                print(visible(f'Note: {error}'), file=sys.stderr)
    return written
