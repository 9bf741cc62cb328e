"""The methods of a report: runs that differ only in their seeds."""

from __future__ import annotations

import statistics
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath
from typing import Dict, Hashable, List, Optional, Sequence, Tuple

import numpy as np

from bcl_mm.apis.cost import Cost, mean_cost
from bcl_mm.apis.runs import TrainedRun
from bcl_mm.evaluation import (
    CalibrationError,
    Difference,
    PriorAccuracy,
    ShotAccuracy,
    difference,
)
from bcl_mm.report.evaluation import Evaluation
from bcl_mm.utils.errors import InputValueError, visible

RATIOS = (50, 10, 2)  # of other test priors


@dataclass(eq=False)
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
            priors = PriorAccuracy.calculate(*data, e.class_counts, RATIOS)
            priors = {f'prior_{key}': value for key, value in priors.items()}
            found.append({**accuracies, **errors, **priors, **e.geometry})
        return found

    @cached_property
    def run_class_accuracies(self) -> np.ndarray:
        """(runs, C) percent; NaN for untested classes."""
        totals, labels = self.first.totals, self.first.labels
        hits = [
            np.bincount(labels[e.correct], minlength=len(totals))
            for e in self.evaluations
        ]
        with np.errstate(invalid='ignore'):
            return 100 * np.stack(hits) / totals

    @cached_property
    def class_accuracies(self) -> np.ndarray:
        """(C,) percent, mean over the runs; NaN for untested classes."""
        return self.run_class_accuracies.mean(axis=0)

    @property
    def is_finished(self) -> bool:
        """Whether its training has ended."""
        return not self.runs[0].progress

    @cached_property
    def cost(self) -> Optional[Cost]:
        """Mean computing time of a run; None if unknown."""
        return mean_cost([run.cost for run in self.runs])

    def values(self, name: str) -> List[float]:
        """A figure of each run; empty where it is not defined."""
        return list(self.by_seed(name).values())

    def mean(self, name: str) -> Optional[float]:
        """Mean of a figure over the runs; None where it is not defined."""
        values = self.values(name)
        return statistics.mean(values) if values else None

    def by_seed(self, name: str) -> Dict[Hashable, float]:
        """Seed -> finite figure; a run without a seed of its own is alone."""
        seeds = [run.seed for run in self.runs]
        return {
            (self.name, i)
            if seed is None or seeds.count(seed) > 1
            else seed: found[name]
            for i, (seed, found) in enumerate(zip(seeds, self.figures))
            if np.isfinite(found.get(name, np.nan))
        }

    def above(self, rival: Method, name: str) -> Optional[Difference]:
        """Its figure minus a rival's; None where one is not defined."""
        ours, theirs = self.by_seed(name), rival.by_seed(name)
        return difference(ours, theirs) if ours and theirs else None


def mean_and_spread(values: Sequence[float]) -> Tuple[float, float]:
    """Mean and standard deviation (0 for a single value)."""
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return statistics.mean(values), spread


def copied_run(
    run: TrainedRun, evaluation: Evaluation, method: Optional[Method]
) -> Optional[TrainedRun]:
    """The run of a method that this one is a copy of; None if it is new.

    A copy has the same seed and the same outputs. It is no second seed.
    """
    if method is None:
        return None
    for other, one in zip(method.runs, method.evaluations):
        if run.seed == other.seed and all(
            np.array_equal(getattr(one, name), getattr(evaluation, name))
            for name in ('predictions', 'confidences')
        ):
            return other
    return None


def group_runs(
    runs: List[TrainedRun], evaluations: List[Evaluation]
) -> List[Method]:
    """Methods with their seeds, in the order given.

    Copies of a run are named on stderr and left out.

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
        copied = copied_run(run, one, settings.get(run.setting))
        if copied is not None:
            note = f'{run.folder} is a copy of {copied.folder}, and left out'
            print(visible(f'Note: {note}'), file=sys.stderr)
            continue
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
                f'{key.rpartition(".")[2]}={_without_folder(one.get(key, ""))}'
                for key in differing[:2]
            ]
            method.name += f' ({", ".join(values)})'
    names = [method.name for method in methods]
    for number, method in enumerate(methods, 1):
        if names.count(method.name) > 1:
            method.name += f' #{number}'


def _without_folder(value: str) -> str:
    """A setting for the page: of an absolute path the last part."""
    path = PurePath(value)
    return path.name if path.is_absolute() else value
