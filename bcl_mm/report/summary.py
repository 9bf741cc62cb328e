"""The methods of a report, and its tables."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from functools import cached_property
from typing import Dict, List, Sequence, Tuple

import numpy as np

from bcl_mm.apis.runs import TrainedRun
from bcl_mm.evaluation import CalibrationError, PriorAccuracy, ShotAccuracy
from bcl_mm.utils.errors import InputValueError

from .evaluation import Evaluation

# Figure -> (heading, whether more is better).
COLUMNS = dict(
    top1=('top-1', True),
    many=('many-shot', True),
    medium=('medium-shot', True),
    few=('few-shot', True),
    balanced=('balanced', True),
    harmonic=('harmonic mean', True),
    geometric=('geometric mean', True),
    worst=('worst class', True),
    ece=('ECE', False),
    ece_balanced=('ECE, balanced', False),
    ece_few=('ECE, few-shot', False),
)
_RATIOS = (50, 10, 2)
PRIORS = dict(
    prior_train=('as in training', True),
    **{f'prior_forward_{r}': (f'forward {r}', True) for r in _RATIOS},
    prior_uniform=('uniform', True),
    **{f'prior_backward_{r}': (f'backward {r}', True) for r in _RATIOS[::-1]},
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
class Method:
    """The runs of one setting, one for each seed.

    Attributes:
        name: Its name in the report.
        runs: The runs.
        evaluations: The test of each run.
    """

    name: str
    runs: List[TrainedRun]
    evaluations: List[Evaluation]

    @property
    def first(self) -> Evaluation:
        """The evaluation of the first seed, where one represents all."""
        return self.evaluations[0]

    @cached_property
    def figures(self) -> List[Dict[str, float]]:
        """Accuracies and calibration errors in percent, and geometry."""
        found = []
        for e in self.evaluations:
            data = e.predictions, e.labels
            accuracies = ShotAccuracy.calculate(*data, e.class_counts)
            errors = CalibrationError.calculate(
                *data, e.confidences, e.class_counts
            )
            priors = PriorAccuracy.calculate(*data, e.class_counts, _RATIOS)
            priors = {f'prior_{key}': value for key, value in priors.items()}
            found.append({**accuracies, **errors, **priors, **e.geometry})
        return found

    @cached_property
    def class_accuracies(self) -> np.ndarray:
        """(C,) percent, mean over the runs; NaN for untested classes."""
        totals, labels = self.first.totals, self.first.labels
        hits = sum(
            np.bincount(labels[e.correct], minlength=len(totals))
            for e in self.evaluations
        )
        with np.errstate(invalid='ignore'):
            return 100 * hits / (totals * len(self.evaluations))

    def values(self, name: str) -> List[float]:
        """A figure of each run; empty where it is not defined."""
        return [f[name] for f in self.figures if name in f]


def mean_and_spread(values: Sequence[float]) -> Tuple[float, float]:
    """Mean and standard deviation (0 for a single value)."""
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return statistics.mean(values), spread


def group_runs(
    runs: List[TrainedRun], evaluations: List[Evaluation]
) -> List[Method]:
    """Methods with their seeds, in the order given.

    Raises:
        ValueError: The runs were not trained and tested on the same images.
    """
    shared = dict(
        classes='class names',
        class_counts='training images per class',
        labels='test images',
    )
    first = evaluations[0]
    settings: Dict[tuple, Method] = {}
    for run, one in zip(runs, evaluations):
        for name, what in shared.items():
            if not np.array_equal(getattr(one, name), getattr(first, name)):
                raise InputValueError(
                    'the runs of a report must share their data, but the '
                    f'{what} of {run.folder} are not those of '
                    f'{runs[0].folder}'
                )
        name = run.method + (f', {run.progress}' if run.progress else '')
        method = settings.setdefault(run.setting, Method(name, [], []))
        method.runs.append(run)
        method.evaluations.append(one)
    by_name: Dict[str, List[Method]] = {}
    for method in settings.values():
        by_name.setdefault(method.name, []).append(method)
    for methods in by_name.values():
        if len(methods) > 1:
            _make_names_unique(methods)
    return list(settings.values())


def _make_names_unique(methods: List[Method]) -> None:
    """Make equal names unique: by configs, by settings, or by numbers."""
    stems = [method.runs[0].stem for method in methods]
    settings = [method.runs[0].settings for method in methods]
    keys = dict.fromkeys(key for one in settings for key in one)
    differing = [
        key for key in keys if len({one.get(key) for one in settings}) > 1
    ]
    for method, stem, one in zip(methods, stems, settings):
        if len(set(stems)) == len(stems):
            # Other configs differ in many settings: their names say more.
            method.name += f' ({stem})'
        elif differing:
            values = [
                f'{key.rpartition(".")[2]}={one.get(key, "")}'
                for key in differing[:2]
            ]
            method.name += f' ({", ".join(values)})'
    names = [method.name for method in methods]
    for number, method in enumerate(methods, 1):
        if names.count(method.name) > 1:
            method.name += f' #{number}'


def results_table(
    methods: List[Method], columns: Dict[str, Tuple[str, bool]] = COLUMNS
) -> Tuple[List[str], List[list]]:
    """Headings, and the cells of each method: (text, whether it is best)."""
    names = [n for n in columns if any(m.values(n) for m in methods)]
    rows = [[(m.name, False), (str(len(m.runs)), False)] for m in methods]
    for name in names:
        values = [m.values(name) for m in methods]
        means = [round(statistics.mean(v), 1) if v else None for v in values]
        known = {mean for mean in means if mean is not None}
        best = max(known) if columns[name][1] else min(known)
        for row, cell, mean in zip(rows, values, means):
            row.append((_cell(cell, 1), mean == best and len(known) > 1))
    heads = ['method', 'runs', *(columns[name][0] for name in names)]
    return heads, rows


def geometry_table(methods: List[Method]) -> Tuple[List[str], List[list]]:
    """Headings, and the cells of each method and kind of vectors."""
    rows = []
    for method in methods:
        for kind, title in KINDS.items():
            names = [f'geometry/{kind}_{name}' for name in GEOMETRY]
            cells = [_cell(method.values(name), 3) for name in names]
            if any(cells):
                rows.append([method.name, title, *cells])
    return ['method', 'vectors', *GEOMETRY.values()], rows


def _cell(values: List[float], digits: int) -> str:
    if not values:
        return ''
    mean, spread = mean_and_spread(values)
    text = f'{mean:.{digits}f}'
    return text + (f' ± {spread:.{digits}f}' if len(values) > 1 else '')
