"""CSV lists of images."""

from __future__ import annotations

import csv
import os.path as osp
import re
from io import StringIO
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from bcl_mm.classes import printable
from bcl_mm.datasets.annotations import read_bytes
from bcl_mm.datasets.columns import (
    SEPARATORS,
    UNNAMED,
    Columns,
    Places,
    find_columns,
    find_separator,
    may_name_columns,
    names_columns,
)
from bcl_mm.datasets.problems import Problems
from bcl_mm.utils.errors import InputValueError

# Names of the parts of a data set, in any case.
PARTS = dict(
    train=('train', 'training'),
    val=('val', 'valid', 'validation'),
    test=('test', 'testing'),
)
# What else a column may call a part: never the name of a folder of images.
_OTHER_PARTS = ('eval', 'evaluation', 'holdout')
_PART_OF = {word: part for part in PARTS for word in PARTS[part]}
_PART_OF.update(dev='val', development='val')
_TRUTHS = {'true': True, '1': True, 'yes': True}
_TRUTHS.update({'false': False, '0': False, 'no': False})
_IS_PART = re.compile('is_?(train|val|test)(?:id|ing|idation)?')
# Names of columns that divide a list, whatever is in them. Others, such as
# "set" or "phase", may be anything, and do so by the names of parts in them.
_SPLIT_COLUMN = re.compile(
    '(?:(?:data|data_?set|cv|k)_?)?(?:split|subset|partition|fold)s?'
    f'(?:_?(?:id|idx|index|no|nr|number))?|{_IS_PART.pattern}'
)


class Entry(NamedTuple):
    """An image of a list or a tree.

    Attributes:
        path: Its path, as it is given.
        name: The name of its class.
        line: Line of the list, 0 in a tree.
        group: What the images that must stay together have in common; empty
            for an image of its own.
        part: ``'train'``, ``'val'`` or ``'test'``; empty if the list does
            not say.
    """

    path: str
    name: str
    line: int = 0
    group: str = ''
    part: str = ''


def _read_rows(ann_file: str) -> Tuple[List[Tuple[List[str], int]], str]:
    """Fields and line number of all rows that are not empty; separator."""
    content = read_bytes(ann_file)
    try:
        text = content.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        line = content.count(b'\n', 0, error.start) + 1
        raise InputValueError(
            f'{ann_file}:{line}: the list must be UTF-8 text (in a '
            'spreadsheet, save it as CSV UTF-8)'
        ) from error
    separator = find_separator(text)
    reader = csv.reader(
        StringIO(text, newline=''), delimiter=separator, strict=True
    )
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
    if rows and rows[0][0][0] == 'sep=':  # a line for Excel
        rows.pop(0)
    if not rows:
        raise InputValueError(f'{ann_file}: the list has no row path,label')
    return rows, separator


def _row_problem(ann_file: str, fields: Sequence[str], line: int) -> str:
    return (
        f'{ann_file}:{line}: a row must be path,label, or the first row must '
        'name the columns, and all rows must have as many, got '
        f'{",".join(fields)[:200]!r}'
    )


def _is_split_column(name: str) -> bool:
    word = re.sub('[ -]', '_', name.lower())
    return _SPLIT_COLUMN.fullmatch(word) is not None


def _split_problems(
    ann_file: str,
    header: Sequence[str],
    rows: Sequence[Tuple[List[str], int]],
    used: Sequence[int],
) -> Iterator[str]:
    """Find columns that divide the list into parts, and would be ignored."""
    words = {*_PART_OF, *_OTHER_PARTS, ''}  # some images may be in no part
    for column, name in enumerate(header):
        if column in used:
            continue
        parts = sorted({fields[column] for fields, _ in rows})
        names_parts = {part.lower() for part in parts} <= words
        if len(parts) > 1 and (_is_split_column(name) or names_parts):
            yield (
                f'{ann_file}: the column {printable(name)} divides the list '
                f'into {", ".join(map(repr, parts[:8]))}, which would be '
                f'ignored: set split_column={printable(name)} if these are '
                'train, val and test; or write each part into a list of its '
                'own (train.csv, val.csv, test.csv in one folder), or remove '
                'the column'
            )


def _parts_by_value(name: str, values: Sequence[str]) -> Dict[str, str]:
    """The part that each value of a split column means, if it is known."""
    match = _IS_PART.fullmatch(re.sub('[ -]', '_', name.lower()))
    if not match:
        return {
            v: _PART_OF[v.lower()] for v in values if v.lower() in _PART_OF
        }
    part = match[1]
    other = 'val' if part == 'train' else 'train'
    truths = {v: _TRUTHS[v.lower()] for v in values if v.lower() in _TRUTHS}
    return {v: part if truth else other for v, truth in truths.items()}


def _choice(
    header: Sequence[str], columns: Places, separator: str
) -> Optional[str]:
    """Say which columns were chosen, unless they could be no others."""
    if separator == ',' and list(map(str.lower, header)) == ['path', 'label']:
        return None
    used = columns._asdict().items()
    chosen = [
        f'{kind} is the column {printable(header[i])}'
        for kind, i in used
        if i is not None
    ]
    return f'{", ".join(chosen)}; separated by {SEPARATORS[separator]}'


def read_csv(
    ann_file: str,
    prefix: str = '',
    columns: Columns = UNNAMED,
    problems: Optional[Problems] = None,
) -> Tuple[List[Entry], List[str]]:
    """Read the images of a CSV list.

    Args:
        ann_file: Path of the CSV file (UTF-8, fields separated by commas,
            semicolons, tabs or ``|``, and quoted where they hold one). The
            first row may name the columns; it must if there are others than
            path and label, or in another order. Empty rows are skipped.
        prefix: Folder that the paths are relative to, itself relative to
            the list's. Defaults to ``''``.
        columns: Names of the columns. Those of path and label are recognised
            if they are called ``path`` and ``label`` or, where only one
            column has such a name, ``file``, ``image``, ``class`` and the
            like. By default there are no others.
        problems: Gets the rows that are incomplete, that have an image
            again, whose label is the text ``nan``, or whose part is unknown
            (they are left out), with file and line; and a column such as
            ``split``, which divides the list, but is not named. Defaults to
            None: they are errors.

    Returns:
        The images, and sentences on how the list was read.

    Raises:
        InputValueError: There is such a row or column, or no row; a column
            is unknown or ambiguous; or the file is not such a list.
        InputFileError: The file cannot be read.
    """
    problems = problems or Problems()
    rows, separator = _read_rows(ann_file)
    header, notes = rows[0][0], []
    if len(header) < 2:
        raise InputValueError(_row_problem(ann_file, *rows[0]))
    found = find_columns(rows, columns, ann_file)
    if found is not None:
        rows = rows[1:]
        choice = _choice(header, found, separator)
        notes += [f'{ann_file}: {choice}'] if choice else []
    elif len(header) == 2:
        found = Places(0, 1)
    else:
        raise InputValueError(_row_problem(ann_file, *rows[0]))
    if not rows:
        raise InputValueError(f'{ann_file}: the list has no row path,label')
    folder = osp.abspath(osp.join(osp.dirname(ann_file), prefix))
    wrong = [
        (line, _row_problem(ann_file, fields, line))
        for fields, line in rows
        if len(fields) != len(header)
    ]
    wrong += [
        (line, f'{ann_file}:{line}: an image must have a {kind}, got none')
        for fields, line in rows
        if len(fields) == len(header)
        for kind, column in (('path', found.path), ('label', found.label))
        if not fields[column]
    ]
    bad = {line for line, _ in wrong}
    rows = [row for row in rows if row[1] not in bad]
    part_of: Dict[str, str] = {}
    if found.split is not None:
        values = sorted({fields[found.split] for fields, _ in rows})
        part_of = _parts_by_value(header[found.split], values)
        unknown = [value for value in values if value not in part_of]
        if unknown:
            known = 'train, val (or valid, validation, dev) and test'
            problems.add(
                f'{ann_file}: split_column {printable(header[found.split])} '
                f'must say {known}, but it has also '
                f'{", ".join(map(repr, unknown[:20]))}'
            )
            rows = [row for row in rows if row[0][found.split] in part_of]
    entries: List[Entry] = []
    first: Dict[str, Entry] = {}
    for fields, line in rows:
        path, label = fields[found.path], fields[found.label]
        if label.lower() in ('nan', '<na>'):
            problem = (
                f'{ann_file}:{line}: an image must have a label, got {label!r}'
                ', which stands for a missing one'
            )
            wrong.append((line, problem))
            continue
        group = '' if found.group is None else fields[found.group]
        part = '' if found.split is None else part_of[fields[found.split]]
        entry = Entry(path, label, line, group, part)
        file = osp.normpath(osp.join(folder, path))
        other = first.setdefault(file, entry)
        if other is entry:
            entries.append(entry)
            continue
        differ = other.name != label
        labels = f', with the label {other.name!r}' if differ else ''
        problem = (
            f'{ann_file}:{line}: an image must be listed once, but {path!r} '
            f'is also in line {other.line}{labels}'
        )
        wrong.append((line, problem))
    problems.add(*(problem for _, problem in sorted(wrong)))
    if len(header) > 2:
        used = [i for i in found if i is not None]
        problems.add(*_split_problems(ann_file, header, rows, used))
    return entries, notes


def is_table_name(name: str) -> bool:
    """Whether a file may be a list, judged by the ending of its name."""
    return name.lower().endswith(('.csv', '.tsv'))


def is_csv_list(
    path: str,
    folder: str,
    columns: Columns = UNNAMED,
    by_known_names: bool = False,
) -> bool:
    """Whether a file is a list of images, and not some other table.

    Args:
        path: Its path.
        folder: The folder that its paths would be relative to.
        columns: Names of the columns. By default, those of a list are called
            ``path`` and ``label``; or there are two, and the first row is a
            path of an image that exists.
        by_known_names: Whether other known names of columns are enough, such
            as ``image`` and ``class``. Defaults to False.
    """
    if not (is_table_name(path) and osp.isfile(path)):
        return False
    with open(path, 'rb') as file:
        text = file.read(1 << 16).decode('utf-8-sig', 'replace')
    separator = find_separator(text)
    reader = csv.reader(StringIO(text, newline=''), delimiter=separator)
    try:
        fields = [field.strip() for field in next(filter(any, reader), ())]
    except csv.Error:
        return False
    is_row = len(fields) == 2 and osp.isfile(osp.join(folder, fields[0]))
    is_known = by_known_names and may_name_columns(fields)
    return is_row or is_known or names_columns(fields, columns)
