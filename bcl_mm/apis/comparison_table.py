"""The table of a comparison, one row per config."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any, Dict, List, Optional

from bcl_mm.apis.comparison import Run
from bcl_mm.apis.cost import PREFIXES
from bcl_mm.apis.runs import method_name
from bcl_mm.evaluation import difference
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


def make_table(runs: List[Run]) -> List[Dict[str, Any]]:
    """Rows of the table: the figures of each config's finished runs.

    Differences are those from the first row.
    """
    groups: Dict[str, List[Run]] = {}
    for run in runs:
        groups.setdefault(run.config, []).append(run)
    first, *_ = groups.values()
    return [_summarise(group, first) for group in groups.values()]


def _by_seed(runs: List[Run], column: str) -> Dict[int, float]:
    """Seed -> figure; a group without classes has none."""
    found = {
        run.seed: run.note['figures'].get(f'accuracy/{column}') for run in runs
    }
    return {seed: v for seed, v in found.items() if v is not None}


def _summarise(runs: List[Run], reference: List[Run]) -> Dict[str, Any]:
    notes = [run.note for run in runs]
    stem = Path(runs[0].config).stem
    row: Dict[str, Any] = dict(
        method=method_name(runs[0].cfg, stem),
        config=stem,
        seeds=' '.join(str(run.seed) for run in runs),
    )
    for column in COLUMNS:
        values = list(_by_seed(runs, column).values())
        several = len(values) > 1
        row[f'{column}_mean'] = statistics.mean(values) if values else None
        row[f'{column}_std'] = statistics.stdev(values) if several else None
    ours, theirs = _by_seed(runs, CRITERION), _by_seed(reference, CRITERION)
    gap = None
    if runs is not reference and ours and theirs:
        gap = difference(ours, theirs)
    for name in ('mean', 'low', 'high', 'pairs'):
        row[f'difference_{name}'] = getattr(gap, name, None)
    kinds = {note.get('kind_of_time', 'wall') for note in notes}
    times = [note.get('seconds_per_epoch') for note in notes]
    times = [time for time in times if time is not None]
    if len(kinds) > 1:  # CPU and GPU time cannot be averaged
        times = []
    row['seconds_per_epoch'] = statistics.mean(times) if times else None
    row['kind_of_time'] = kinds.pop() if times else None
    commits = [one for note in notes for one in note.get('commits', ())]
    row['commits'] = ' '.join(dict.fromkeys(map(str, commits)))
    row['folders'] = ' '.join(str(run.folder) for run in runs)
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
    kinds = {row['kind_of_time'] for row in rows} - {None}
    kind = PREFIXES[next(iter(kinds))] if len(kinds) == 1 else ''
    lines = [
        [
            *('method', 'config', *COLUMNS.values()),
            *(['above the first'] * has_gaps),
            *(f'{kind}s / epoch', 'commit'),
        ],
        ['---', '---', *['---:'] * (len(COLUMNS) + has_gaps + 1), '---'],
    ]
    for row in rows:
        line = [row['method'], row['config']]
        for column in COLUMNS:
            mean = _cell(row[f'{column}_mean'], '.1f')
            deviation = _cell(row[f'{column}_std'], '.1f')
            line.append(f'{mean} ± {deviation}' if deviation else mean)
        gap = [row[f'difference_{name}'] for name in ('mean', 'low', 'high')]
        if has_gaps:
            line.append('' if gap[0] is None else gap_text(*gap))
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
    text = (
        f'Above the first: balanced accuracy minus that of {rows[0]["method"]}'
    )
    if any(row['difference_low'] is not None for row in rows):
        return f'{text}, with its 95 % interval over the seeds that both have.'
    pairs = max(row['difference_pairs'] or 0 for row in rows)
    if pairs < 2:
        return f'{text}. One seed is not conclusive: add --seeds 0 1 2.'
    return f'{text}. These seeds do not show how much it varies.'


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
