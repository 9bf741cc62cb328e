"""The columns of a CSV list: path, label, group and split."""

from __future__ import annotations

import csv
import re
from io import StringIO
from itertools import islice
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from bcl_mm.classes import printable
from bcl_mm.datasets.transforms.loading import is_image_name
from bcl_mm.utils.errors import InputValueError, similar_names

SEPARATORS = {',': 'commas', ';': 'semicolons', '\t': 'tabs', '|': "'|'"}
# Names that are recognised, in any case, with _, - or a space between words.
# The first of each wins over the others.
_KNOWN = dict(
    path=(
        *('path', 'file', 'filename', 'file_name', 'filepath', 'file_path'),
        *('image', 'image_path', 'image_file', 'image_name', 'img'),
        *('img_path', 'img_name'),
    ),
    label=(
        *('label', 'class', 'category', 'target', 'label_name'),
        *('class_name', 'category_name'),
    ),
)


class Columns(NamedTuple):
    """Names of a list's columns.

    None: one that is recognised (``path``, ``label``), or that the list does
    not have (``group``, ``split``).
    """

    path: Optional[str] = None
    label: Optional[str] = None
    group: Optional[str] = None
    split: Optional[str] = None

    @property
    def options(self) -> List[str]:
        """The options of a data set that are set: ``path_column``, ..."""
        values = self._asdict().items()
        return [f'{name}_column' for name, value in values if value]


UNNAMED = Columns()


class Places(NamedTuple):
    """Indices of a list's columns; None for one that it does not have."""

    path: int
    label: int
    group: Optional[int] = None
    split: Optional[int] = None


def find_separator(text: str) -> str:
    """The character between the fields of a CSV text.

    It divides the first row, and the most of the next ones alike. If there
    is a tie, it leaves the name of an image in the first row whole; or else
    it is a comma.
    """
    best, most = ',', (0, False)
    for separator in SEPARATORS:
        reader = csv.reader(
            StringIO(text, newline=''), delimiter=separator, strict=True
        )
        try:
            rows = [row for row in islice(reader, 50) if any(row)]
        except csv.Error:
            continue
        if not rows or len(rows[0]) < 2:
            continue
        alike = sum(len(row) == len(rows[0]) for row in rows)
        score = alike, any(is_image_name(field.strip()) for field in rows[0])
        if score > most:
            best, most = separator, score
    return best


def _named(header: Sequence[str], kind: str, name: str, source: str) -> int:
    """Index of a column that an option names."""
    found = [i for i, column in enumerate(header) if column == name]
    if not found:
        lower = name.strip().lower()
        found = [
            i for i, column in enumerate(header) if column.lower() == lower
        ]
    if len(found) == 1:
        return found[0]
    listed = ', '.join(map(printable, header))
    how = 'twice' if found else 'not'
    raise InputValueError(
        f'{source}: {kind}_column must name one column, but {name!r} is {how} '
        f'among {listed}{similar_names(name, header) if not found else ""}'
    )


def _recognised(
    header: Sequence[str], kind: str, source: str
) -> Optional[int]:
    """Index of the column that holds paths or labels, by its name."""
    names = [re.sub('[ -]+', '_', column.lower()) for column in header]
    known = _KNOWN[kind]
    found = [i for i, name in enumerate(names) if name == known[0]]
    found = found or [i for i, name in enumerate(names) if name in known]
    if len(found) < 2:
        return found[0] if found else None
    what = ' and '.join(printable(header[i]) for i in found)
    raise InputValueError(
        f'{source}: the {kind} of an image may be in {what}, among the '
        f'columns {", ".join(map(printable, header))}: set {kind}_column=NAME'
    )


def names_columns(fields: Sequence[str], columns: Columns) -> bool:
    """Whether a row has the names that options give, or path and label."""
    lower = {field.lower() for field in fields}
    given = {name.strip().lower() for name in columns if name}
    return {'path', 'label'} <= lower or bool(given) and given <= lower


def may_name_columns(fields: Sequence[str]) -> bool:
    """Whether a row has known names of the columns of paths and labels."""
    names = {re.sub('[ -]+', '_', field.lower()) for field in fields}
    return all(names & set(known) for known in _KNOWN.values())


def find_columns(
    rows: Sequence[Tuple[List[str], int]], columns: Columns, source: str
) -> Optional[Places]:
    """Indices of the columns of a list, whose first row may name them.

    Args:
        rows: Fields and line number of each row; at least one.
        columns: Names that the options give.
        source: Path of the list, for messages.

    Returns:
        None if the first row is that of an image, and each row is a path
        and a label.

    Raises:
        InputValueError: A column is unknown or ambiguous.
    """
    header = rows[0][0]
    if not columns.options and any(map(is_image_name, header)):
        return None
    found: Dict[str, Any] = {
        kind: _named(header, kind, name, source)
        for kind, name in columns._asdict().items()
        if name
    }
    for kind in _KNOWN:
        if kind not in found:
            found[kind] = _recognised(header, kind, source)
    if len(header) == 2:  # the other one is the other
        path, label = found['path'], found['label']
        if path is None and label is not None:
            path = 1 - label
        elif path is None and is_image_name(rows[-1][0][0]):
            path = 0
        if label is None and path is not None:
            label = 1 - path
        found.update(path=path, label=label)
    for kind in _KNOWN:
        if found[kind] is None:
            raise InputValueError(
                f'{source}: no column is known to hold the {kind} of an '
                f'image, among {", ".join(map(printable, header))}: set '
                f'{kind}_column=NAME, or name the column {kind}'
            )
    if found['path'] == found['label']:
        raise InputValueError(
            f'{source}: path_column and label_column must be two columns, '
            f'got {printable(header[found["path"]])!r} for both'
        )
    return Places(**found)
