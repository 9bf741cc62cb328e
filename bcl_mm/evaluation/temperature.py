"""Temperature scaling, and a threshold below which a model abstains."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from bcl_mm.utils.errors import InputValueError, check_number

# Between which the temperature is sought.
TEMPERATURES = (0.05, 20.0)
_TINY = np.finfo(np.float32).smallest_subnormal


def scale_scores(scores: np.ndarray, temperature: float) -> np.ndarray:
    r"""Divide the logits of scores by a temperature.

    .. math::
        q_c = \frac{p_c^{1/T}}{\sum_k p_k^{1/T}}
            = \mathrm{softmax}(f / T)_c, \quad p = \mathrm{softmax}(f)

    Args:
        scores: (N, C) probabilities.
        temperature: T > 0; above 1, scores become less sure.

    Returns:
        (N, C) probabilities, of the type of ``scores``; the order of the
        classes stays.
    """
    if temperature == 1:
        return scores
    logits = np.log(np.maximum(scores, _TINY)) / temperature
    return np.exp(log_softmax(logits, axis=1)).astype(scores.dtype)


def negative_log_likelihood(
    scores: np.ndarray, labels: np.ndarray, temperature: float = 1.0
) -> float:
    """Mean negative log-likelihood of labels, in nats.

    Args:
        scores: (N, C) probabilities.
        labels: (N,) true classes.
        temperature: Divides the logits. Defaults to 1.
    """
    logits = np.log(np.maximum(scores, _TINY)) / temperature
    likelihoods = log_softmax(logits, axis=1)[np.arange(len(labels)), labels]
    return -float(likelihoods.mean(dtype=np.float64))


def fit_temperature(scores: np.ndarray, labels: np.ndarray) -> float:
    """Fit the temperature that minimises the negative log-likelihood.

    Guo et al., ICML 2017, Sec. 4.2. The likelihood has one maximum, since it
    is concave in 1 / T.

    Args:
        scores: (N, C) probabilities.
        labels: (N,) true classes.

    Returns:
        T in [0.05, 20].

    Raises:
        InputValueError: There are no images, or all are classified correctly:
            the likelihood would then grow for ever as T shrinks.
    """
    if not len(labels):
        raise InputValueError('calibration needs images, got none')
    if (scores.argmax(axis=1) == labels).all():
        raise InputValueError(
            f'all {len(labels)} images are classified correctly, so that '
            'they cannot tell how often the model is wrong: calibrate it on '
            'more, or on harder images'
        )
    found = minimize_scalar(
        lambda log: negative_log_likelihood(scores, labels, np.exp(log)),
        bounds=np.log(TEMPERATURES),
        method='bounded',
        options=dict(xatol=1e-6),
    )
    return float(np.exp(found.x))


def choose_threshold(
    confidences: np.ndarray, correct: np.ndarray, target_accuracy: float
) -> float:
    """Choose the threshold that accepts most images at a target accuracy.

    Images whose confidence is at least the threshold are accepted.

    Args:
        confidences: (N,) scores of the predicted classes.
        correct: (N,) whether the prediction is correct.
        target_accuracy: Least accuracy of the accepted images, in (0, 1).

    Returns:
        The threshold, in [0, 1]; 0 accepts all.

    Raises:
        InputTypeError: ``target_accuracy`` is not a number.
        InputValueError: It is out of range, or not reached by any threshold.
    """
    check_number('target_accuracy', target_accuracy, above=0, below=1)
    order = np.argsort(-confidences, kind='stable')
    sure = confidences[order]
    accuracies = np.cumsum(correct[order]) / np.arange(1, len(order) + 1)
    # Equal confidences are accepted together.
    is_end = np.append(sure[1:] < sure[:-1], True)
    reached = np.flatnonzero(is_end & (accuracies >= target_accuracy))
    if not len(reached):
        best = 100 * accuracies[is_end].max()
        raise InputValueError(
            f'target_accuracy={target_accuracy} is not reached by any '
            f'threshold on {len(order)} images: the most that one reaches is '
            f'{best:.1f} %'
        )
    last = reached[-1]
    if last == len(order) - 1:
        return 0.0
    # Midway, so that rounding does not move an image to the other side.
    return float((float(sure[last]) + float(sure[last + 1])) / 2)
