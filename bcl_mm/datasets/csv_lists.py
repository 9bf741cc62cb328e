"""CSV lists: ``path,label`` rows."""

from __future__ import annotations

import csv
import os.path as osp
import re
import unicodedata
from decimal import Decimal
from io import StringIO
from typing import Any, Dict, Iterable, List, Sequence, Tuple

from bcl_mm.datasets.annotations import Row, read_bytes
from bcl_mm.datasets.transforms.loading import is_image_name
from bcl_mm.utils.errors import InputValueError

# Names of the parts of a data set, in any case.
PARTS = dict(
    train=('train', 'training'),
    val=('val', 'valid', 'validation'),
    test=('test', 'testing'),
)
# What else a column may call a part: never the name of a folder of images.
_OTHER_PARTS = ('dev', 'development', 'eval', 'evaluation', 'holdout')
# Names of columns that divide a list, whatever is in them. Others, such as
# "set" or "phase", may be anything, and do so by the names of parts in them.
_SPLIT_COLUMN = re.compile(
    '(?:(?:data|data_?set|cv|k)_?)?(?:split|subset|partition|fold)s?'
    '(?:_?(?:id|idx|index|no|nr|number))?'
    '|is_?(?:train|val|valid|test)(?:ing|idation|ation)?'
)
_PLAIN_NUMBER = re.compile(r'[+-]?[0-9]+(\.[0-9]*)?')
_NUMBER = re.compile(
    r'[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?'
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
    words.update(_OTHER_PARTS, [''])  # some images may be in no part
    for column, name in enumerate(header):
        parts = sorted({fields[column] for fields, _ in rows})
        is_split = _SPLIT_COLUMN.fullmatch(re.sub('[ -]', '_', name))
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


def refuse_lookalikes(names: Sequence[str], source: str) -> None:
    """Check that no two class names are one text for the eye.

    An accented letter may be one character or two: macOS and Linux write
    file names differently.

    Args:
        names: The names, each once.
        source: The folder or list that has them, for the message.

    Raises:
        InputValueError: Two names are equal in Unicode's normal form.
    """
    earlier: Dict[str, str] = {}
    for name in names:
        other = earlier.setdefault(unicodedata.normalize('NFC', name), name)
        if other != name:
            raise InputValueError(
                f'{source}: a class must have one name, but {ascii(other)} '
                f'and {ascii(name)} are the same text, {name!r}, in two '
                'Unicode spellings: write it in one way'
            )


def _refuse_same(names: Sequence[str], source: str) -> None:
    """Raise an InputValueError if two labels are one number or bool."""
    kinds: List[Tuple[str, Dict[str, Any]]] = []
    if all(map(_NUMBER.fullmatch, names)):
        kinds.append(('number', {name: Decimal(name) for name in names}))
    kinds.append(
        (
            'truth value',
            {n: n.lower() for n in names if n.lower() in ('true', 'false')},
        )
    )
    for kind, values in kinds:
        earlier: Dict[Any, str] = {}
        for name, value in values.items():
            other = earlier.setdefault(value, name)
            if other != name:
                raise InputValueError(
                    f'{source}: a class must have one name, but the labels '
                    f'{other} and {name} are the same {kind}: write it in '
                    'one way'
                )


def sorted_names(labels: Iterable[str], source: str) -> Tuple[str, ...]:
    """Class names in order, each once: numbers by value, others as text.

    Args:
        labels: Labels of the images.
        source: The list that has them, for messages.

    Raises:
        InputValueError: Two names are one number, such as 1 and 1.0, one
            truth value, such as True and true, or look alike.
    """
    names = sorted(set(labels))
    refuse_lookalikes(names, source)
    _refuse_same(names, source)
    if all(map(_PLAIN_NUMBER.fullmatch, names)):
        names.sort(key=Decimal)
    return tuple(names)
