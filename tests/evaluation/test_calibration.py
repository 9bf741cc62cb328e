import re

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.registry import METRICS
from mmpretrain.structures import DataSample

from bcl_mm.classes import ClassInfo
from bcl_mm.evaluation import CalibrationError, reliability

COUNTS = [500, 50, 5]
# Four bins. (0.5, 0.75]: 0.6 right, 0.7 wrong: accuracy 0.5, confidence 0.65.
# (0.75, 1]: 0.8 wrong, 0.9 right, 1.0 right: 2/3 and 0.9. (0, 0.25] and
# (0.25, 0.5]: 0.4 right: 1 and 0.4.
LABELS = [0, 0, 0, 1, 1, 2]
PREDICTIONS = [0, 1, 0, 0, 1, 2]
CONFIDENCES = [0.6, 0.7, 0.9, 0.8, 1.0, 0.4]
EXPECTED = dict(
    # (2 * 0.15 + 3 * (0.9 - 2 / 3) + 1 * 0.6) / 6
    ece=100 * (0.3 + 0.7 + 0.6) / 6,
    # Class 0: 0.6 right and 0.7 wrong in one bin, 0.9 right in another.
    ece_many=100 * (2 * 0.15 + 1 * 0.1) / 3,
    # Class 1: 0.8 wrong and 1.0 right in one bin.
    ece_medium=100 * 0.4,
    ece_few=100 * 0.6,
    # Images of class 0 count 1/3, of class 1 1/2, that of class 2 whole.
    ece_balanced=100 * (0.3 / 3 + (0.8 / 2 - 0.1 / 3) + 0.6) / 3,
)


def loop(predictions, labels, confidences, num_bins):
    """Guo et al.'s ECE, bin by bin and sample by sample."""
    total = 0.0
    for b in range(num_bins):
        inside = [
            i
            for i, confidence in enumerate(confidences)
            if b / num_bins < confidence <= (b + 1) / num_bins
        ]
        if inside:
            right = sum(predictions[i] == labels[i] for i in inside)
            confidence = sum(confidences[i] for i in inside)
            total += abs(right - confidence) / len(labels)
    return 100 * total


def samples():
    found = []
    for label, prediction, confidence in zip(LABELS, PREDICTIONS, CONFIDENCES):
        scores = torch.full((3,), (1 - confidence) / 2, dtype=torch.float64)
        scores[prediction] = confidence
        sample = DataSample().set_gt_label(label).set_pred_label(prediction)
        found.append(sample.set_pred_score(scores))
    return found


def test_by_hand():
    found = CalibrationError.calculate(
        PREDICTIONS, LABELS, CONFIDENCES, COUNTS, num_bins=4
    )
    assert found == pytest.approx(EXPECTED)


def test_in_an_evaluator_padded_duplicates_do_not_count():
    metric = METRICS.build(
        dict(type='bcl_mm.CalibrationError', num_bins=4, class_counts=COUNTS)
    )
    evaluator = Evaluator(metric)
    evaluator.process(samples()[:4])
    evaluator.process(samples()[4:] + samples()[:3])
    expected = {f'calibration/{name}': v for name, v in EXPECTED.items()}
    assert evaluator.evaluate(6) == pytest.approx(expected)


def test_diagram_by_hand():
    correct = np.equal(PREDICTIONS, LABELS)
    bins = reliability(CONFIDENCES, correct, num_bins=4)
    assert bins['counts'].tolist() == [0, 1, 2, 3]
    assert bins['confidence'] == pytest.approx([0, 0.4, 0.65, 0.9])
    assert bins['accuracy'] == pytest.approx([0, 1, 0.5, 2 / 3])
    assert len(reliability(CONFIDENCES, correct)['counts']) == 15


def test_a_bin_ends_with_its_upper_edge():
    counts = reliability([0, 0.25, 0.5, 0.51, 1], [1] * 5, 4)['counts']
    assert counts.tolist() == [2, 1, 1, 1]


@pytest.mark.parametrize('seed', range(3))
def test_against_loops(seed):
    random = np.random.RandomState(seed)
    labels = np.minimum(random.geometric(0.3, 300) - 1, 6)
    predictions = np.where(random.rand(300) < 0.6, labels, 0)
    confidences = random.rand(300) ** 0.3
    counts = np.array([900, 101, 100, 20, 19, 1, 7])
    found = CalibrationError.calculate(
        predictions, labels, confidences, counts
    )
    groups = dict(
        ece=range(7), ece_many=[0, 1], ece_medium=[2, 3], ece_few=[4, 5, 6]
    )
    assert set(found) == {*groups, 'ece_balanced'}
    for name, classes in groups.items():
        rows = np.isin(labels, classes)
        expected = loop(predictions[rows], labels[rows], confidences[rows], 15)
        assert found[name] == pytest.approx(expected, abs=1e-10)


def test_groups_without_images_are_left_out():
    found = CalibrationError.calculate([0, 2], [0, 0], [0.5, 1.0], COUNTS)
    assert found == dict(ece=75.0, ece_many=75.0, ece_balanced=75.0)
    # A classifier that is certain and correct is calibrated.
    found = CalibrationError.calculate([2], [2], [1.0], COUNTS)
    assert found == dict(ece=0.0, ece_few=0.0, ece_balanced=0.0)


def test_missing_and_contradicting_counts():
    message = r'CalibrationError needs class_counts.*CalibrationError\(class_'
    with pytest.raises(ValueError, match=message):
        Evaluator(CalibrationError()).process(samples())
    metric = CalibrationError(class_counts=COUNTS)
    message = 'CalibrationError contradicts .*class 2'
    with pytest.raises(ValueError, match=message):
        metric.set_class_info(ClassInfo([500, 50, 6]))


@pytest.mark.parametrize('wrong', [1.5, -0.1, float('nan')])
def test_confidences_out_of_range(wrong):
    message = re.escape(f'confidences must be in [0, 1], got {wrong} at samp')
    with pytest.raises(ValueError, match=message + 'le 1'):
        CalibrationError.calculate([0, 0], [0, 1], [0.5, wrong], COUNTS)


def test_other_errors():
    with pytest.raises(ValueError, match=r'\[0, 3\), got 3 at sample 1'):
        CalibrationError.calculate([0, 0], [0, 3], [0.5, 0.5], COUNTS)
    with pytest.raises(ValueError, match=r'shapes \(2,\) and \(3,\)'):
        reliability([0.5, 0.5], [True, False, True])
