"""The methods of a report, and its tables."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from functools import cached_property
from typing import Dict, List, Sequence, Tuple

import numpy as np

from bcl_mm.apis.runs import TrainedRun
from bcl_mm.evaluation import CalibrationError, ShotAccuracy
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
    worst=('worst class', True),
    ece=('ECE', False),
    ece_few=('ECE, few-shot', False),
)
GROUPS = ('top1', 'many', 'medium', 'few')
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
        name: How the report calls it.
        runs: The runs.
        evaluations: The test of each run.
    """

    name: str
    runs: List[TrainedRun]
    evaluations: List[Evaluation]

    @property
    def first(self) -> Evaluation:
        """The first seed's, where one must represent all."""
        return self.evaluations[0]

    @cached_property
    def figures(self) -> List[Dict[str, float]]:
        """Accuracies and calibration errors of each run, in percent."""
        found = []
        for e in self.evaluations:
            data = e.predictions, e.labels
            figures = ShotAccuracy.calculate(*data, e.class_counts)
            calibration = CalibrationError.calculate(
                *data, e.confidences, e.class_counts
            )
            found.append({**figures, **calibration})
        return found

    @cached_property
    def class_accuracies(self) -> np.ndarray:
        """(C,) percent, mean over the runs; NaN for untested classes."""
        e = self.first
        num_classes = len(e.class_counts)
        totals = np.bincount(e.labels, minlength=num_classes)
        hits = sum(
            np.bincount(
                e.labels[e.labels == one.predictions], minlength=num_classes
            )
            for one in self.evaluations
        )
        with np.errstate(invalid='ignore'):
            return 100 * hits / (totals * len(self.evaluations))

    def values(self, name: str) -> List[float]:
        """A figure of each run; empty where it is not defined."""
        return [f[name] for f in self.figures if name in f]

    def geometry(self, name: str) -> List[float]:
        """A geometry figure of each run; empty where it is not defined."""
        name = f'geometry/{name}'
        return [
            e.geometry[name] for e in self.evaluations if name in e.geometry
        ]


def mean_and_spread(values: Sequence[float]) -> Tuple[float, float]:
    """Mean and standard deviation (0 of one value)."""
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return statistics.mean(values), spread


def group_runs(
    runs: List[TrainedRun], evaluations: List[Evaluation]
) -> List[Method]:
    """Methods with their seeds, in the order given.

    Raises:
        ValueError: The runs were not trained and tested on the same images.
    """
    _check_same_data(runs, evaluations)
    settings: Dict[tuple, List[int]] = {}
    for i, run in enumerate(runs):
        settings.setdefault(run.setting, []).append(i)
    methods = []
    for members in settings.values():
        first = runs[members[0]]
        methods.append(
            Method(
                first.method
                + (f', {first.progress}' if first.progress else ''),
                [runs[i] for i in members],
                [evaluations[i] for i in members],
            )
        )
    _make_names_unique(methods)
    return methods


def _check_same_data(
    runs: List[TrainedRun], evaluations: List[Evaluation]
) -> None:
    first = evaluations[0]
    for run, one in zip(runs[1:], evaluations[1:]):
        for what, ours, theirs in (
            ('class names', first.classes, one.classes),
            (
                'training images per class',
                first.class_counts,
                one.class_counts,
            ),
            ('test images', first.labels, one.labels),
        ):
            if not np.array_equal(ours, theirs):
                raise InputValueError(
                    'the runs of a report must share their data, but the '
                    f'{what} of {run.folder} are not those of '
                    f'{runs[0].folder}'
                )


def _make_names_unique(methods: List[Method]) -> None:
    """Make equal names of methods unique: by settings, or by numbers."""
    alike: Dict[str, List[Method]] = {}
    for method in methods:
        alike.setdefault(method.name, []).append(method)
    for group in alike.values():
        if len(group) > 1:
            _name_by_settings(group)


def _name_by_settings(methods: List[Method]) -> None:
    settings = [method.runs[0].settings for method in methods]
    keys = dict.fromkeys(key for one in settings for key in one)
    differing = [
        key for key in keys if len({one.get(key) for one in settings}) > 1
    ]
    # Many differ where another config was used: its name says more.
    by_config = len({m.runs[0].config.stem for m in methods}) == len(methods)
    for method, one in zip(methods, settings):
        if by_config:
            method.name += f' ({method.runs[0].config.stem})'
        elif differing:
            method.name += ' ({})'.format(
                ', '.join(
                    f'{key.split(".")[-1]}={one.get(key, "")}'
                    for key in differing[:2]
                )
            )
    names = [method.name for method in methods]
    for number, method in enumerate(methods, 1):
        if names.count(method.name) > 1:
            method.name += f' #{number}'


def results_table(methods: List[Method]) -> Tuple[List[str], List[list]]:
    """Headings, and for each method its cells: (text, is it the best)."""
    names = [n for n in COLUMNS if any(m.values(n) for m in methods)]
    rows = [[(m.name, False), (str(len(m.runs)), False)] for m in methods]
    for name in names:
        means = [
            statistics.mean(m.values(name)) if m.values(name) else None
            for m in methods
        ]
        known = [round(mean, 1) for mean in means if mean is not None]
        best = max(known) if COLUMNS[name][1] else min(known)
        differ = len(set(known)) > 1
        for row, method, mean in zip(rows, methods, means):
            is_best = mean is not None and round(mean, 1) == best
            row.append((_cell(method.values(name), 1), is_best and differ))
    heads = ['method', 'runs', *(COLUMNS[name][0] for name in names)]
    return heads, rows


def geometry_table(methods: List[Method]) -> Tuple[List[str], List[list]]:
    """Headings, and a row for each method and kind of vectors."""
    rows = []
    for method in methods:
        for kind, title in KINDS.items():
            cells = [
                _cell(method.geometry(f'{kind}_{name}'), 3)
                for name in GEOMETRY
            ]
            if any(cells):
                rows.append([(cell, False) for cell in (method.name, title)])
                rows[-1] += [(cell, False) for cell in cells]
    return ['method', 'of its', *GEOMETRY.values()], rows


def _cell(values: List[float], digits: int) -> str:
    if not values:
        return ''
    mean, spread = mean_and_spread(values)
    text = f'{mean:.{digits}f}'
    return text + (f' ± {spread:.{digits}f}' if len(values) > 1 else '')
