"""The tables of a report."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Optional, Sequence, Tuple

from bcl_mm.apis.cost import KINDS as KINDS_OF_TIME
from bcl_mm.apis.cost import duration
from bcl_mm.report.summary import RATIOS, Method, mean_and_spread

# Figure -> (heading, whether more is better).
COLUMNS = dict(
    top1=('top-1', True),
    balanced=('balanced', True),
    many=('many-shot', True),
    medium=('medium-shot', True),
    few=('few-shot', True),
    ece=('ECE', False),
)
MORE_COLUMNS = dict(
    harmonic=('harmonic mean', True),
    geometric=('geometric mean', True),
    worst=('worst class', True),
    ece_balanced=('ECE, balanced', False),
    ece_few=('ECE, few-shot', False),
)
PRIORS = dict(
    prior_train=('as in training', True),
    **{f'prior_forward_{r}': (f'forward {r}', True) for r in RATIOS},
    prior_uniform=('uniform', True),
    **{f'prior_backward_{r}': (f'backward {r}', True) for r in RATIOS[::-1]},
)
GEOMETRY = dict(
    nc1='NC1',
    nc2_norms='NC2 norms',
    nc2_angles='NC2 angles',
    nc3='NC3',
    cosine_mean_gap='cosine - ideal',
    cosine_std='cosine spread',
)
KINDS = dict(
    features='backbone features',
    projected='projected features',
    prototypes='prototypes',
)


@dataclass
class Table:
    """A table with a row for each method.

    Attributes:
        heads: Headings, after that of the method's name.
        rows: Cells of each method: (text, whether it is marked).
        same: What is the same for all methods, and has no column.
    """

    heads: List[str]
    rows: List[List[Tuple[str, bool]]]
    same: List[str] = field(default_factory=list)


def marked(
    methods: Sequence[Method], name: str, more_is_better: bool = True
) -> List[bool]:
    """Which methods to mark in a column: the best ones, as far as known.

    Marked are the best mean and all methods that are not clearly worse, on
    the seeds that both have. Nothing is marked where that is all of them, or
    if the best method has one run.
    """
    nothing = [False] * len(methods)
    means = [method.mean(name) for method in methods]
    known = [mean for mean in means if mean is not None]
    if len(known) < 2:
        return nothing
    best = methods[means.index(max(known) if more_is_better else min(known))]
    if len(best.values(name)) < 2:
        return nothing
    gaps = [method.above(best, name) for method in methods]
    sign = 1 if more_is_better else -1
    alike = [
        method is best
        or (gap is not None and not (gap.is_clear and sign * gap.mean < 0))
        for method, gap in zip(methods, gaps)
    ]
    return nothing if sum(alike) == len(known) else alike


def results_table(
    methods: Sequence[Method],
    columns: Dict[str, Tuple[str, bool]] = COLUMNS,
    with_cost: bool = False,
) -> Table:
    """Figures of each method, in the columns that say something.

    A figure that no method has is left out. What is the same for several
    methods is said once, in ``same``; columns with equal cells are one.

    Args:
        methods: The methods, at least one.
        columns: Figure -> (heading, whether more is better).
        with_cost: Whether the computing time of a training has a column.
            Defaults to False.
    """
    found: Dict[tuple, List[str]] = {}  # texts and marks -> headings
    same: List[str] = []
    counts = [str(len(method.runs)) for method in methods]
    entries = [('seeds', counts, [False] * len(methods))]
    for name, (heading, more_is_better) in columns.items():
        texts = [cell_of(method.values(name), 1) for method in methods]
        marks = marked(methods, name, more_is_better)
        entries.append((heading, texts, marks))
    if with_cost:
        heading, texts = _cost_column(methods)
        entries.append((heading, texts, [False] * len(methods)))
    for heading, texts, marks in entries:
        is_constant = len(set(texts)) == 1
        if not any(texts):
            continue
        if is_constant and (len(methods) > 1 or heading == 'seeds'):
            same.append(f'{heading} {texts[0]}')
        else:
            found.setdefault((*zip(texts, marks),), []).append(heading)
    heads = [' = '.join(headings) for headings in found.values()]
    # Without columns, the rows are empty, but there.
    rows = [list(row) for row in zip(*found)] or [[] for _ in methods]
    return Table(heads, rows, same)


def _cost_column(methods: Sequence[Method]) -> Tuple[str, List[str]]:
    costs = [method.cost for method in methods]
    kinds = {cost.kind for cost in costs if cost}
    one = KINDS_OF_TIME[kinds.pop()] if len(kinds) == 1 else ''
    texts = [duration(cost.seconds) if cost else '' for cost in costs]
    if not one:
        texts = [
            f'{text} {KINDS_OF_TIME[cost.kind]}' if cost else ''
            for text, cost in zip(texts, costs)
        ]
    return f'training, {one}' if one else 'training', texts


def geometry_table(methods: Sequence[Method]) -> Tuple[List[str], List[list]]:
    """Headings, and the cells of each method and kind of vectors."""
    rows = []
    for method in methods:
        for kind, title in KINDS.items():
            names = [f'geometry/{kind}_{name}' for name in GEOMETRY]
            cells = [cell_of(method.values(name), 3) for name in names]
            if any(cells):
                rows.append([method, title, *cells])
    return ['vectors', *GEOMETRY.values()], rows


def cell_of(values: Sequence[float], digits: int) -> str:
    """Mean, and with several values standard deviation; '' without any."""
    if not values:
        return ''
    mean, spread = mean_and_spread(values)
    text = f'{mean:.{digits}f}'
    return text + (f' ± {spread:.{digits}f}' if len(values) > 1 else '')


def class_rows(
    methods: Sequence[Method], pair: Optional[Tuple[Method, Method]] = None
) -> List[list]:
    """Name, counts and accuracies of each class, the rarest first.

    Args:
        methods: The methods.
        pair: Two of them, whose difference is the last column. Defaults to
            None: there is no such column.
    """
    e = methods[0].first
    columns = [method.class_accuracies for method in methods]
    if pair:
        ours, theirs = pair
        columns.append(ours.class_accuracies - theirs.class_accuracies)
    rows = []
    for c in e.class_counts.argsort(kind='stable'):
        values = [float(column[c]) for column in columns]
        # An untested class has no accuracy: NaN is not itself.
        cells = [None if v != v else round(v, 1) for v in values]
        counts = int(e.class_counts[c]), int(e.totals[c])
        rows.append([str(e.classes[c]), *counts, *cells])
    return rows
