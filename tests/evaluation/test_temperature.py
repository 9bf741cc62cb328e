"""Temperature scaling and thresholds, against searches over all values."""

import numpy as np
import pytest
from scipy.special import softmax

from bcl_mm.evaluation.temperature import (
    choose_threshold,
    fit_temperature,
    negative_log_likelihood,
    scale_scores,
)


def images(seed, factor, number=4000, classes=5):
    """Scores ``factor`` times as sure as they should be, and labels."""
    random = np.random.RandomState(seed)
    logits = random.normal(size=(number, classes)) * 2
    truth = softmax(logits, axis=1)
    drawn = random.rand(number, 1) < truth.cumsum(axis=1)
    scores = softmax(factor * logits, axis=1).astype(np.float32)
    return logits, scores, drawn.argmax(axis=1)


def likelihood(scores, labels):
    return np.log(scores[np.arange(len(labels)), labels]).mean()


@pytest.mark.parametrize('factor', [0.5, 1, 3])
def test_the_temperature_undoes_too_much_confidence(factor):
    logits, scores, labels = images(0, factor)
    found = fit_temperature(scores, labels)
    assert found == pytest.approx(factor, rel=0.1)
    assert fit_temperature(scores, labels) == found
    scaled = scale_scores(scores, found)
    expected = softmax(factor * logits / found, axis=1)
    assert np.allclose(scaled, expected, atol=1e-6)
    assert (scaled.argmax(axis=1) == scores.argmax(axis=1)).all()
    told = negative_log_likelihood(scores, labels, found)
    assert told == pytest.approx(-likelihood(scaled, labels), abs=1e-5)
    # No other temperature is more likely.
    best = likelihood(scaled, labels)
    for other in np.geomspace(0.05, 20, 60):
        assert likelihood(scale_scores(scores, other), labels) <= best + 1e-7


def test_scores_of_zero():
    scores = np.array([[1, 0, 0]], np.float32)
    scaled = scale_scores(scores, 2.0)
    assert np.isfinite(scaled).all()
    assert scaled.sum() == pytest.approx(1)
    assert scale_scores(scores, 1.0) is scores


def test_a_temperature_by_hand():
    # Two classes; always 0.9 sure, right in 3 of 4: softmax(f / T) is 0.75
    # for f / T = log 3, and f = log 9.
    scores = np.array([[0.9, 0.1]] * 4)
    found = fit_temperature(scores, np.array([0, 0, 0, 1]))
    assert found == pytest.approx(np.log(9) / np.log(3), abs=1e-4)


def test_what_cannot_be_fitted():
    scores = np.array([[0.9, 0.1], [0.2, 0.8]])
    with pytest.raises(ValueError, match='all 2 images are classified corr'):
        fit_temperature(scores, np.array([0, 1]))
    with pytest.raises(ValueError, match='calibration needs images, got none'):
        fit_temperature(scores[:0], np.array([], int))


@pytest.mark.parametrize('seed', range(6))
def test_the_threshold_accepts_most_images(seed):
    random = np.random.RandomState(seed)
    confidences = random.randint(1, 30, 60) / 30  # many are equal
    correct = random.rand(60) < confidences
    for target in (0.5, 0.7, 0.9):
        accepted = [confidences >= t for t in (0, *confidences)]
        fine = [a.sum() for a in accepted if correct[a].mean() >= target]
        if not fine:
            with pytest.raises(ValueError, match='is not reached by any'):
                choose_threshold(confidences, correct, target)
            continue
        found = confidences >= choose_threshold(confidences, correct, target)
        assert found.sum() == max(fine)
        assert correct[found].mean() >= target


def test_a_threshold_by_hand():
    confidences = np.array([0.5, 0.9, 0.7, 0.8])
    correct = np.array([False, True, False, True])
    # 0.9 and 0.8 are right, 0.7 is wrong: 2 of 3.
    assert choose_threshold(confidences, correct, 0.9) == pytest.approx(0.75)
    assert choose_threshold(confidences, correct, 2 / 3) == pytest.approx(0.6)
    assert choose_threshold(confidences, correct, 0.5) == 0
    message = r'target_accuracy=0.9 is not reached .* one reaches is 0.0 %'
    with pytest.raises(ValueError, match=message):
        choose_threshold(confidences, np.zeros(4, bool), 0.9)
    for wrong, message in ((1, r'must be in \(0, 1\), got 1'), (0, 'got 0')):
        with pytest.raises(ValueError, match=message):
            choose_threshold(confidences, correct, wrong)
