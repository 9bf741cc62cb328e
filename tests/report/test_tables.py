"""Figures and tables of the report, against small cases."""

import math

import numpy as np
import pytest
from matplotlib.text import Text

from bcl_mm.apis.cost import Cost
from bcl_mm.report import (
    class_figures,
    errors,
    figures,
    page,
    style,
    tables,
)
from bcl_mm.report.class_figures import band, draw_gains
from bcl_mm.report.verdict import judge
from tests.report.common import (
    LABELS,
    PREDICTIONS,
    method_of,
    one_method,
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
    # Its images are shown, whichever run has made it.
    later = errors.confusions(one_method(LABELS, PREDICTIONS))
    assert later[0]['images'] == confusions[0]['images'] == [11, 10, 9]


def test_the_name_of_a_rival_fits_beside_its_figure():
    methods = [
        method_of(name, dict(balanced=[50.0, 51.0]))
        for name in ('BCL', 'logit adjustment with three views')
    ]
    figure = draw_gains(methods, methods[1])
    figure.canvas.draw()
    label = figure.axes[0].yaxis.label.get_window_extent()
    assert 0 <= label.y0 < label.y1 <= figure.bbox.height


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
    best, rival = verdict.pair
    drawings = [
        *(draw for name, draw in page.DRAWINGS.items() if name != 'curves'),
        lambda m: figures.draw_verdict(m, best, rival, verdict.gaps),
        lambda m: figures.draw_differences(m, best),
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
