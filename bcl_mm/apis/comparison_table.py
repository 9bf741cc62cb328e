"""The table of a comparison, one row per config and its options."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

from bcl_mm.apis.comparison import Run
from bcl_mm.apis.cost import PREFIXES
from bcl_mm.apis.records import Record
from bcl_mm.apis.runs import method_name
from bcl_mm.evaluation import Difference, difference, holm
from bcl_mm.utils.errors import InputValueError
from bcl_mm.utils.files import CsvWriter, open_atomically, write_atomically

# Figures of the table, and their titles.
COLUMNS = dict(
    top1='top-1',
    balanced='balanced',
    many='many-shot',
    medium='medium-shot',
    few='few-shot',
)
# What methods are compared by (see docs/reports.md).
CRITERION = 'balanced'
_LEVEL = 0.05  # p-values above it may be chance


def find_reference(runs: Sequence[Run], name: Optional[str]) -> str:
    """Path of the config that the others are compared with.

    Args:
        runs: The planned runs.
        name: Name of the config or of its method. None: the first one.

    Raises:
        InputValueError: No config has that name, or several have.
    """
    methods = {
        run.config: (Path(run.config).stem, method_name(run.cfg))
        for run in runs
    }
    found = [
        config for config, names in methods.items() if name in (None, *names)
    ]
    if len(found) == 1 or (found and name is None):
        return found[0]
    names = ', '.join(stem for stem, _ in methods.values())
    raise InputValueError(
        f'--reference must name one of the configs {names}, got {name!r}'
    )


def make_table(
    records: Sequence[Record], reference: Optional[str] = None
) -> List[Dict[str, Any]]:
    """Rows of the table: the figures of each config with its options.

    Args:
        records: The finished runs.
        reference: Path of the config that the others are compared with, in
            its first row. Defaults to None: the first one. If none of its
            runs is finished, there are no differences.
    """
    groups: Dict[Tuple[str, ...], List[Record]] = {}
    for record in records:
        groups.setdefault(record.row, []).append(record)
    rows = [_summarise(group) for group in groups.values()]
    figures = [_by_key(group, CRITERION) for group in groups.values()]
    configs = [group[0].config for group in groups.values()]
    if reference is None:
        reference = configs[0]
    chosen = configs.index(reference) if reference in configs else None
    _add_differences(rows, figures, chosen)
    _mark_best(rows, figures)
    return rows


def _by_key(records: List[Record], column: str) -> Dict[Any, float]:
    """Figure of each seed, or of each fold as the mean over its seeds.

    A group without classes has none.
    """
    found: Dict[Any, List[float]] = {}
    for record in records:
        value = record.figures.get(column)
        if value is not None:
            key = record.seed if record.fold is None else record.fold
            found.setdefault(key, []).append(value)
    return {key: statistics.mean(values) for key, values in found.items()}


def _gap(
    ours: Dict[Any, float], theirs: Dict[Any, float], folds: int
) -> Optional[Difference]:
    """Difference of two methods on what both have; None without any."""
    if not (ours and theirs) or (folds and not ours.keys() & theirs.keys()):
        return None
    # Each of k folds has 1 / (k - 1) test images per training image.
    shared = 1 / (folds - 1) if folds > 1 else 0.0
    return difference(ours, theirs, test_per_train=shared)


def _add_differences(
    rows: List[Dict[str, Any]],
    figures: List[Dict[Any, float]],
    chosen: Optional[int],
) -> None:
    """Add the differences from the chosen row, and Holm's p-values."""
    gaps = []
    for i, (row, own) in enumerate(zip(rows, figures)):
        gap = None
        if chosen not in (None, i):
            gap = _gap(own, figures[chosen], row['folds'])
        gaps.append(gap)
        row['reference'] = None if chosen is None else rows[chosen]['method']
        for name in ('mean', 'low', 'high', 'pairs'):
            row[f'difference_{name}'] = getattr(gap, name, None)
        row['p_holm'] = None
    known = {
        i: gap.p_value
        for i, gap in enumerate(gaps)
        if gap is not None and gap.p_value is not None
    }
    for i, p_value in zip(known, holm(list(known.values()))):
        rows[i]['p_holm'] = p_value


def _mark_best(
    rows: List[Dict[str, Any]], figures: List[Dict[Any, float]]
) -> None:
    """Mark the best row, and those that do not clearly differ from it."""
    for row in rows:
        row['is_best'] = False
    ranked = [i for i, row in enumerate(rows) if figures[i]]
    best = max(ranked, key=lambda i: rows[i][f'{CRITERION}_mean'], default=0)
    others = [i for i in ranked if i != best]
    gaps = [_gap(figures[best], figures[i], rows[i]['folds']) for i in others]
    p_values = [
        gap.p_value
        for gap in gaps
        if gap is not None and gap.p_value is not None
    ]
    if not gaps or len(p_values) < len(gaps):
        return  # what is noise is not known
    adjusted = holm(p_values)
    alike = [i for i, p_value in zip(others, adjusted) if p_value > _LEVEL]
    if len(alike) < len(others):
        for i in (best, *alike):
            rows[i]['is_best'] = True


def _summarise(records: List[Record]) -> Dict[str, Any]:
    folds = dict.fromkeys(x.fold for x in records if x.fold is not None)
    row: Dict[str, Any] = dict(
        method=records[0].method,
        config=records[0].stem,
        seeds=' '.join(dict.fromkeys(str(x.seed) for x in records)),
        folds=len(folds),
    )
    for column in COLUMNS:
        values = list(_by_key(records, column).values())
        several = len(values) > 1
        row[f'{column}_mean'] = statistics.mean(values) if values else None
        row[f'{column}_std'] = statistics.stdev(values) if several else None
    kinds = {x.kind_of_time for x in records}
    for name in ('seconds_per_epoch', 'passes'):
        found = [getattr(x, name) for x in records]
        found = [value for value in found if value is not None]
        row[name] = statistics.mean(found) if found else None
    row['kind_of_time'] = None
    if len(kinds) > 1:  # CPU and GPU time cannot be averaged
        row['seconds_per_epoch'] = None
    elif row['seconds_per_epoch'] is not None:
        row['kind_of_time'] = kinds.pop()
    commits = [commit for x in records for commit in x.commits]
    row['commits'] = ' '.join(dict.fromkeys(commits))
    row['folders'] = ' '.join(x.folder for x in records)
    return row


def _cell(value: Optional[float], form: str) -> str:
    return '' if value is None else format(value, form)


def gap_text(mean: float, low: Optional[float], high: Optional[float]) -> str:
    """A difference, with its interval if there is one: ``1.3 [0.4, 2.2]``."""
    text = f'{mean:+.1f}'
    return text if low is None else f'{text} [{low:.1f}, {high:.1f}]'


def markdown(rows: List[Dict[str, Any]]) -> str:
    """The table as Markdown, and what its differences mean."""
    has_gaps = any(row['difference_mean'] is not None for row in rows)
    has_p = any(row['p_holm'] is not None for row in rows)
    # A group without classes would be an empty column.
    columns = {
        name: title
        for name, title in COLUMNS.items()
        if any(row[f'{name}_mean'] is not None for row in rows)
    }
    kinds = {row['kind_of_time'] for row in rows} - {None}
    kind = PREFIXES[next(iter(kinds))] if len(kinds) == 1 else ''
    lines = [
        [
            *('method', 'config', *columns.values()),
            *([f'above {rows[0]["reference"]}'] * has_gaps),
            *(['p'] * has_p),
            *('passes', f'{kind}s / epoch', 'commit'),
        ],
    ]
    numbers = len(lines[0]) - 3
    lines.append(['---', '---', *['---:'] * numbers, '---'])
    for row in rows:
        line = [row['method'], row['config']]
        for column in columns:
            mean = _cell(row[f'{column}_mean'], '.1f')
            deviation = _cell(row[f'{column}_std'], '.1f')
            text = f'{mean} ± {deviation}' if deviation else mean
            is_marked = column == CRITERION and row['is_best']
            line.append(f'**{text}**' if is_marked else text)
        gap = [row[f'difference_{name}'] for name in ('mean', 'low', 'high')]
        if has_gaps:
            line.append('' if gap[0] is None else gap_text(*gap))
        if has_p:
            line.append(_cell(row['p_holm'], '.2g'))
        line.append(_cell(row['passes'], '.4g'))
        time = _cell(row['seconds_per_epoch'], '.3g')
        if time and len(kinds) > 1:
            time += f' {PREFIXES[row["kind_of_time"]]}'.rstrip()
        line.append(time)
        lines.append([*line, row['commits'].replace(' ', ', ')])
    lines = [[cell.replace('|', r'\|') for cell in line] for line in lines]
    widths = [max(map(len, column)) for column in zip(*lines)]
    padded = [[c.ljust(w) for c, w in zip(line, widths)] for line in lines]
    table = '\n'.join(f'| {" | ".join(line)} |' for line in padded)
    return f'{table}\n\n{_explanation(rows)}' if has_gaps else table


def _explanation(rows: List[Dict[str, Any]]) -> str:
    """What differences, p-values and marks mean."""
    first = rows[0]
    text = (
        f'Above {first["reference"]}: balanced accuracy minus that of '
        f'{first["reference"]}'
    )
    if any(row['difference_low'] is not None for row in rows):
        over = (
            'folds, corrected for the training images that they share '
            '(Nadeau and Bengio)'
            if first['folds']
            else 'seeds that both have; it covers the noise of training only'
        )
        text += (
            f', with its 95 % interval over the {over}. p: of no difference, '
            f"with Holm's correction for all rows."
        )
        if any(row['is_best'] for row in rows):
            text += (
                ' Bold: the best balanced accuracy, and what does not clearly '
                'differ from it.'
            )
        return text
    pairs = max(row['difference_pairs'] or 0 for row in rows)
    if pairs < 2:
        more = (
            'One fold is not conclusive: add --folds.'
            if first['folds']
            else 'One seed is not conclusive: add --seeds 0 1 2.'
        )
        return f'{text}. {more}'
    return f'{text}. These runs do not show how much it varies.'


def write_table(rows: List[Dict[str, Any]], work_dir: Path) -> None:
    """Write results.md and results.csv.

    The CSV file has a column for each standard deviation.
    """
    write_atomically(f'{markdown(rows)}\n', work_dir / 'results.md')
    with open_atomically(work_dir / 'results.csv', newline='') as file:
        writer = CsvWriter(file)
        writer.writerow(rows[0])
        for row in rows:
            writer.writerow(row.values())
