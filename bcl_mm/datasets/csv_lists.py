"""CSV lists: ``path,label`` rows."""

from __future__ import annotations

import csv
import os.path as osp
import re
from decimal import Decimal
from io import StringIO
from typing import Iterable, List, Sequence, Tuple

from bcl_mm.datasets.annotations import Row, read_bytes
from bcl_mm.datasets.transforms.loading import is_image_name
from bcl_mm.utils.errors import InputValueError

# Names of the parts of a data set, in any case.
PARTS = dict(
    train=('train', 'training'),
    val=('val', 'valid', 'validation'),
    test=('test', 'testing'),
)


def _read_rows(ann_file: str) -> List[Tuple[List[str], int]]:
    """Fields and line number of all rows that are not empty."""
    content = read_bytes(ann_file)
    try:
        text = content.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        line = content.count(b'\n', 0, error.start) + 1
        raise InputValueError(
            f'{ann_file}:{line}: the list must be UTF-8 text (in a '
            'spreadsheet, save it as CSV UTF-8)'
        ) from error
    reader = csv.reader(StringIO(text, newline=''), strict=True)
    rows = []
    try:
        for fields in reader:
            fields = [field.strip() for field in fields]
            if any(fields):
                rows.append((fields, reader.line_num))
    except csv.Error as error:
        raise InputValueError(
            f'{ann_file}:{reader.line_num}: the list must be CSV: {error}'
        ) from error
    if not rows:
        raise InputValueError(f'{ann_file}: the list has no row path,label')
    return rows


def _names_columns(fields: Sequence[str]) -> bool:
    return {'path', 'label'} <= {field.lower() for field in fields}


def _row_error(ann_file: str, fields: Sequence[str], line: int) -> ValueError:
    row = ','.join(fields)
    other = re.search(r'[;\t|]', row) if len(fields) == 1 else None
    hint = f' (separated by commas, not by {other[0]!r})' if other else ''
    return InputValueError(
        f'{ann_file}:{line}: a row must be path,label{hint}, or the first row '
        f'must name the columns path and label, got {row[:200]!r}'
    )


def _refuse_splits(
    ann_file: str, header: Sequence[str], rows: Sequence[tuple]
) -> None:
    """Raise an InputValueError if a column divides the list into parts."""
    words = {word for part in PARTS.values() for word in part}
    for column, name in enumerate(header):
        parts = sorted({fields[column] for fields, _ in rows})
        is_split = name in ('split', 'subset', 'partition', 'is_valid')
        is_split = is_split or {part.lower() for part in parts} <= words
        if is_split and name != 'label' and len(parts) > 1:
            raise InputValueError(
                f'{ann_file}: the column {name} divides the list into '
                f'{", ".join(map(repr, parts[:8]))}, which would be ignored: '
                'write each part into a list of its own (train.csv, val.csv, '
                'test.csv in one folder), or remove the column'
            )


def read_csv(ann_file: str, prefix: str = '') -> List[Row]:
    """Read the images of a CSV list.

    Args:
        ann_file: Path of the CSV file (UTF-8, fields separated by commas,
            and quoted where they hold one). The first row may name the
            columns; it must if there are others than ``path`` and ``label``,
            or in another order. Empty rows are skipped.
        prefix: Folder that the paths are relative to, itself relative to
            the list's. Defaults to ``''``.

    Returns:
        (path, label, line number from 1) for each image.

    Raises:
        InputValueError: A row is not ``path,label``, or there is none, an
            image occurs twice, or a label is the text ``nan``; the message
            gives file and line. Or a column such as ``split`` divides the
            list into parts.
        InputFileError: The file cannot be read.
    """
    rows = _read_rows(ann_file)
    header = [field.lower() for field in rows[0][0]]
    columns = 0, 1
    if _names_columns(header):
        if header.count('path') + header.count('label') > 2:
            raise InputValueError(
                f'{ann_file}: the first row must name one column path and one '
                f'column label, got {",".join(header)!r}'
            )
        columns = header.index('path'), header.index('label')
        rows = rows[1:]
    elif len(header) != 2:
        raise _row_error(ann_file, *rows[0])
    elif not is_image_name(rows[-1][0][0]):
        raise _row_error(ann_file, *rows[-1])
    elif not is_image_name(header[0]):
        rows = rows[1:]  # other names of the columns
    if not rows:
        raise InputValueError(f'{ann_file}: the list has no row path,label')
    folder = osp.abspath(osp.join(osp.dirname(ann_file), prefix))
    images, line_of = [], {}
    for fields, line in rows:
        if len(fields) != len(header) or not all(fields[c] for c in columns):
            raise _row_error(ann_file, fields, line)
        path, label = (fields[column] for column in columns)
        if label.lower() in ('nan', '<na>'):
            raise InputValueError(
                f'{ann_file}:{line}: an image must have a label, got {label!r}'
                ', which stands for a missing one'
            )
        file = osp.normpath(osp.join(folder, path))
        if line_of.setdefault(file, line) != line:
            raise InputValueError(
                f'{ann_file}:{line}: an image must be listed once, but '
                f'{path!r} is also in line {line_of[file]}'
            )
        images.append((path, label, line))
    if len(header) > 2:
        _refuse_splits(ann_file, header, rows)
    return images


def is_csv_list(path: str, folder: str) -> bool:
    """Whether a file is a list of images, and not some other table.

    Args:
        path: Its path.
        folder: The folder that its paths would be relative to.
    """
    if not (path.lower().endswith('.csv') and osp.isfile(path)):
        return False
    try:
        with open(path, encoding='utf-8-sig', newline='') as file:
            fields = [f.strip() for f in next(csv.reader(file), ())]
    except (UnicodeDecodeError, csv.Error):
        return False
    is_row = len(fields) == 2 and osp.isfile(osp.join(folder, fields[0]))
    return _names_columns(fields) or is_row


def sorted_names(labels: Iterable[str]) -> Tuple[str, ...]:
    """Class names in order, each once: numbers by value, others as text.

    Raises:
        InputValueError: Two names are one number, such as 1 and 1.0.
    """
    names = sorted(set(labels))
    number = re.compile(r'[+-]?[0-9]+(\.[0-9]*)?')
    if all(map(number.fullmatch, names)):
        names.sort(key=Decimal)
        for name, other in zip(names, names[1:]):
            if Decimal(name) == Decimal(other):
                raise InputValueError(
                    f'a class must have one name, but the labels {name} and '
                    f'{other} are the same number: write it in one way'
                )
    return tuple(names)
