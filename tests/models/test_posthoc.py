"""Tau-normalisation and post-hoc logit adjustment."""

import math

import pytest
import torch
import torch.nn.functional as F

from tests.models.head import COUNTS, batch, make


@pytest.mark.parametrize('tau', [0.5, 1.0])
def test_tau_norm_equals_the_definition(tau):
    head = make(loss_con=None, classifier='linear', tau_norm=tau)
    feats, samples = batch([0, 1], views=1)
    weight = head.classifier.weight
    expected = torch.zeros(2, 5, dtype=torch.float64)
    for i in range(2):
        for c in range(5):
            norm = sum(w**2 for w in weight[c].tolist()) ** 0.5
            expected[i, c] = feats[0][i] @ weight[c] / norm**tau
    assert torch.allclose(head(feats), expected)
    predicted = head.predict(feats, samples)
    assert predicted[0].pred_label == expected[0].argmax()
    with pytest.raises(ValueError, match='tau_norm changes a classifier'):
        head.loss(feats, samples)


def test_tau_norm_needs_a_linear_classifier():
    with pytest.raises(ValueError, match="tau_norm needs classifier='linear'"):
        make(tau_norm=1.0)
    with pytest.raises(ValueError, match='tau_norm must be >= 0, got -1'):
        make(classifier='linear', tau_norm=-1)


@pytest.mark.parametrize(
    'options', [{}, dict(classifier='linear'), dict(loss_con=None)]
)
def test_posthoc_logit_adjustment_equals_the_definition(options):
    head, plain = make(posthoc_tau=1.5, **options), make(**options)
    plain.load_state_dict(head.state_dict())
    feats, samples = batch([0, 1, 4])
    expected = plain(feats).detach().clone()
    for c, count in enumerate(COUNTS):
        expected[:, c] -= 1.5 * math.log(count / sum(COUNTS))
    assert torch.allclose(head(feats), expected, rtol=1e-6)
    scores = [sample.pred_score for sample in head.predict(feats)]
    assert torch.allclose(torch.stack(scores), expected.softmax(1), rtol=1e-5)
    # Training knows nothing of it.
    losses, expected = head.loss(feats, samples), plain.loss(feats, samples)
    assert losses['loss_cls'] == expected['loss_cls']


def test_posthoc_logit_adjustment_brings_the_training_prior_back():
    """The adjusted loss is plain cross-entropy of what tau = -1 predicts."""
    head = make(loss_con=None, posthoc_tau=-1.0)
    feats, samples = batch([0, 1, 4], views=1)
    loss = head.loss(feats, samples)['loss_cls']
    cross_entropy = F.cross_entropy(head(feats), torch.tensor([0, 1, 4]))
    assert torch.allclose(loss, cross_entropy, rtol=1e-6)


def test_posthoc_logit_adjustment_needs_counts():
    head = make(class_counts=None, posthoc_tau=1.0)
    feats, _ = batch([0])
    for _ in range(2):
        with pytest.raises(ValueError, match='posthoc_tau .* needs class'):
            head(feats)
        head.load_state_dict(make(class_counts=None).state_dict())
    head.load_state_dict(make().state_dict())
    assert head(feats).isfinite().all()
    with pytest.raises(ValueError, match='posthoc_tau must be finite'):
        make(posthoc_tau=math.inf)
