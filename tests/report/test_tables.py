"""Figures and tables of the report, against small cases."""

import math
from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text

from bcl_mm.apis.cost import Cost
from bcl_mm.evaluation import PriorAccuracy
from bcl_mm.report import (
    class_figures,
    errors,
    figures,
    page,
    spaces,
    style,
    summary,
    tables,
)
from bcl_mm.report.class_figures import band, smooth
from bcl_mm.report.maps import block_cosines
from bcl_mm.report.verdict import judge
from tests.report.common import (
    COUNTS,
    LABELS,
    PREDICTIONS,
    evaluation,
    method_of,
    one_method,
    trained_run,
)


def test_confusions_by_hand():
    # 3 of the 4 images of class 2 are taken for 0; of class 3 one each for
    # 2 and 1. The surest come first.
    confusions = errors.confusions(one_method(PREDICTIONS))
    assert confusions[0] == dict(
        true=2, predicted=0, times=3, of=4, images=[11, 10, 9]
    )
    assert [(c['true'], c['times']) for c in confusions[1:]] == [
        (3, 1),
        (3, 1),
    ]


def test_confusions_over_seeds():
    # The second seed makes no mistake.
    confusions = errors.confusions(one_method(PREDICTIONS, LABELS))
    assert (confusions[0]['times'], confusions[0]['of']) == (3, 8)


def test_where_images_end_by_hand():
    shares = errors.error_shares(one_method(PREDICTIONS))
    assert shares == dict(
        many=dict(right=100, many=0, medium=0, few=0),
        medium=dict(right=75, many=25, medium=0, few=0),
        # Of 8 images 3 are right, 3 taken for class 0, 1 each for 1 and 2.
        few=dict(right=37.5, many=37.5, medium=12.5, few=12.5),
    )


def test_class_accuracies_are_means_over_seeds():
    method = one_method(PREDICTIONS, LABELS)
    assert method.class_accuracies.tolist() == [100, 87.5, 62.5, 75]


def test_tail_without_few_shot_classes_is_the_rarest_third():
    tested = np.ones(6, dtype=bool)
    tail = errors.tail_classes(np.array([50, 90, 70, 60, 40, 80]), tested)
    assert np.flatnonzero(tail).tolist() == [0, 4]


def column(table, heading):
    """Cells of a column, and whether they are marked."""
    index = table.heads.index(heading)
    return [row[index] for row in table.rows]


MARKS = {
    'clearly best': (((80, 81, 82), (90.1, 91, 91.9)), [False, True]),
    'lower is better': (((80, 81, 82), (90.1, 91, 91.9)), [True, False]),
    'two alike': (((90, 91, 92), (70, 71.5, 72), (90, 92, 91)), [1, 0, 1]),
    'all alike': (((90, 91, 92), (90, 92, 91)), [False, False]),
    'one seed': (((80,), (90,)), [False, False]),
    'the best has one seed': (((80, 81, 82), (90,)), [False, False]),
    'another has one seed': (((90, 91), (80,), (70.5, 71)), [1, 1, 0]),
    'one method': (((90, 91),), [False]),
    'ahead on the shared seeds': (
        ((80, 80.1, 99), (81, 81.2), (70, 70.2)),
        [1, 1, 0],
    ),
}


@pytest.mark.parametrize('case', MARKS)
def test_nothing_within_noise_is_marked(case):
    values, expected = MARKS[case]
    methods = [method_of(f'{i}', dict(many=v)) for i, v in enumerate(values)]
    more_is_better = case != 'lower is better'
    found = tables.marked(methods, 'many', more_is_better)
    assert found == [bool(mark) for mark in expected]


def test_columns_say_something():
    one = dict(top1=(70,), balanced=(70,), many=(90,), few=(40,), ece=(5,))
    two = dict(top1=(80,), balanced=(80,), many=(90,), few=(50,), ece=(6,))
    two['medium'] = (float('nan'),)
    methods = [
        method_of('a', one, Cost('cpu', 2, 30)),
        method_of('b', two, Cost('cpu', 4, 30)),
    ]
    table = tables.results_table(methods, with_cost=True)
    assert table.heads == [
        *('top-1 = balanced', 'few-shot', 'ECE', 'training, CPU time')
    ]
    assert table.same == ['seeds 1', 'many-shot 90.0']
    assert column(table, 'training, CPU time') == [
        ('1 min', False),
        ('2 min', False),
    ]
    assert column(table, 'few-shot') == [('40.0', False), ('50.0', False)]


def test_costs_that_differ_in_kind_or_are_unknown():
    figures = dict(top1=(70,))
    methods = [
        method_of('a', figures, Cost('cpu', 2, 30)),
        method_of('b', figures, Cost('gpu', 4, 30)),
        method_of('c', figures),
    ]
    table = tables.results_table(methods, with_cost=True)
    assert [text for text, _ in column(table, 'training')] == [
        '1 min CPU time',
        '2 min GPU time',
        '',
    ]
    methods = [method_of(name, figures) for name in 'ab']
    table = tables.results_table(methods, with_cost=True)
    assert table.heads == []
    assert table.rows == [[], []]  # the page has a row for each method


def test_numbers_of_seeds_that_differ():
    methods = [
        method_of('a', dict(top1=(1, 2))),
        method_of('b', dict(top1=(1,))),
    ]
    assert tables.results_table(methods).heads == ['seeds', 'top-1']


def test_the_band_by_loops():
    random = np.random.RandomState(0)
    x, y = np.sort(random.rand(9)), random.rand(9)
    for at, half in zip(x, band(x, y, x)):
        w = [math.exp(-0.5 * ((at - v) * 10 / np.ptp(x)) ** 2) for v in x]
        w = [v / sum(w) for v in w]
        mean = sum(a * b for a, b in zip(w, y))
        squares = sum(a * a for a in w)
        spread = sum(a * (b - mean) ** 2 for a, b in zip(w, y)) / (1 - squares)
        assert half == pytest.approx(1.96 * math.sqrt(spread * squares))
    # One class shows no spread.
    assert np.isnan(band(x[:1], y[:1], x[:1])).all()


def test_class_rows_with_a_difference():
    methods = [one_method(PREDICTIONS), one_method(LABELS)]
    rows = tables.class_rows(methods, (methods[1], methods[0]))
    assert rows[0] == ['class 3', 4, 4, 50.0, 100.0, 50.0]
    assert rows[-1] == ['class 0', 200, 4, 100.0, 100.0, 0.0]
    assert tables.class_rows(methods)[0] == ['class 3', 4, 4, 50.0, 100.0]


def test_text_is_large_enough_for_a_phone():
    methods = [one_method(PREDICTIONS), one_method(PREDICTIONS, LABELS)]
    methods[1].name = 'BCL'
    verdict = judge(methods)
    drawings = [
        *(draw for name, draw in page.DRAWINGS.items() if name != 'curves'),
        lambda m: figures.draw_verdict(m, verdict),
        lambda m: figures.draw_differences(m, verdict),
        lambda m: class_figures.draw_gains(m, methods[0]),
    ]
    for draw in drawings:
        with style.theme('dark'):
            figure = draw(methods)
            figure.draw_without_rendering()
        pixels_per_point = 343 / figure.get_figwidth() / 72
        for text in figure.findobj(Text):
            if text.get_visible() and text.get_text():
                assert text.get_size() * pixels_per_point >= 11, text


def test_differences_from_the_best():
    methods = [
        method_of(name, dict(balanced=values))
        for name, values in {
            'far': [60, 61.1, 62],
            'best': [80, 81, 82.3],
            # Clear alone (p = 0.029), but not among three: 2 x 0.029 > 0.05.
            'near': [79.3, 80, 81],
            'even': [80, 81.2, 82],
        }.items()
    ]
    gaps = [m.above(methods[1], 'balanced') for m in methods]
    with style.theme('light'):
        figure = figures.draw_differences(methods, judge(methods))
    (axes,) = figure.axes
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    assert names == ['even', 'near', 'far']
    dots = [line for line in axes.lines if line.get_marker() == 'o']
    assert [dot.get_xdata()[0] for dot in dots] == [
        pytest.approx(gaps[i].mean) for i in (3, 2, 0)
    ]
    bars = [line for line in axes.lines[1:] if line.get_marker() != 'o']
    assert [tuple(bar.get_xdata()) for bar in bars] == [
        pytest.approx((gaps[i].low, gaps[i].high)) for i in (3, 2, 0)
    ]
    paper = axes.get_facecolor()
    filled = [dot.get_markerfacecolor() != paper for dot in dots]
    assert gaps[2].is_clear
    assert filled == [False, False, True]


def test_block_cosines_by_loops():
    random = np.random.RandomState(0)
    means = random.normal(size=(7, 3))
    order = random.permutation(7)[:6]
    unit = means / np.linalg.norm(means, axis=1, keepdims=True)
    np.testing.assert_allclose(
        block_cosines(means, order, 10), unit[order] @ unit[order].T, atol=1e-6
    )
    blocks = np.array_split(order, 3)
    for a, row in enumerate(block_cosines(means, order, 3)):
        for b, value in enumerate(row):
            pairs = [
                unit[i] @ unit[j]
                for i in blocks[a]
                for j in blocks[b]
                if i != j
            ]
            assert value == pytest.approx(np.mean(pairs), abs=1e-6)


def test_smoothing_keeps_a_constant_and_a_single_class():
    x = np.array([0.0, 1.0, 5.0])
    np.testing.assert_allclose(smooth(x, np.full(3, 7.0), x), 7)
    assert smooth(x[:1], np.array([3.0]), x[:1]) == 3


def test_runs_become_methods():
    runs = [trained_run(), trained_run(seed=1), trained_run('BCL')]
    methods = summary.group_runs(runs, [evaluation()] * 3)
    assert [(m.name, len(m.runs)) for m in methods] == [
        ('cross-entropy', 2),
        ('BCL', 1),
    ]
    # Another setting is another method, and is told apart.
    runs = [trained_run(), trained_run(seed=1, batch_size=3)]
    methods = summary.group_runs(runs, [evaluation()] * 2)
    assert [m.name for m in methods] == [
        'cross-entropy (batch_size=)',
        'cross-entropy (batch_size=3)',
    ]
    # Without the folders of this machine.
    runs = [trained_run(data_root='/home/me/a'), trained_run(data_root='b/c')]
    methods = summary.group_runs(runs, [evaluation()] * 2)
    assert [m.name for m in methods] == [
        'cross-entropy (data_root=a)',
        'cross-entropy (data_root=b/c)',
    ]


def test_a_copy_of_a_run_is_no_second_seed(capsys):
    runs = [trained_run(), trained_run(), trained_run(seed=1)]
    runs[1].folder = Path('copy')
    (method,) = summary.group_runs(runs, [evaluation()] * 3)
    assert [run.seed for run in method.runs] == [0, 1]
    assert len(method.evaluations) == 2
    note = 'Note: copy is a copy of cross-entropy_0, and left out\n'
    assert capsys.readouterr().err == note
    # The same seed with other outputs is a run of its own, as on a GPU.
    other = evaluation(confidences=np.linspace(0.2, 0.9, 16))
    (method,) = summary.group_runs(runs[:2], [evaluation(), other])
    assert len(method.runs) == 2


def test_unfinished_runs_are_no_second_seed():
    runs = [trained_run(), trained_run(seed=1)]
    runs[1].progress = 'epoch 2 of 3'
    methods = summary.group_runs(runs, [evaluation()] * 2)
    assert [m.name for m in methods] == [
        'cross-entropy',
        'cross-entropy, epoch 2 of 3',
    ]


def test_runs_on_other_data_are_refused():
    runs = [trained_run(), trained_run('BCL')]
    other = evaluation(counts=COUNTS + 1)
    with pytest.raises(ValueError, match='training images per class of BCL_0'):
        summary.group_runs(runs, [evaluation(), other])
    other = evaluation(labels=LABELS[::-1].copy())
    with pytest.raises(ValueError, match='test images of BCL_0 are not those'):
        summary.group_runs(runs, [evaluation(), other])


def test_any_name_can_be_drawn():
    names = ['$x_1', '_hidden', 'a\udcff', '$']
    method = one_method(PREDICTIONS)
    method.name = '_m\udcff$'
    method.evaluations[0].classes = names
    with style.theme('light'):
        for draw, labels in (
            (spaces.draw_embedding, [f'{n} (' for n in ('$x_1', ' _hidden')]),
            (class_figures.draw_classes, [r' _m\udcff$']),
        ):
            figure = draw([method])
            figure.draw_without_rendering()
            shown = [text.get_text() for text in figure.legends[0].texts]
            for label in labels:
                assert any(text.startswith(label) for text in shown)
            ticks = figure.axes[0].get_xticklabels(which='both')
            assert not any('$' in tick.get_text() for tick in ticks)


def test_accuracies_under_other_priors_are_a_table():
    methods = [one_method(PREDICTIONS), one_method(LABELS)]
    table = tables.results_table(methods, tables.PRIORS)
    heads, rows = table.heads, table.rows
    assert heads[:4] == [
        'as in training',
        'forward 50',
        'forward 10',
        'forward 2',
    ]
    balanced = PriorAccuracy.calculate(PREDICTIONS, LABELS, COUNTS)['uniform']
    assert rows[0][heads.index('uniform')] == (f'{balanced:.1f}', False)
    assert rows[1][heads.index('backward 50')] == ('100.0', False)
