"""The verdict of a report: which method to take, and how sure that is."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Dict, List, Optional, Sequence, Tuple

from bcl_mm.apis.cost import KINDS as KINDS_OF_TIME
from bcl_mm.classes import shot_groups
from bcl_mm.evaluation import Difference, difference
from bcl_mm.report.summary import Method
from bcl_mm.report.tables import COLUMNS
from bcl_mm.utils.errors import counted

# Every class counts the same, however many test images it has.
CRITERION = 'balanced'
COMPARED = ('top1', 'balanced', 'many', 'medium', 'few')
FEW_IMAGES = 200  # below them, say what a single one weighs
_SAME = 0.1  # relative difference of costs that does not matter


@dataclass
class Verdict:
    """What a report says first.

    Attributes:
        headline: The verdict, one sentence.
        advice: What to do.
        notes: What to keep in mind.
        best: The method with the highest balanced accuracy; None without
            one that is finished.
        rival: The second one; None without a second method.
        gaps: Figure -> difference of the two.
    """

    headline: str
    advice: str
    notes: List[str] = field(default_factory=list)
    best: Optional[Method] = None
    rival: Optional[Method] = None
    gaps: Dict[str, Difference] = field(default_factory=dict)

    @property
    def pair(self) -> Optional[Tuple[Method, Method]]:
        """Best and rival; None without two methods."""
        if self.best is None or self.rival is None:
            return None
        return self.best, self.rival


def points(gap: Difference) -> str:
    """A difference with its interval, ``'1.3 [0.4, 2.2]'``."""
    text = f'{_plain_zero(gap.mean)}'
    if gap.low is None or gap.high is None:
        return text
    return f'{text} [{_plain_zero(gap.low)}, {_plain_zero(gap.high)}]'


def _plain_zero(value: float) -> str:
    text = f'{value:.1f}'
    return '0.0' if text == '-0.0' else text


def _over_seeds(gap: Difference) -> str:
    return f'over {gap.pairs} seeds' + ('' if gap.is_paired else ' each')


def judge(methods: Sequence[Method]) -> Verdict:
    """The verdict on some methods; unfinished ones are left out."""
    finished = [method for method in methods if method.is_finished]
    if not finished:
        return Verdict(
            'No verdict: no training is finished.',
            'Finish them (bcl-mm train --resume), then report again.',
        )
    ranked = _ranked(finished)
    best = ranked[0]
    notes = _few_notes(best)
    if len(ranked) == 1:
        return Verdict(
            f'{best.name}: {best.mean(CRITERION):.1f} % balanced accuracy.',
            'There is no second finished method to compare it with.',
            notes,
            best,
        )
    rival = ranked[1]
    gap = _lead(best, rival)
    if not gap.is_known:
        headline, advice = _inconclusive(best, rival, gap)
    elif gap.is_clear and gap.mean > 0:
        headline, advice = _clear(best, rival, gap)
    else:
        headline, advice = _no_winner(ranked, gap)
    found = {name: best.above(rival, name) for name in COMPARED}
    gaps = {name: one for name, one in found.items() if one is not None}
    return Verdict(headline, advice, notes, best, rival, gaps)


def _lead(method: Method, rival: Method) -> Difference:
    return difference(method.by_seed(CRITERION), rival.by_seed(CRITERION))


def _ranked(methods: Sequence[Method]) -> List[Method]:
    """Methods, the best first; of equal ones the first.

    Methods are compared on the seeds that they share, on which another one
    may be ahead than in the mean over all seeds.
    """
    by_mean = sorted(
        methods,
        key=lambda m: statistics.mean(m.values(CRITERION)),
        reverse=True,
    )
    best, *others = by_mean
    for method in others:
        if _lead(method, best).mean > 0:
            best = method
    others = [method for method in by_mean if method is not best]
    others.sort(key=lambda method: _lead(best, method).mean)
    return [best, *others]


def _inconclusive(
    best: Method, rival: Method, gap: Difference
) -> Tuple[str, str]:
    if points(gap) == '0.0':
        headline = (
            f'{best.name} and {rival.name} have the same balanced accuracy'
        )
    else:
        headline = (
            f'{best.name} has the highest balanced accuracy, {points(gap)} '
            f'points above {rival.name}, its strongest rival'
        )
    if gap.pairs == 1:
        return (
            f'{headline}; one seed: not conclusive.',
            'Another seed may turn the order round: run with --seeds 0 1 2.',
        )
    return (
        f'{headline}; not conclusive: the {gap.pairs} seeds differ by the '
        'same amount, which does not show what is chance.',
        'Run more seeds, or test on more images.',
    )


def _clear(best: Method, rival: Method, gap: Difference) -> Tuple[str, str]:
    ratio, kind = cost_ratio(best, rival)
    price = ''
    if ratio is not None:
        price = f', at {_times(ratio)} {kind} of training'
    headline = (
        f'{best.name} is better than {rival.name}, its strongest rival, by '
        f'{points(gap)} points of balanced accuracy {_over_seeds(gap)}{price}.'
    )
    worries = []
    if ratio is not None and ratio > 1 + _SAME:
        worries.append('the time of training matters more')
    for name in ('top1', 'many', 'medium', 'few'):
        loss = rival.above(best, name)
        if loss and loss.is_clear and loss.mean > 0:
            worries.append(
                f'{COLUMNS[name][0]} accuracy does (it loses {points(loss)} '
                'points)'
            )
    unless = f' unless {", or ".join(worries)}' if worries else ''
    return headline, f'Take {best.name}{unless}.'


def _no_winner(ranked: Sequence[Method], gap: Difference) -> Tuple[str, str]:
    best, rival, *_ = ranked
    alike = [best]
    for method in ranked[1:]:
        if not _lead(best, method).is_clear:
            alike.append(method)
    headline = (
        f'No method is ahead: {best.name} is {points(gap)} points of '
        f'balanced accuracy above {rival.name}, its strongest rival, '
        f'{_over_seeds(gap)}, which may be chance.'
    )
    names = f'{", ".join(m.name for m in alike[:-1])} and {alike[-1].name}'
    costs = [m.cost for m in alike if m.cost is not None]
    if len(costs) < len(alike) or len({cost.kind for cost in costs}) > 1:
        return headline, f'Of {names}, take the simplest, or run more seeds.'
    seconds = [cost.seconds for cost in costs]
    cheapest = alike[seconds.index(min(seconds))]
    if max(seconds) <= min(seconds) * (1 + _SAME):
        return headline, (
            f'{names} cost about the same: take any of them, or run more '
            'seeds.'
        )
    return headline, (
        f'Of {names}, which are not clearly different, take the cheapest: '
        f'{cheapest.name}. Or run more seeds.'
    )


def cost_ratio(best: Method, rival: Method) -> Tuple[Optional[float], str]:
    """Cost of one method over that of another, and the kind of time.

    None, if one is unknown or they were measured on different devices.
    """
    ours, theirs = best.cost, rival.cost
    if ours is None or theirs is None or ours.kind != theirs.kind:
        return None, ''
    if theirs.seconds <= 0:
        return None, ''
    return ours.seconds / theirs.seconds, KINDS_OF_TIME[ours.kind]


def _times(ratio: float) -> str:
    if abs(ratio - 1) <= _SAME:
        return 'about the same'
    form = '.2g' if ratio < 10 else '.0f'
    return f'{ratio:{form}} times the'


def _few_notes(method: Method) -> List[str]:
    """How many images the few-shot figure rests on."""
    e = method.first
    few = shot_groups(e.class_counts)['few'] & (e.totals > 0)
    if not few.any():
        return []
    images = int(e.totals[few].sum())
    # Of a class with n test images, one is 1/n of the class's share.
    weight = 100 / e.totals[few].min() / few.sum()
    classes = counted(int(few.sum()), 'class')
    note = f'The few-shot figure rests on {images:,} test images of {classes}'
    if images < FEW_IMAGES:
        note += f': a single image moves it by up to {weight:.1f} points'
    return [f'{note}.']
