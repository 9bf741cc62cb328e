"""The confusion matrix of a method: counts, file and figure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from bcl_mm.classes import shorten
from bcl_mm.report.maps import MAX_CELLS
from bcl_mm.report.style import SMALL, WIDTH, new_figure
from bcl_mm.report.summary import Method
from bcl_mm.utils.files import CsvWriter, open_atomically

# Up to this many classes the file is a matrix, else a list of its cells.
MAX_MATRIX = 500
_NAMED = 12  # classes whose names fit beside the figure


def confusion_cells(method: Method) -> tuple:
    """Cells that are not 0: true classes, predictions, images of all runs."""
    num_classes = len(method.first.class_counts)
    codes = np.concatenate(
        [e.labels * num_classes + e.predictions for e in method.evaluations]
    )
    codes, times = np.unique(codes, return_counts=True)
    return (*np.divmod(codes, num_classes), times)


def write_confusion(method: Method, path: Path) -> None:
    """Write the confusion matrix as CSV: images of all runs.

    Rows are true classes, columns predictions. With more than MAX_MATRIX
    classes, the file has a line for each cell that is not 0.
    """
    names = method.first.classes
    true, predicted, times = confusion_cells(method)
    with open_atomically(path, newline='') as file:
        writer = CsvWriter(file)
        if len(names) > MAX_MATRIX:
            writer.writerow(['true', 'predicted', 'images'])
            for row, column, number in zip(true, predicted, times):
                writer.writerow([names[row], names[column], int(number)])
            return
        matrix = np.zeros((len(names), len(names)), int)
        matrix[true, predicted] = times
        writer.writerow(['true \\ predicted', *names])
        for name, row in zip(names, matrix.tolist()):
            writer.writerow([name, *row])


def confusion_shares(
    method: Method, cells: int = MAX_CELLS
) -> tuple[np.ndarray, list]:
    """Confusion matrix in percent of a class's images, in blocks of classes.

    Args:
        method: The method.
        cells: Maximum number of blocks; up to this many classes, each class
            is its own block.

    Returns:
        (B, B): the mean over the tested classes of a block (row) of the
        share of images that are classified as one of another block; NaN
        where none is tested. And the classes of each block, the most
        frequent first.
    """
    e = method.first
    order = np.argsort(-e.class_counts, kind='stable')
    blocks = np.array_split(order, min(cells, len(order)))
    block_of = np.empty(len(order), int)
    for number, block in enumerate(blocks):
        block_of[block] = number
    true, predicted, times = confusion_cells(method)
    shares = np.zeros((len(blocks), len(blocks)))
    weights = 100 * times / (e.totals[true] * len(method.runs))
    np.add.at(shares, (block_of[true], block_of[predicted]), weights)
    tested = np.array([(e.totals[block] > 0).sum() for block in blocks])
    with np.errstate(invalid='ignore'):
        return shares / tested[:, None], blocks


def draw_confusion(method: Method) -> Figure:
    """The confusion matrix in percent, the most frequent classes first."""
    shares, blocks = confusion_shares(method)
    figure, axes = new_figure(WIDTH)
    image = axes.imshow(
        shares, cmap='viridis', vmin=0, vmax=100, interpolation='nearest'
    )
    axes.set_title(shorten(method.name, 40))
    axes.grid(visible=False)
    classes, ticks = method.first.classes, range(len(blocks))
    if len(classes) <= _NAMED:
        names = [shorten(str(classes[block[0]]), 12) for block in blocks]
        axes.set_xticks(ticks, names, rotation=90)
        axes.set_yticks(ticks, names)
        for row in ticks:
            for column in ticks:
                share = shares[row, column]
                if share >= 0.5:
                    ink = 'black' if share > 60 else 'white'
                    style = dict(ha='center', va='center', fontsize=SMALL)
                    axes.text(column, row, f'{share:.0f}', color=ink, **style)
        axes.set(xlabel='predicted', ylabel='true')
    else:
        axes.set(xticks=[], yticks=[])
        size = -(-len(classes) // len(blocks))
        blocked = f', blocks of {size}' if size > 1 else ''
        axes.set(
            xlabel=f'predicted, head → tail{blocked}',
            ylabel='true, tail ← head',
        )
    figure.colorbar(image, ax=axes, label="% of a class's images", shrink=0.8)
    return figure
