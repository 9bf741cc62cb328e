"""Records of finished runs: what a table is made of, and its file."""

from __future__ import annotations

import csv
import io
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from bcl_mm.apis.cost import PREFIXES
from bcl_mm.utils.errors import InputValueError, check_number
from bcl_mm.utils.files import open_atomically

# Columns of a file; those of FIGURES are accuracies in percent.
_KEYS = ('method', 'config', 'options', 'part', 'fold', 'seed', 'commits')
FIGURES = (
    *('top1', 'balanced', 'many', 'medium', 'few'),
    *('harmonic', 'geometric', 'worst'),
)
_VALIDATION = 'validation_balanced'
_COST = ('passes', 'seconds_per_epoch', 'kind_of_time')
_HEADER = [*_KEYS, *FIGURES, _VALIDATION, *_COST]
_CHOICES = dict(part=('test', 'val'), kind_of_time=tuple(PREFIXES))


@dataclass(frozen=True)
class Record:
    """Figures and cost of a finished run.

    Attributes:
        method: What the row of a table is called.
        config: Path or name of the config.
        seed: Seed of the run.
        figures: Accuracies in percent: those of ``FIGURES`` that it has.
        options: ``KEY=VALUE`` settings, with ``{fold}`` for the fold's name.
            Defaults to none.
        part: Images of the figures, ``'test'`` or ``'val'``. Defaults to
            ``'test'``.
        fold: Name of the fold. Defaults to None.
        commits: Commits that trained it. Defaults to none.
        validation_balanced: Balanced accuracy of the last validation, in
            percent. None if unknown.
        passes: Views x forward passes x epochs. None if unknown.
        seconds_per_epoch: Computing time of an epoch. None if unknown.
        kind_of_time: ``'cpu'``, ``'gpu'`` or ``'wall'``. Defaults to
            ``'wall'``.
        folder: Folder of the run; not in a file. Defaults to ``''``.

    Example:
        >>> figures = dict(top1=84.6, few=60.1)
        >>> record = Record('BCL', 'bcl_resnet8_digits_lt.py', 0, figures)
        >>> record.stem, record.part, record.figures['few']
        ('bcl_resnet8_digits_lt', 'test', 60.1)
    """

    method: str
    config: str
    seed: int
    figures: Mapping[str, float]
    options: Tuple[str, ...] = ()
    part: str = 'test'
    fold: Optional[str] = None
    commits: Tuple[str, ...] = ()
    validation_balanced: Optional[float] = None
    passes: Optional[float] = None
    seconds_per_epoch: Optional[float] = None
    kind_of_time: str = 'wall'
    folder: str = ''

    @property
    def stem(self) -> str:
        """Name of the config."""
        return Path(self.config).stem

    @property
    def row(self) -> Tuple[str, ...]:
        """What the runs of one row of a table share."""
        return self.config, self.part, *sorted(self.options)

    @property
    def key(self) -> Tuple[object, ...]:
        """What tells it from other runs of a file."""
        row = self.stem, *self.row[1:]
        return row, self.fold, self.seed

    def cells(self) -> List[str]:
        """The cells of its line in a file."""
        numbers = [self.figures.get(name) for name in FIGURES]
        numbers += [self.validation_balanced, self.passes]
        numbers.append(self.seconds_per_epoch)
        return [
            *(self.method, self.stem, shlex.join(self.options), self.part),
            *(self.fold or '', str(self.seed), ' '.join(self.commits)),
            *('' if x is None else f'{x:.6g}' for x in numbers),
            self.kind_of_time,
        ]


def write_records(records: Sequence[Record], path: Path) -> None:
    """Write a file of records, one line each (see :func:`read_records`)."""
    with open_atomically(path, newline='') as file:
        # As it is: a setting may begin with +, and is read again.
        writer = csv.writer(file)
        writer.writerow(_HEADER)
        writer.writerows(record.cells() for record in records)


def read_records(path: Path) -> List[Record]:
    """Read a file of :func:`write_records`.

    Raises:
        InputValueError: It is not such a file.

    Example:
        >>> path = Path('runs.csv')
        >>> write_records([Record('BCL', 'bcl', 0, dict(top1=84.6))], path)
        >>> (record,) = read_records(path)
        >>> record.method, record.seed, record.figures
        ('BCL', 0, {'top1': 84.6})
    """
    try:
        text = path.read_text(encoding='utf-8')
    except (OSError, UnicodeDecodeError) as error:
        raise InputValueError(f'cannot read {path}: {error}') from error
    header, *lines = csv.reader(io.StringIO(text)) if text else [[]]
    if header != _HEADER:
        raise InputValueError(
            f'{path} must have the columns {", ".join(_HEADER)}, got '
            f'{", ".join(header)}'
        )
    found = [
        _parse(dict(zip(_HEADER, cells)), f'{path}, line {i}')
        for i, cells in enumerate(lines, 2)
    ]
    keys = [record.key for record in found]
    for i, key in enumerate(keys):
        if key in keys[:i]:
            raise InputValueError(
                f'{path}, line {i + 2}: this run is in line '
                f'{keys.index(key) + 2} already'
            )
    return found


def _parse(cells: Dict[str, str], place: str) -> Record:
    def number(name: str) -> Optional[float]:
        text = cells.get(name, '')
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            raise InputValueError(
                f'{place}: {name} must be a number, got {text!r}'
            ) from None
        check_number(f'{place}: {name}', value)
        return value

    if len(cells) < len(_HEADER):
        raise InputValueError(f'{place} must have {len(_HEADER)} cells')
    for name, allowed in _CHOICES.items():
        if cells[name] not in allowed:
            raise InputValueError(
                f'{place}: {name} must be one of {", ".join(allowed)}, got '
                f'{cells[name]!r}'
            )
    figures = {name: number(name) for name in FIGURES}
    if not cells['seed'].isdecimal():
        raise InputValueError(
            f'{place}: seed must be a whole number, got {cells["seed"]!r}'
        )
    return Record(
        method=cells['method'],
        config=cells['config'],
        seed=int(cells['seed']),
        figures={k: v for k, v in figures.items() if v is not None},
        options=tuple(shlex.split(cells['options'])),
        part=cells['part'],
        fold=cells['fold'] or None,
        commits=tuple(cells['commits'].split()),
        validation_balanced=number(_VALIDATION),
        passes=number('passes'),
        seconds_per_epoch=number('seconds_per_epoch'),
        kind_of_time=cells['kind_of_time'],
    )
