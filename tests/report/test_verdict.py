"""What a report says first, in each case."""

import numpy as np
import pytest

from bcl_mm.apis.cost import Cost
from bcl_mm.report.verdict import judge
from tests.report.common import COUNTS, LABELS, evaluation, method_of

CHEAP, DEAR = Cost('cpu', 1, 10), Cost('cpu', 2.6, 10)


def method(name, *balanced, cost=CHEAP, **figures):
    return method_of(name, dict(balanced=balanced, **figures), cost)


CASES = {
    'clear, dearer': (
        [method('LA', 80, 81, 82), method('BCL', 83.1, 84, 84.9, cost=DEAR)],
        # d = 3.1, 3, 2.9: 3 +- 4.3027 * 0.1 / sqrt(3).
        'BCL is better than LA, its strongest rival, by 3.0 [2.8, 3.2] '
        'points of balanced accuracy over 3 seeds, at 2.6 times the CPU '
        'time of training.',
        'Take BCL unless the time of training matters more.',
    ),
    'clear, at the same price': (
        [method('LA', 80, 81, 82), method('BCL', 83.1, 84, 84.9)],
        'points of balanced accuracy over 3 seeds, at about the same CPU time '
        'of training.',
        'Take BCL.',
    ),
    'clear, cost unknown': (
        [
            method('LA', 80, 81, 82, cost=None),
            method('BCL', 83.1, 84, 84.9, cost=DEAR),
        ],
        'points of balanced accuracy over 3 seeds.',
        'Take BCL.',
    ),
    'clear, costs of two devices': (
        [
            method('LA', 80, 81, 82, cost=Cost('gpu', 1, 1)),
            method('BCL', 83.1, 84, 84.9),
        ],
        'points of balanced accuracy over 3 seeds.',
        'Take BCL.',
    ),
    'clear, and the head pays': (
        [
            method('LA', 80, 81, 82, many=(95, 96, 97), top1=(1, 2, 3)),
            method('BCL', 83.1, 84, 84.9, many=(91, 92.1, 93), top1=(1, 3, 1)),
        ],
        'BCL is better than LA',
        'Take BCL unless many-shot accuracy does (it loses 4.0 [3.8, 4.1] '
        'points).',
    ),
    'not clear': (
        [
            method('CE', 60, 61, 62),
            method('LA', 80, 84, 81),
            method('BCL', 83, 82, 82, cost=DEAR),
        ],
        'No method is ahead: BCL is 0.7 [-5.6, 6.9] points of balanced '
        'accuracy above LA, its strongest rival, over 3 seeds, which may be '
        'chance.',
        'Of BCL and LA, which are not clearly different, take the cheapest: '
        'LA. Or run more seeds.',
    ),
    'not clear, at the same price': (
        [method('LA', 80, 84, 81), method('BCL', 83, 82, 82)],
        'No method is ahead',
        'BCL and LA cost about the same: take any of them, or run more seeds.',
    ),
    'not clear, cost unknown': (
        [method('LA', 80, 84, 81, cost=None), method('BCL', 83, 82, 82)],
        'No method is ahead',
        'Of BCL and LA, take the simplest, or run more seeds.',
    ),
    'one seed': (
        [method('LA', 80), method('BCL', 83)],
        'BCL has the highest balanced accuracy, 3.0 points above LA, its '
        'strongest rival; one seed: not conclusive.',
        'run with --seeds 0 1 2.',
    ),
    'one seed of one': (
        [method('LA', 80, 81, 82), method('BCL', 83)],
        'one seed: not conclusive.',
        'run with --seeds 0 1 2.',
    ),
    'one seed, equal': (
        [method('LA', 80), method('BCL', 80)],
        'LA and BCL have the same balanced accuracy; one seed: not conclu',
        'run with --seeds 0 1 2.',
    ),
    'no variation': (
        [method('LA', 80, 81), method('BCL', 82, 83)],
        'not conclusive: the 2 seeds differ by the same amount, which does '
        'not show what is chance.',
        'Run more seeds, or test on more images.',
    ),
    'alone': (
        [method('BCL', 80, 82)],
        'BCL: 81.0 % balanced accuracy.',
        'There is no second finished method to compare it with.',
    ),
}


@pytest.mark.parametrize('case', CASES)
def test_words(case):
    methods, headline, advice = CASES[case]
    verdict = judge(methods)
    assert headline in verdict.headline
    assert verdict.advice.endswith(advice)


def test_seeds_that_are_not_shared():
    one, other = method('LA', 80, 81, 82), method('BCL', 83.1, 84, 84.9)
    for run in one.runs:
        run.cfg.randomness.seed += 10
    assert 'over 3 seeds each' in judge([one, other]).headline


def test_the_order_is_that_of_the_shared_seeds():
    # The mean of BCL is above that of LA by a seed that LA does not have.
    methods = method('LA', 81.1, 81.32), method('BCL', 80, 80.1, 99)
    verdict = judge(methods)
    assert [m.name for m in verdict.pair] == ['LA', 'BCL']
    # d = 1.1, 1.22: 1.16 +- 12.7062 * 0.06.
    assert 'LA is better than BCL' in verdict.headline
    assert 'by 1.2 [0.4, 1.9] points' in verdict.headline
    # The shared seeds differ from pair to pair, and the order is a circle.
    methods = []
    for name, figures in dict(
        a={0: 5.0, 1: 5.1, 4: 1.0, 5: 1.1},
        b={0: 3.0, 1: 3.1001, 2: 9.0, 3: 9.1},
        c={2: 7.0, 3: 7.1001, 4: 3.0, 5: 3.1001},
    ).items():
        methods.append(method(name, *figures.values()))
        for run, seed in zip(methods[-1].runs, figures):
            run.cfg.randomness.seed = seed
    assert ' is better than ' not in judge(methods).headline


def test_unfinished_runs_have_no_verdict():
    done, leading = method('LA', 80, 81, 82), method('BCL', 90, 91, 92)
    for run in leading.runs:
        run.progress = 'epoch 2 of 3'
    verdict = judge([done, leading])
    assert verdict.headline == 'LA: 81.0 % balanced accuracy.'
    assert (verdict.best, verdict.rival) == (done, None)
    verdict = judge([leading])
    assert verdict.headline == 'No verdict: no training is finished.'
    assert verdict.pair is None


def test_the_rival_is_the_strongest():
    methods = [method(n, v, v + 1) for n, v in dict(a=1, b=9, c=5).items()]
    verdict = judge(methods)
    assert [m.name for m in verdict.pair] == ['b', 'c']
    assert set(verdict.gaps) == {'balanced'}
    assert verdict.gaps['balanced'].mean == pytest.approx(4)


def test_few_images_behind_the_few_shot_figure():
    # Classes 2 and 3 are few-shot, with 4 test images each.
    assert judge([method('a', 1.0)]).notes == [
        'The few-shot figure rests on 8 test images of 2 classes: a single '
        'image moves it by up to 12.5 points.'
    ]
    labels = np.repeat(np.arange(4), 200)
    large = evaluation(labels, labels)
    alone = method('a', 1.0)
    alone.evaluations = [large]
    assert judge([alone]).notes == [
        'The few-shot figure rests on 400 test images of 2 classes.'
    ]
    none = evaluation(LABELS, LABELS, COUNTS + 100)
    alone.evaluations = [none]
    assert judge([alone]).notes == []
