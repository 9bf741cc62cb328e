"""The list of images to exclude: `check` writes it, training reads it."""

from __future__ import annotations

import csv
import os.path as osp
from io import StringIO
from pathlib import Path
from typing import Dict, List, Sequence, Set

from bcl_mm.datasets.annotations import read_bytes
from bcl_mm.datasets.findings import Exclusion
from bcl_mm.utils.errors import InputValueError, MissingFileError
from bcl_mm.utils.files import CsvWriter, open_atomically

_COLUMNS = ('path', 'class', 'split', 'reason', 'partner')
_SPLITS = ('train', 'val', 'test')


def write_exclusions(path: Path, exclusions: Sequence[Exclusion]) -> None:
    """Write a CSV list of images to exclude.

    Raises:
        InputFileError: The file cannot be written.
    """
    # File names need not be valid text.
    options = dict(newline='', errors='surrogateescape')
    with open_atomically(path, **options) as file:
        writer = CsvWriter(file)
        writer.writerow(_COLUMNS)
        for exclusion in exclusions:
            writer.writerow(exclusion)


def list_exclusions(path: str) -> List[Exclusion]:
    """Read the rows of a CSV list of images to exclude.

    Args:
        path: The file. It has a column ``path``, absolute or relative to the
            file's folder, and may have a column ``split`` and others; without
            one, an image is excluded from all splits.

    Returns:
        The rows, with absolute paths; what a row does not say is empty.

    Raises:
        MissingFileError: There is no such file.
        InputFileError: It cannot be read.
        InputValueError: It has no column ``path``, or a row is malformed.
    """
    path = osp.expanduser(path)
    if not osp.isfile(path):
        raise MissingFileError(
            f'exclude must be a CSV file, as bcl-mm check --fix-list writes '
            f'it, got {path!r}, which does not exist'
        )
    text = read_bytes(path).decode('utf-8-sig', 'surrogateescape')
    reader = csv.DictReader(StringIO(text, newline=''), strict=True)
    if 'path' not in (reader.fieldnames or ()):
        raise InputValueError(
            f'exclude={path}: the first row must name the columns, one of '
            f'them path, got {str(reader.fieldnames)[:200]}'
        )
    folder = osp.dirname(osp.abspath(path))
    found = []
    try:
        for row in reader:
            split = row.get('split') or ''
            if not row['path'] or split not in ('', *_SPLITS):
                raise InputValueError(
                    f'exclude={path}:{reader.line_num}: a row must have a '
                    "path, and 'train', 'val', 'test' or nothing as split, "
                    f'got {row["path"]!r} and {split!r}'
                )
            image = osp.normpath(osp.join(folder, row['path']))
            others = (row.get(name) or '' for name in _COLUMNS[1:])
            found.append(Exclusion(image, *others))
    except csv.Error as error:
        raise InputValueError(
            f'exclude={path}:{reader.line_num}: the list must be CSV: {error}'
        ) from error
    return found


def read_exclusions(path: str) -> Dict[str, Set[str]]:
    """Read which images a CSV list excludes from which split.

    Args:
        path: The file, see :func:`list_exclusions`.

    Returns:
        Absolute paths for ``'train'``, ``'val'`` and ``'test'``.
    """
    found: Dict[str, Set[str]] = {name: set() for name in _SPLITS}
    for row in list_exclusions(path):
        for name in [row.split] if row.split else _SPLITS:
            found[name].add(row.path)
    return found
