"""The table of a comparison, one row per config."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any, Dict, List, Optional

from bcl_mm.apis.comparison import Run
from bcl_mm.apis.runs import method_name
from bcl_mm.utils.files import CsvWriter, open_atomically, write_atomically

# Figures of the table, and their titles.
COLUMNS = dict(
    top1='top-1', many='many-shot', medium='medium-shot', few='few-shot'
)


def make_table(runs: List[Run]) -> List[Dict[str, Any]]:
    """Rows of the table: the figures of each config's finished runs."""
    groups: Dict[str, List[Run]] = {}
    for run in runs:
        groups.setdefault(run.config, []).append(run)
    return [_summarise(group) for group in groups.values()]


def _summarise(runs: List[Run]) -> Dict[str, Any]:
    notes = [run.note for run in runs]
    stem = Path(runs[0].config).stem
    row: Dict[str, Any] = dict(
        method=method_name(runs[0].cfg, stem),
        config=stem,
        seeds=' '.join(str(run.seed) for run in runs),
    )
    for column in COLUMNS:
        found = [note['figures'].get(f'accuracy/{column}') for note in notes]
        # A group without classes has no figure.
        values = [value for value in found if value is not None]
        several = len(values) > 1
        row[f'{column}_mean'] = statistics.mean(values) if values else None
        row[f'{column}_std'] = statistics.stdev(values) if several else None
    times = [note.get('seconds_per_epoch') for note in notes]
    times = [time for time in times if time is not None]
    row['seconds_per_epoch'] = statistics.median(times) if times else None
    commits = [one for note in notes for one in note.get('commits', ())]
    row['commits'] = ' '.join(dict.fromkeys(map(str, commits)))
    row['folders'] = ' '.join(str(run.folder) for run in runs)
    return row


def _cell(value: Optional[float], form: str) -> str:
    return '' if value is None else format(value, form)


def markdown(rows: List[Dict[str, Any]]) -> str:
    """The table as Markdown."""
    lines = [
        ['method', 'config', *COLUMNS.values(), 's / epoch', 'commit'],
        ['---', '---', *['---:'] * (len(COLUMNS) + 1), '---'],
    ]
    for row in rows:
        line = [row['method'], row['config']]
        for column in COLUMNS:
            mean = _cell(row[f'{column}_mean'], '.1f')
            deviation = _cell(row[f'{column}_std'], '.1f')
            line.append(f'{mean} ± {deviation}' if deviation else mean)
        line.append(_cell(row['seconds_per_epoch'], '.3g'))
        lines.append([*line, row['commits'].replace(' ', ', ')])
    lines = [[cell.replace('|', r'\|') for cell in line] for line in lines]
    widths = [max(map(len, column)) for column in zip(*lines)]
    padded = [[c.ljust(w) for c, w in zip(line, widths)] for line in lines]
    return '\n'.join(f'| {" | ".join(line)} |' for line in padded)


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
