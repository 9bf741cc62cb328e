"""Runs that a report takes for methods, and what it draws of them."""

from pathlib import Path

import numpy as np
import pytest

from bcl_mm.evaluation import PriorAccuracy
from bcl_mm.report import (
    class_figures,
    figures,
    spaces,
    style,
    summary,
    tables,
)
from bcl_mm.report.class_figures import smooth
from bcl_mm.report.maps import block_cosines
from tests.report.common import (
    COUNTS,
    LABELS,
    PREDICTIONS,
    evaluation,
    method_of,
    one_method,
    trained_run,
)


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
        figure = figures.draw_differences(methods, methods[1])
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
