"""Readers of annotation files: ``path label`` lines, and COCO's JSON."""

from __future__ import annotations

import json
import re
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

from bcl_mm.datasets.problems import Problems
from bcl_mm.utils.errors import InputValueError
from bcl_mm.utils.files import telling_failed_reads

Row = Tuple[str, Any, int]  # path, label or its name, line of the list or 0


def read_bytes(ann_file: str) -> bytes:
    """Content of an annotation file.

    Raises:
        InputFileError: It cannot be read; the message names file and cause.
    """
    with telling_failed_reads(ann_file):
        return Path(ann_file).read_bytes()


def _read_lines(ann_file: str) -> Iterator[str]:
    """Lines of a text file, which end with LF, CRLF or CR.

    It is not held in memory as a whole: lists have millions of lines.

    Raises:
        InputFileError: It cannot be read; the message names file and cause.
    """
    # Undecodable bytes become lone surrogates.
    with (
        telling_failed_reads(ann_file),
        open(ann_file, encoding='utf-8-sig', errors='surrogateescape') as file,
    ):
        yield from file


def read_list(
    ann_file: str, problems: Optional[Problems] = None
) -> Iterator[Row]:
    """Read ``relative/path label`` lines; the path may contain spaces.

    Args:
        ann_file: Path of the text file (UTF-8, at most ten million
            classes, which keeps a mistyped label from taking all memory).
            Empty lines are skipped.
        problems: Gets the lines without a label, or with one that is not a
            whole number in range, after all others. Defaults to None: they
            are errors.

    Yields:
        (path, label, line number from 1) for each image.

    Raises:
        InputValueError: There is such a line, the list is empty, or it is
            not UTF-8. The message gives file and line.
        InputFileError: The file cannot be read.
    """
    is_empty, wrong = True, []
    for number, line in enumerate(_read_lines(ann_file), 1):
        try:
            line.encode()
        except UnicodeEncodeError as error:
            raw = line.encode(errors='surrogateescape').strip()
            raise InputValueError(
                f'{ann_file}:{number}: the list must be UTF-8 text, got '
                f'{raw[:200]!r}'
            ) from error
        fields = line.rsplit(maxsplit=1)
        if not fields:
            continue
        if len(fields) < 2 or not re.fullmatch('[0-9]{1,7}', fields[1]):
            wrong.append(
                f'{ann_file}:{number}: a line must be "path label", the '
                'label a whole number from 0 to 9999999, got '
                f'{line.strip()[:200]!r}'
            )
            continue
        is_empty = False
        yield fields[0].strip(), int(fields[1]), number
    (problems or Problems()).add(*wrong)
    if is_empty:
        raise InputValueError(f'{ann_file}: the list has no line "path label"')


def _read_table(
    content: Any, ann_file: str, name: str, /, **fields: type
) -> List[tuple]:
    """Rows of one table of a JSON annotation, checked."""
    rows = content.get(name) if isinstance(content, dict) else None
    if not isinstance(rows, list):
        raise InputValueError(
            f'{ann_file} must have a list {name!r}, as in COCO, got '
            f'{type(rows).__name__}'
        )
    for row in rows:
        if not isinstance(row, dict) or not all(
            isinstance(row.get(field), kind) for field, kind in fields.items()
        ):
            wanted = [f'{k} ({v.__name__})' for k, v in fields.items()]
            raise InputValueError(
                f'{ann_file}: each of {name!r} must have {", ".join(wanted)}, '
                f'got {row}'
            )
    if 'id' in fields and len({row['id'] for row in rows}) < len(rows):
        ((twice, _),) = Counter(row['id'] for row in rows).most_common(1)
        raise InputValueError(
            f'{ann_file}: each of {name!r} must have its own id, but {twice} '
            'occurs more than once'
        )
    return [tuple(row[field] for field in fields) for row in rows]


def read_coco(ann_file: str) -> Tuple[List[Row], Tuple[str, ...]]:
    """Read an annotation in COCO's JSON: one category for each image.

    It has ``images`` (id, file_name), ``annotations`` (image_id,
    category_id) and ``categories`` (id, name). A label is the position of
    its category's id among the sorted ids.

    Args:
        ann_file: Path of the JSON file (UTF-8).

    Returns:
        (path, label, 0) for each image, in the order of ``images`` (0 stands
        for the line number), and the C names of the classes.

    Raises:
        InputValueError: The file is not such JSON, an id occurs twice, an
            annotation names an unknown image or category, or an image does
            not have exactly one annotation.
        InputFileError: The file cannot be read.
    """
    try:
        content = json.loads(read_bytes(ann_file).decode('utf-8-sig'))
    except (ValueError, RecursionError) as error:  # not JSON, or not UTF-8
        raise InputValueError(f'{ann_file} must be JSON: {error}') from error
    read = partial(_read_table, content, ann_file)
    images = dict(read('images', id=int, file_name=str))
    categories = dict(sorted(read('categories', id=int, name=str)))

    def wrong_number(image: int, found: str) -> InputValueError:
        return InputValueError(
            f'{ann_file}: an image must have one annotation, but image '
            f'{image} ({images[image]}) has {found}'
        )

    label_of = {category: label for label, category in enumerate(categories)}
    labels: Dict[int, int] = {}
    for image, category in read('annotations', image_id=int, category_id=int):
        unknown = '' if category in categories else f'category {category}'
        unknown = unknown if image in images else f'image {image}'
        if unknown:
            raise InputValueError(
                f'{ann_file}: an annotation must name an id of the file, but '
                f'it has no {unknown}'
            )
        if image in labels:
            raise wrong_number(image, 'more')
        labels[image] = label_of[category]
    for image in images:
        if image not in labels:
            raise wrong_number(image, 'none')
    if not images:
        raise InputValueError(f'{ann_file} lists no image')
    entries = [(path, labels[image], 0) for image, path in images.items()]
    return entries, tuple(categories.values())
