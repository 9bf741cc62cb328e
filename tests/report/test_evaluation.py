"""Evaluations that are kept beside the runs."""

import os
import zipfile

import numpy as np
import pytest

from bcl_mm.report import evaluation as evaluation_module
from bcl_mm.report.evaluation import Evaluation
from tests.report.common import COUNTS, LABELS, PREDICTIONS, evaluation


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
