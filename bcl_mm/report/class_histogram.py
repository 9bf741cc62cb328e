"""The figure of `bcl-mm check --histogram`."""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

import numpy as np

from bcl_mm.classes import shorten, shot_groups
from bcl_mm.utils.files import open_atomically

from .style import (
    GROUP_NAMES,
    group_colours,
    new_figure,
    show_plain_numbers,
    shown_label,
    theme,
)

_MOST_NAMED = 20  # classes whose names fit


def write_class_histogram(
    path: Path, class_counts: np.ndarray, class_names: Sequence[str]
) -> None:
    """Draw the images per class, from head to tail, into a PNG.

    Args:
        path: The file.
        class_counts: (C,) training images per class.
        class_names: C names.

    Raises:
        InputFileError: The file cannot be written.
    """
    order = np.argsort(-class_counts, kind='stable')
    counts = class_counts[order]
    with theme('light'):
        figure, axes = new_figure(3.6)
        # A class without images has no bar; the rarest of the others do.
        bottom = 0.5
        for group, members in shot_groups(counts).items():
            if members.any():
                axes.bar(
                    np.flatnonzero(members) + 1,
                    np.maximum(counts[members], bottom) - bottom,
                    width=0.9 if len(counts) <= 100 else 1.0,
                    bottom=bottom,
                    color=group_colours()[group],
                    label=f'{members.sum():,} {GROUP_NAMES[group]}',
                )
        axes.set(yscale='log', ylabel='training images')
        axes.set_ylim(bottom=bottom)
        show_plain_numbers(axes.yaxis)
        axes.grid(visible=False, axis='x')
        if len(counts) <= _MOST_NAMED:
            names = [shorten(str(class_names[i]), 20) for i in order]
            names = list(map(shown_label, names))
            axes.set_xticks(np.arange(1, len(counts) + 1), names, rotation=90)
        else:
            axes.set_xlabel('classes, most frequent first')
        axes.legend()
        with open_atomically(path, 'wb') as file:
            figure.savefig(file, format='png', dpi=200)
