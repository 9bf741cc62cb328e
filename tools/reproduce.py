"""Make a table of docs/results.md anew: train its runs, and compare.

Each table is defined in tools/tables.py, and its recorded runs are in
docs/results/TABLE.csv, one line each. Runs of this machine that are finished
are kept, as with bcl-mm compare; then the table is printed, and how many of
their figures lie within the 95 % prediction intervals of the recorded runs.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import sys
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import tables
from tables import Row, Table

from bcl_mm.apis.comparison import Run, check_data, plan_runs
from bcl_mm.apis.comparison_table import make_table, markdown
from bcl_mm.apis.launcher import Launcher
from bcl_mm.apis.records import Record, read_records, write_records
from bcl_mm.cli.compare import stop_on_signals
from bcl_mm.evaluation import prediction_interval
from bcl_mm.utils.errors import (
    InputValueError,
    as_input_error,
    visible,
)

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / 'docs' / 'results'
PAGES = ('README.md', 'docs/getting_started.md', 'docs/results.md')
# <!-- table NAME [METHOD ...] -->, and the end of what is written there.
BLOCK = re.compile(
    r'(<!-- table (\w+)((?: \w+)*) -->\n).*?(<!-- end of table -->)', re.DOTALL
)
COMPARED = ('top1', 'balanced')


def parse_args() -> argparse.Namespace:
    """Parse the options."""
    titles = [
        f'  {name}: {table.title}' for name, table in tables.TABLES.items()
    ]
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog='\n'.join(['tables:', *titles]),
    )
    add = parser.add_argument
    add('table', choices=tables.TABLES, metavar='TABLE', nargs='?')
    add('--methods', nargs='+', metavar='NAME', help='rows (default: all)')
    add('--seeds', nargs='+', type=int, metavar='N', help='(default: all)')
    add('--folds', nargs='+', metavar='FOLD', help='(default: all)')
    add('--jobs', type=int, default=1, help='runs side by side')
    add('--work-dir', type=Path, default=ROOT / 'work_dirs' / 'reproduce')
    add(
        '--recorded',
        action='store_true',
        help='print the table of the recorded runs; train nothing',
    )
    add(
        '--record',
        action='store_true',
        help='write the finished runs to docs/results/TABLE.csv, and the '
        'tables of the pages (from a commit without changes)',
    )
    add(
        '--pages',
        action='store_true',
        help='only write the tables of the pages from docs/results/',
    )
    args = parser.parse_args()
    if bool(args.table) == args.pages:
        parser.error('give a TABLE or --pages')
    return args


def recorded(name: str) -> List[Record]:
    """Recorded runs of a table, in the order of its rows."""
    path = RESULTS / f'{name}.csv'
    found = read_records(path) if path.exists() else []
    table = tables.TABLES[name]
    order = [
        (f'{row.method}_{table.suffix}', (*table.options, *row.options))
        for row in table.rows
    ]

    def position(record: Record) -> Tuple[int, str, int]:
        row = record.config, record.options
        if row not in order:
            raise InputValueError(
                f'{path} has a run of {record.config} with '
                f'{" ".join(record.options) or "no options"}, which is no row '
                f'of {name} in tools/tables.py: remove its lines'
            )
        return order.index(row), record.fold or '', record.seed

    return sorted(found, key=position)


def check_methods(source: str, methods: Sequence[str], table: Table) -> None:
    """Raise an InputValueError for a method that a table has no row of."""
    for method in methods:
        if method not in table.methods:
            raise InputValueError(
                f'{source} must be of {", ".join(table.methods)}, got '
                f'{method!r}'
            )


def plan(args: argparse.Namespace) -> List[Tuple[Run, Optional[Row]]]:
    """The runs, each with the row that it is of; None for a first stage."""
    table = tables.TABLES[args.table]
    methods = args.methods or table.methods
    check_methods('--methods', methods, table)
    rows = [row for row in table.rows if row.method in methods]
    found: Dict[Path, Tuple[Run, Optional[Row]]] = {}
    for row in rows:
        runs = plan_runs(
            [f'{row.method}_{table.suffix}'],
            args.seeds or table.seeds,
            (*table.options, *row.options),
            args.work_dir / args.table,
            args.folds or table.folds,
            table.part,
        )
        for run in runs:
            own = Path(run.config).stem == f'{row.method}_{table.suffix}'
            if own or run.folder not in found:
                found[run.folder] = run, row if own else None
    return list(found.values())


def as_records(runs: Sequence[Tuple[Run, Optional[Row]]]) -> List[Record]:
    """Records of the finished runs, under the names of their rows."""
    records = []
    for run, row in runs:
        if row is not None and run.is_finished:
            record = run.record()
            if row.variant:
                method = f'{record.method}, {row.variant}'
                record = dataclasses.replace(record, method=method)
            records.append(record)
    return records


def render(
    table: Table, records: Sequence[Record], methods: Sequence[str] = ()
) -> str:
    """The table as Markdown; only some rows of it with ``methods``."""
    if not records:
        return 'No runs are recorded yet.'
    rows = make_table(records)
    if table.is_search:
        return render_search(rows, table.chosen)
    if methods:
        configs = [f'{method}_{table.suffix}' for method in methods]
        rows = [row for row in rows if row['config'] in configs]
    return markdown(rows)


def render_search(rows: Sequence[Dict[str, object]], chosen: str) -> str:
    """Balanced accuracies of each setting, the chosen one in bold."""
    figures: Dict[str, List[float]] = {}
    for row in rows:
        _, _, setting = row['method'].partition(', ')
        figures.setdefault(setting, []).append(row['balanced_mean'])
    means = {name: sum(x) / len(x) for name, x in figures.items()}
    titles = dict.fromkeys(row['method'].partition(', ')[0] for row in rows)
    lines = [['setting', *titles, 'mean'], ['---', *['---:'] * 3]]
    for name, values in figures.items():
        cells = [f'{x:.1f}' for x in (*values, means[name])]
        cells = [name, *cells]
        lines.append([f'**{x}**' for x in cells] if name == chosen else cells)
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def agreement(new: Sequence[Record], old: Sequence[Record]) -> str:
    """How many figures lie within the intervals of the recorded runs."""
    inside, outside = 0, []
    for record in new:
        for column in COMPARED:
            values = [
                other.figures[column]
                for other in old
                if other.key[0] == record.key[0]
            ]
            if len(values) < 2:
                continue
            low, high = prediction_interval(values)
            value = record.figures[column]
            if low <= value <= high:
                inside += 1
            else:
                outside.append(
                    f'{record.stem}, fold {record.fold}, seed {record.seed}: '
                    f'{column} {value:.1f}, not in [{low:.1f}, {high:.1f}]'
                )
    total = inside + len(outside)
    if not total:
        return 'There are no recorded runs to compare with.'
    text = (
        f'{inside} of {total} figures ({", ".join(COMPARED)}) lie within the '
        f'95 % prediction intervals of the recorded runs.'
    )
    return '\n'.join([text, *outside])


def written_pages() -> Dict[Path, str]:
    """Path -> text of each page, with its tables from docs/results/."""

    def block(match: re.Match) -> str:
        start, name, words, end = match.groups()
        table, methods = tables.TABLES[name], words.split()
        check_methods(f'{page}: <!-- table {name}', methods, table)
        text = render(table, recorded(name), methods)
        return f'{start}\n{text}\n\n{end}'

    found = {}
    for page in PAGES:
        path = ROOT / page
        text = path.read_text(encoding='utf-8')
        found[path] = BLOCK.sub(block, text)
    return found


def record(name: str, new: Sequence[Record]) -> None:
    """Add runs to the file of a table; those that it has are replaced."""
    for one in new:
        if any(commit.endswith('+') for commit in one.commits):
            sys.exit(f'{one.folder} was trained with changes: commit them')
    merged = {one.key: one for one in [*recorded(name), *new]}
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f'{name}.csv'
    write_records(list(merged.values()), path)
    # In the order of the table, for small differences.
    write_records(recorded(name), path)
    print(f'{len(merged)} runs are in {path.relative_to(ROOT)}')


def run(args: argparse.Namespace) -> str:
    """Train, print, compare and write; returns what failed, or ''."""
    failure = ''
    if args.table:
        table, old = tables.TABLES[args.table], recorded(args.table)
        if args.recorded:
            print(render(table, old))
            return failure
        stop_on_signals()
        runs = plan(args)
        planned = [run for run, _ in runs]
        check_data(planned)
        failures = Launcher(1, args.jobs).finish_all(planned)
        if failures:  # which the launcher has shown
            failure = f'{len(failures)} of {len(planned)} runs failed'
        new = as_records(runs)
        if new:
            print(f'\n{render(table, new)}\n\n{agreement(new, old)}')
        if args.record:
            record(args.table, new)
    if args.pages or args.record:
        for path, text in written_pages().items():
            path.write_text(text, encoding='utf-8')
    return failure


def main() -> None:
    """Run; exits with 1 if a training or the input is at fault."""
    os.environ.setdefault('OMP_NUM_THREADS', '1')  # comparable CPU time
    try:
        failure = run(parse_args())
    except Exception as error:
        told = as_input_error(error)
        if told is None:
            raise
        failure = visible(f'Error: {told}')
    sys.exit(failure or 0)


if __name__ == '__main__':
    main()
