"""What metrics refuse: labels, predictions and scores."""

import numpy as np
import pytest
import torch
from mmpretrain.structures import DataSample

from bcl_mm.evaluation import CalibrationError, ShotAccuracy
from bcl_mm.evaluation.moments import ClassMoments

COUNTS = list(range(300, 0, -1))
INTEGERS = 'uint8', 'int8', 'int16', 'uint16', 'int32', 'uint64'
CALCULATE = {
    'accuracy': lambda p, y: ShotAccuracy.calculate(p, y, COUNTS),
    'calibration': lambda p, y: CalibrationError.calculate(
        p, y, np.ones(len(p)), COUNTS
    ),
}


def processed(metric, label, scores=None):
    """A metric of two images, the second with these."""
    metric = metric(class_counts=COUNTS)
    samples = []
    for number, y in enumerate((torch.tensor([1]), label)):
        sample = DataSample().set_pred_score(torch.eye(300)[1])
        sample.set_pred_label(1)
        if y is not None:
            sample.gt_label = y
        if number and scores is not None:
            sample.pred_score = scores
        samples.append(sample.to_dict())
    metric.process(None, samples)
    return metric.evaluate(2)


@pytest.mark.parametrize('metric', [ShotAccuracy, CalibrationError])
class TestProcess:
    @pytest.mark.parametrize('dtype', INTEGERS)
    def test_integers_of_any_width(self, metric, dtype):
        label = torch.tensor([2])
        expected = processed(metric, label)
        assert processed(metric, label.to(getattr(torch, dtype))) == expected

    @pytest.mark.parametrize('value', [300, 2**40, -1, -100, -(2**31)])
    def test_labels_out_of_range(self, metric, value):
        with pytest.raises(ValueError, match=rf'in \[0, 300\), got {value}'):
            processed(metric, torch.tensor([value]))

    @pytest.mark.parametrize('value', [True, 1.0])
    def test_labels_of_other_types(self, metric, value):
        with pytest.raises(TypeError, match='labels must be integers'):
            processed(metric, torch.tensor([value]))

    def test_an_image_without_one_label(self, metric):
        for label in None, torch.tensor([1, 2]):
            with pytest.raises(ValueError, match='needs one gt_label'):
                processed(metric, label)

    def test_scores(self, metric):
        label, scores = torch.tensor([1]), torch.eye(300)[1]
        for width in 299, 301:
            message = rf'each of the 300 classes, got shape \({width},\)'
            with pytest.raises(ValueError, match=message):
                processed(metric, label, torch.ones(width) / width)
        for value in torch.nan, torch.inf:
            scores[7] = value
            with pytest.raises(ValueError, match=f'finite, got {value}'):
                processed(metric, label, scores)


@pytest.mark.parametrize('name', CALCULATE)
def test_arrays(name):
    calculate, labels = CALCULATE[name], np.array([0, 1, 1, 2])
    expected = calculate(labels, labels)
    for dtype in INTEGERS:
        assert (
            calculate(labels.astype(dtype), labels.astype(dtype)) == expected
        )
    for wrong in labels.astype(bool), labels.astype(float):
        with pytest.raises(TypeError, match='labels must be integers'):
            calculate(labels, wrong)
        with pytest.raises(TypeError, match='predictions must be integers'):
            calculate(wrong, labels)
    for value in 300, -1, 2**40:
        wrong = np.array([0, 1, 1, value])
        with pytest.raises(
            ValueError, match=rf'300\), got {value} at sample 3'
        ):
            calculate(labels, wrong)
        with pytest.raises(ValueError, match='predictions must be in'):
            calculate(wrong, labels)
    with pytest.raises(ValueError, match='for each label, .* got 3 for 4'):
        calculate(labels[:3], labels)
    with pytest.raises(ValueError, match='at least one, got 0 for 0'):
        calculate(labels[:0], labels[:0])


@pytest.mark.parametrize('dtype', [bool, float])
def test_labels_of_moments(dtype):
    moments = ClassMoments(3, 2)
    with pytest.raises(TypeError, match='labels must be integers'):
        moments.update(np.ones((2, 2)), np.array([0, 1], dtype))
