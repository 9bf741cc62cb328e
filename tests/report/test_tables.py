"""Figures and tables of the report, against small cases."""

import errno
import os
import zipfile

import numpy as np
import pytest

from bcl_mm.evaluation import PriorAccuracy
from bcl_mm.report import errors, figures, spaces, style, summary
from bcl_mm.report import evaluation as evaluation_module
from bcl_mm.report.evaluation import Evaluation, block_cosines
from bcl_mm.report.figures import smooth
from bcl_mm.utils.errors import InputFileError, InputValueError
from tests.report.common import (
    COUNTS,
    LABELS,
    PREDICTIONS,
    evaluation,
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


def test_best_figures_are_marked():
    methods = [one_method(PREDICTIONS), one_method(LABELS)]
    heads, rows = summary.results_table(methods)
    assert rows[0][heads.index('top-1')] == ('62.5', False)
    assert rows[1][heads.index('top-1')] == ('100.0', True)
    # Both have all of the many-shot images: neither is better.
    assert rows[0][heads.index('many-shot')] == ('100.0', False)


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


def test_what_is_kept_is_read_again(tmp_path):
    path = tmp_path / 'evaluation.npz'
    assert Evaluation.load(path, 'key') is None
    ours = evaluation()
    ours.save(path, 'key')
    theirs = Evaluation.load(path, 'key')
    assert theirs.classes == ours.classes
    assert theirs.geometry == ours.geometry
    for name in (
        'labels',
        'predictions',
        'class_counts',
        'shown',
        'embedding',
    ):
        assert np.array_equal(getattr(theirs, name), getattr(ours, name))
    assert np.array_equal(theirs.cosines['features'], ours.cosines['features'])
    assert Evaluation.load(path, 'another key') is None
    path.write_bytes(path.read_bytes()[:500])
    assert Evaluation.load(path, 'key') is None
    path.unlink()
    os.mkfifo(path)
    assert Evaluation.load(path, 'key') is None


@pytest.mark.parametrize(
    'wrong',
    [
        dict(labels=LABELS[:-1]),
        dict(labels=LABELS + 1),
        dict(labels=LABELS.astype(float)),
        dict(labels=np.array(3)),
        dict(predictions=PREDICTIONS - 1),
        dict(confidences=LABELS),
        dict(class_counts=COUNTS - 4),
        dict(class_counts=COUNTS[:3]),
        dict(classes=['a', 'b', 'c']),
        dict(classes=[1, 2, 3, 4]),
        dict(geometry=dict(a='1')),
        dict(cosines=dict(features=np.ones((2, 3)))),
        dict(cosines=dict(other=np.ones((4, 4)))),
        dict(shown=np.array([99]), embedding=np.ones((1, 2))),
        dict(embedding=np.ones((3, 3))),
    ],
)
def test_what_does_not_fit_is_not_read(tmp_path, wrong):
    path = tmp_path / 'evaluation.npz'
    kept = evaluation()
    kept.save(path, 'key')
    assert Evaluation.load(path, 'key') is not None
    for name, value in wrong.items():
        setattr(kept, name, value)
    kept.save(path, 'key')
    assert Evaluation.load(path, 'key') is None


def test_any_name_can_be_drawn():
    names = ['$x_1', '_hidden', 'a\udcff', '$']
    method = one_method(PREDICTIONS)
    method.name = '_m\udcff$'
    method.evaluations[0].classes = names
    with style.theme('light'):
        for draw, labels in (
            (spaces.draw_embedding, [f'{n} (' for n in ('$x_1', ' _hidden')]),
            (figures.draw_classes, [r' _m\udcff$']),
        ):
            figure = draw([method])
            figure.draw_without_rendering()
            shown = [text.get_text() for text in figure.legends[0].texts]
            for label in labels:
                assert any(text.startswith(label) for text in shown)
            ticks = figure.axes[0].get_xticklabels(which='both')
            assert not any('$' in tick.get_text() for tick in ticks)


def test_odd_configs_and_read_only_disks(monkeypatch, tmp_path, capsys):
    def refuse(*_):
        raise InputFileError('a.npz cannot be written: Read-only file system')

    run = trained_run()
    run.checkpoint = tmp_path / 'epoch_1.pth'
    run.checkpoint.touch()
    module = evaluation_module
    meta = dict(meta=dict(class_counts=COUNTS))
    monkeypatch.setattr(module, 'load_checkpoint', lambda *_: meta)
    monkeypatch.setattr(module, 'load_model', lambda *_, **__: (run.cfg, None))
    monkeypatch.setattr(module, 'evaluate', lambda *_: evaluation())
    run.cfg.test_dataloader = dict(batch_size=1, dataset=dict(type='none'))
    monkeypatch.setattr(module.Evaluation, 'save', refuse)
    # A config from elsewhere.
    message = 'a_b.py cannot be used: KeyError: .none is not in the'
    with pytest.raises(ValueError, match=message):
        module.evaluate_run(run)
    build = 'build_dataloader'
    monkeypatch.setattr(module.Runner, build, lambda *_, **__: None)
    assert module.evaluate_run(run).classes == evaluation().classes
    assert 'Read-only file system; another report' in capsys.readouterr().err


def test_a_test_that_fails_is_one_sentence(monkeypatch, tmp_path):
    """The report leaves out this run, and compares the others."""
    run = trained_run()
    run.checkpoint = tmp_path / 'epoch_1.pth'
    run.checkpoint.touch()
    module, cause = evaluation_module, []

    def fail(*_):
        raise cause[0]

    for name, stand_in in (
        ('load_checkpoint', lambda *_: dict(meta=dict(class_counts=COUNTS))),
        ('load_model', lambda *_, **__: (run.cfg, None)),
        ('check_data_roots', lambda *_: None),
        ('evaluate', fail),
    ):
        monkeypatch.setattr(module, name, stand_in)
    monkeypatch.setattr(module.Runner, 'build_dataloader', lambda *_, **__: 0)
    run.cfg.test_dataloader = {}
    place = r'test_tables.py, line \d+'
    for error, message in (
        (TypeError('no  such\nthing'), rf'TypeError: no such thing \({place}'),
        (AssertionError(), rf'AssertionError in {place}: raise cause\[0\]$'),
    ):
        cause[:] = [error]
        message = f'^a_b.py: its test has failed: {message}'
        with pytest.raises(InputValueError, match=message) as caught:
            module.evaluate_run(run)
        assert caught.value.__cause__ is error
    cause[:] = [OSError(errno.ENOSPC, 'No space left')]
    with pytest.raises(InputFileError, match='^a file cannot be written: No'):
        module.evaluate_run(run)
    cause[:] = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        module.evaluate_run(run)


def test_foreign_files_are_not_read(tmp_path, monkeypatch):
    path = tmp_path / 'evaluation.npz'
    text = np.array('["key", {}, []]')
    np.savez(path, text=text)
    assert Evaluation.load(path, 'key') is None
    np.savez(path, text=text, labels=np.array([Call()], dtype=object))
    assert Evaluation.load(path, 'key') is None
    kept = evaluation()
    kept.save(path, 'key')
    assert Evaluation.load(path, 'key') is not None
    # What would take too much memory is not unpacked.
    size = path.stat().st_size
    with zipfile.ZipFile(path, 'a', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('more.npy', bytes(2**20))
    assert path.stat().st_size < size + 2**12
    monkeypatch.setattr(evaluation_module, 'MAX_BYTES', 2**20)
    assert Evaluation.load(path, 'key') is None


class Call:
    def __reduce__(self):
        return exit, (3,)


def test_accuracies_under_other_priors_are_a_table():
    methods = [one_method(PREDICTIONS), one_method(LABELS)]
    heads, rows = summary.results_table(methods, summary.PRIORS)
    assert heads[2:6] == [
        'as in training',
        'forward 50',
        'forward 10',
        'forward 2',
    ]
    balanced = PriorAccuracy.calculate(PREDICTIONS, LABELS, COUNTS)['uniform']
    assert rows[0][heads.index('uniform')] == (f'{balanced:.1f}', False)
    assert rows[1][heads.index('backward 50')] == ('100.0', True)
