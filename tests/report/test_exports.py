"""Files beside the page, and model cards."""

import csv
import io
from dataclasses import fields

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from bcl_mm.apis.calibration import Calibration
from bcl_mm.report import confusion, exports, model_card
from bcl_mm.report.examples import choose_examples, examples_of
from bcl_mm.report.style import theme
from bcl_mm.report.summary import Method
from tests.report.common import (
    LABELS,
    PREDICTIONS,
    evaluation,
    one_method,
    trained_run,
)

HOSTILE = ['=1+1', '<b>a|b</b>', '![x](y)', '`c`\x1b[31m']


def rows_of(text):
    return list(csv.reader(io.StringIO(text)))


def test_classes_by_hand():
    methods = [one_method(PREDICTIONS, LABELS), one_method(LABELS)]
    methods[0].first.classes = HOSTILE
    methods[1].name = 'b'
    stream = io.StringIO(newline='')
    exports.write_class_table(methods, stream)
    assert rows_of(stream.getvalue()) == [
        [
            *('class', 'group', 'training images', 'test images'),
            *('cross-entropy (%)', 'cross-entropy, standard deviation'),
            'b (%)',
        ],
        # 2 of 4 and 4 of 4; their deviation is 50 / sqrt(2).
        [HOSTILE[3], 'few', '4', '4', '75.0', '35.36', '100.0'],
        [HOSTILE[2], 'few', '5', '4', '62.5', '53.03', '100.0'],
        [HOSTILE[1], 'medium', '50', '4', '87.5', '17.68', '100.0'],
        # No formula for a spreadsheet.
        ["'=1+1", 'many', '200', '4', '100.0', '0.0', '100.0'],
    ]


def test_untested_classes_have_no_accuracy():
    method = one_method(np.zeros(16, int))
    method.evaluations = [evaluation(LABELS // 2, LABELS // 2)]
    stream = io.StringIO(newline='')
    exports.write_class_table([method], stream)
    assert rows_of(stream.getvalue())[1][3:] == ['0', '']


MATRIX = [[4, 0, 0, 0], [1, 3, 0, 0], [3, 0, 1, 0], [0, 1, 1, 2]]


def test_confusion_by_hand(tmp_path, monkeypatch):
    method = one_method(PREDICTIONS)
    path = tmp_path / 'a.csv'
    confusion.write_confusion(method, path)
    head, *rows = rows_of(path.read_text())
    assert head == ['true \\ predicted', *(f'class {i}' for i in range(4))]
    assert [[int(n) for n in row[1:]] for row in rows] == MATRIX
    shares, blocks = confusion.confusion_shares(method)
    np.testing.assert_allclose(shares, 25 * np.array(MATRIX))
    assert [block.tolist() for block in blocks] == [[0], [1], [2], [3]]
    # Blocks of two: means over true classes, sums over predictions.
    shares, _ = confusion.confusion_shares(method, cells=2)
    np.testing.assert_allclose(shares, [[100, 0], [50, 50]])
    # Many classes: cells that are not 0.
    monkeypatch.setattr(confusion, 'MAX_MATRIX', 3)
    confusion.write_confusion(method, path)
    head, *rows = rows_of(path.read_text())
    assert head == ['true', 'predicted', 'images']
    assert ['class 2', 'class 0', '3'] in rows
    assert len(rows) == np.count_nonzero(MATRIX)


def test_confusions_are_those_of_all_runs(tmp_path):
    method = one_method(PREDICTIONS, LABELS)
    confusion.write_confusion(method, tmp_path / 'a.csv')
    rows = rows_of((tmp_path / 'a.csv').read_text())[1:]
    assert sum(int(n) for row in rows for n in row[1:]) == 32
    shares, _ = confusion.confusion_shares(method)
    np.testing.assert_allclose(shares.sum(axis=1), 100)


def test_files_of_methods_are_unique_and_harmless():
    methods = [one_method(PREDICTIONS) for _ in range(5)]
    names = ['BCL', 'bcl', '../../etc', '<b>', 'a' * 300]
    for method, name in zip(methods, names):
        method.name = name
    stems = exports.file_names(methods)
    assert list(stems.values())[:4] == ['bcl', 'bcl_2', 'etc', 'b']
    assert len(stems[names[4]]) == 60


def picture(index):
    return Image.new('L', (8, 6), index)


def test_all_files(tmp_path):
    method = one_method(PREDICTIONS)
    exports.write_exports([method], tmp_path, picture)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        'classes.csv',
        'confusion_cross_entropy.csv',
        'confusion_cross_entropy.png',
        'predictions_cross_entropy.png',
    }
    # Without images there is no picture of them.
    (tmp_path / 'b').mkdir()
    exports.write_exports([method], tmp_path / 'b', lambda index: None)
    assert not list((tmp_path / 'b').glob('predictions*'))


def test_examples_of_different_classes_from_head_to_tail():
    labels = np.repeat(np.arange(50), 10)
    counts = np.arange(100, 50, -1)
    chosen = np.ones(500, bool)
    picks = choose_examples(labels, chosen, counts, 8)
    assert len(set(labels[picks])) == 8
    assert labels[picks][0] == 0 and labels[picks][-1] == 49
    assert sorted(labels[picks]) == labels[picks].tolist()
    assert (picks == choose_examples(labels, chosen, counts, 8)).all()
    # Of two classes, several images each.
    picks = choose_examples(labels, labels < 2, counts, 8)
    assert np.bincount(labels[picks]).tolist() == [4, 4]
    assert len(choose_examples(labels, ~chosen, counts, 8)) == 0


def test_examples_say_what_was_predicted():
    found = examples_of(one_method(PREDICTIONS), picture)
    assert {
        (one.true, one.predicted) for one in found if not one.is_right
    } == {
        (f'class {t}', f'class {p}')
        for t, p in ((1, 0), (2, 0), (3, 2), (3, 1))
    }
    for one in found:
        index = one.image.getpixel((0, 0))
        assert one.true == f'class {LABELS[index]}'
        assert one.confidence == pytest.approx(
            100 * np.linspace(0.1, 0.9, 16)[index]
        )


def test_any_name_in_the_figures():
    method = one_method(PREDICTIONS)
    method.name, method.first.classes = '$x_1\udcff', HOSTILE
    with theme('light'):
        for figure in (
            confusion.draw_confusion(method),
            exports.draw_examples(examples_of(method, picture)),
        ):
            figure.draw_without_rendering()


def test_a_model_card():
    run = trained_run(
        'B|CL',
        model=dict(
            head=dict(
                type='bcl_mm.BCLHead', loss_cls=dict(type='x'), branches=None
            ),
            pretrained='/home/me/secret/weights.pth',
        ),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        train_cfg=dict(max_epochs=7),
        load_from='/home/me/other.pth',
        train_dataloader=dict(
            batch_size=64,
            dataset=dict(
                type='bcl_mm.CustomImages', data_root='/home/me/my_birds'
            ),
        ),
    )
    one = evaluation(classes=HOSTILE)
    card = model_card.model_card(run, one)
    assert card.startswith('# B\\|CL on my\\_birds\n')
    for line in (
        '| starts from | weights\\.pth |',
        '| optimizer, lr | 0\\.1 |',
        '| epochs | 7 |',
        '| top-1 accuracy | 62.5 |',
        '| few-shot classes (fewer than 20) | 37.5 |',
        '259 training images, 200 to 4 per class (imbalance factor 50); 1 '
        'many-shot, 1 medium-shot, 2 few-shot.',
        '- 4 classes with fewer than 10 test images: ',
        '| =1\\+1 | 200 | 4 | 100.0 |',
        '| &lt;b\\>a\\|b&lt;/b\\> | 50 | 4 | 75.0 |',
        '| \\!\\[x\\]\\(y\\) | 5 | 4 | 25.0 |',
    ):
        assert line in card
    assert '/home/me' not in card
    assert '\x1b' not in card
    # Each line of a table has as many cells as its heading.
    run.progress = 'epoch 1 of 7'
    assert '**Unfinished: epoch 1 of 7.**' in model_card.model_card(run, one)


def test_a_card_of_many_classes_and_of_an_odd_config():
    labels = np.arange(300)
    one = evaluation(labels, labels, labels + 1)
    run = trained_run()
    run.cfg = Config(dict(model=3, optim_wrapper=[1]))
    card = model_card.model_card(run, one)
    assert 'class 299 | 300 |' in card and 'class 0 | 1 |' in card
    assert 'class 150' not in card


def test_a_card_tells_of_calibration(tmp_path):
    run = trained_run()
    run.folder = tmp_path
    found = dict.fromkeys((f.name for f in fields(Calibration)), 1)
    found.update(
        checkpoint='epoch_1.pth',
        digest='',
        settings='',
        temperature=1.25,
        threshold=0.4,
        measured_on='validation',
    )
    path = Calibration(**found).save(tmp_path)
    card = model_card.model_card(run, evaluation())
    assert (
        '`calibration.json` divides the logits by 1.25 and abstains below a '
        'confidence of 40.0 %; both were fitted to the validation images, '
        'and its own figures were measured on these same images.'
    ) in card
    # That of another checkpoint is not its own; a damaged one is said.
    Calibration(**{**found, 'checkpoint': 'epoch_9.pth'}).save(tmp_path)
    assert 'calibration.json' not in model_card.model_card(run, evaluation())
    path.write_text('{')
    assert 'is damaged' in model_card.model_card(run, evaluation())


def test_cards_lie_in_the_runs(tmp_path, capsys):
    methods = [Method('a', [trained_run(), trained_run()], [evaluation()] * 2)]
    first, second = methods[0].runs
    first.folder, second.folder = tmp_path, tmp_path / 'gone'
    assert exports.write_cards(methods) == [tmp_path / 'model_card.md']
    assert (tmp_path / 'model_card.md').read_text().startswith('# cross')
    assert 'gone/model_card.md cannot be written' in capsys.readouterr().err
