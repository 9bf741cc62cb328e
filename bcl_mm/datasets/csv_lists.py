"""CSV lists: ``path,label`` rows."""

from __future__ import annotations

import csv
import os.path as osp
import re
import unicodedata
from decimal import Decimal
from io import StringIO
from typing import (
    Any,
    Dict,
    Iterable,
    Iterator,
    List,
    Optional,
    Sequence,
    Tuple,
)

from bcl_mm.datasets.annotations import Row, read_bytes
from bcl_mm.datasets.problems import Problems
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


def _row_problem(ann_file: str, fields: Sequence[str], line: int) -> str:
    row = ','.join(fields)
    other = re.search(r'[;\t|]', row) if len(fields) == 1 else None
    hint = f' (separated by commas, not by {other[0]!r})' if other else ''
    return (
        f'{ann_file}:{line}: a row must be path,label{hint}, or the first row '
        f'must name the columns path and label, got {row[:200]!r}'
    )


def _split_problems(
    ann_file: str, header: Sequence[str], rows: Sequence[tuple]
) -> Iterator[str]:
    """Find columns that divide the list into parts."""
    words = {word for part in PARTS.values() for word in part}
    words.update(_OTHER_PARTS, [''])  # some images may be in no part
    for column, name in enumerate(header):
        parts = sorted({fields[column] for fields, _ in rows})
        is_split = _SPLIT_COLUMN.fullmatch(re.sub('[ -]', '_', name))
        is_split = is_split or {part.lower() for part in parts} <= words
        if is_split and name != 'label' and len(parts) > 1:
            yield (
                f'{ann_file}: the column {name} divides the list into '
                f'{", ".join(map(repr, parts[:8]))}, which would be ignored: '
                'write each part into a list of its own (train.csv, val.csv, '
                'test.csv in one folder), or remove the column'
            )


def read_csv(
    ann_file: str, prefix: str = '', problems: Optional[Problems] = None
) -> List[Row]:
    """Read the images of a CSV list.

    Args:
        ann_file: Path of the CSV file (UTF-8, fields separated by commas,
            and quoted where they hold one). The first row may name the
            columns; it must if there are others than ``path`` and ``label``,
            or in another order. Empty rows are skipped.
        prefix: Folder that the paths are relative to, itself relative to
            the list's. Defaults to ``''``.
        problems: Gets the rows that are not ``path,label``, that have an
            image again, or whose label is the text ``nan`` (they are left
            out), with file and line; and a column such as ``split``, which
            divides the list into parts. Defaults to None: they are errors.

    Returns:
        (path, label, line number from 1) for each image.

    Raises:
        InputValueError: There is such a row or column, or no row; or the
            file is not such a list.
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
        raise InputValueError(_row_problem(ann_file, *rows[0]))
    elif not is_image_name(rows[-1][0][0]):
        raise InputValueError(_row_problem(ann_file, *rows[-1]))
    elif not is_image_name(header[0]):
        rows = rows[1:]  # other names of the columns
    if not rows:
        raise InputValueError(f'{ann_file}: the list has no row path,label')
    folder = osp.abspath(osp.join(osp.dirname(ann_file), prefix))
    images, wrong = [], []
    first: Dict[str, Row] = {}
    complete = []
    for fields, line in rows:
        if len(fields) != len(header) or not all(fields[c] for c in columns):
            wrong.append(_row_problem(ann_file, fields, line))
            continue
        complete.append((fields, line))
        path, label = (fields[column] for column in columns)
        if label.lower() in ('nan', '<na>'):
            wrong.append(
                f'{ann_file}:{line}: an image must have a label, got {label!r}'
                ', which stands for a missing one'
            )
            continue
        row = path, label, line
        file = osp.normpath(osp.join(folder, path))
        _, other, earlier = first.setdefault(file, row)
        if earlier != line:
            labels = f', with the label {other!r}' if other != label else ''
            wrong.append(
                f'{ann_file}:{line}: an image must be listed once, but '
                f'{path!r} is also in line {earlier}{labels}'
            )
            continue
        images.append(row)
    problems = problems or Problems()
    problems.add(*wrong)
    if len(header) > 2:
        problems.add(*_split_problems(ann_file, header, complete))
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


def refuse_lookalikes(
    names: Sequence[str], source: str, problems: Problems
) -> None:
    """Check that no two class names are one text for the eye.

    An accented letter may be one character or two: macOS and Linux write
    file names differently.

    Args:
        names: The names, each once.
        source: The folder or list that has them, for the message.
        problems: Gets the names that are equal in Unicode's normal form.
    """
    earlier: Dict[str, str] = {}
    alike = []
    for name in names:
        other = earlier.setdefault(unicodedata.normalize('NFC', name), name)
        if other != name:
            alike.append(
                f'{source}: a class must have one name, but {ascii(other)} '
                f'and {ascii(name)} are the same text, {name!r}, in two '
                'Unicode spellings: write it in one way'
            )
    problems.add(*alike)


def _same_names(names: Sequence[str], source: str) -> Iterator[str]:
    """Find labels that are one number or truth value."""
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
                yield (
                    f'{source}: a class must have one name, but the labels '
                    f'{other} and {name} are the same {kind}: write it in '
                    'one way'
                )


def sorted_names(
    labels: Iterable[str], source: str, problems: Optional[Problems] = None
) -> Tuple[str, ...]:
    """Class names in order, each once: numbers by value, others as text.

    Args:
        labels: Labels of the images.
        source: The list that has them, for messages.
        problems: Gets the names that are one number, such as 1 and 1.0, one
            truth value, such as True and true, or look alike. Defaults to
            None: they are errors.

    Raises:
        InputValueError: There are such names.
    """
    problems = problems or Problems()
    names = sorted(set(labels))
    refuse_lookalikes(names, source, problems)
    problems.add(*_same_names(names, source))
    if all(map(_PLAIN_NUMBER.fullmatch, names)):
        names.sort(key=Decimal)
    return tuple(names)
