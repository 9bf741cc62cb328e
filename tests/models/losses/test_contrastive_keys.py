"""Keys of the balanced contrastive loss, and wrong arguments."""

import math

import pytest
import torch

from bcl_mm.models.losses import (
    BalancedContrastiveLoss,
    balanced_contrastive_loss,
)
from tests import oracles
from tests.models.losses.contrastive import assert_same, batch, unit


def test_prototypes_by_label_in_padded_slots():
    features, labels, prototypes = batch([0, 0, 1, 4])
    full = balanced_contrastive_loss(features, labels, prototypes)
    order = torch.tensor([4, 2, 0, 6, 1, 3, 5])
    slots = torch.cat([prototypes[order], prototypes[:2] * torch.nan])
    slots = torch.nan_to_num(slots)
    sampled = balanced_contrastive_loss(
        features,
        labels,
        slots,
        prototype_labels=torch.cat([order, torch.tensor([-1, -1])]),
        prototype_log_weights=torch.tensor([0.0] * 7 + [-torch.inf] * 2),
    )
    assert torch.allclose(full, sampled, rtol=1e-12)
    # A prototype of weight 2 represents two classes in the denominator.
    absent = torch.tensor([6])
    doubled = balanced_contrastive_loss(
        features,
        labels,
        torch.cat([prototypes, prototypes[absent]]),
        prototype_labels=torch.tensor([*range(7), 99]),
    )
    weighted = balanced_contrastive_loss(
        features,
        labels,
        prototypes,
        prototype_log_weights=torch.tensor([0.0] * 6 + [math.log(2)]),
    )
    assert torch.allclose(doubled, weighted, rtol=1e-9)


def test_anchor_without_positive_counts_as_zero():
    features = unit(3, 5)
    labels = torch.tensor([0, 0, 1])
    loss = balanced_contrastive_loss(features, labels)
    expected = oracles.balanced_contrastive(features, labels)
    assert_same(loss, expected, features)
    lone = unit(1, 5)
    loss = balanced_contrastive_loss(lone, labels[:1])
    loss.backward()
    assert loss == 0
    assert torch.equal(lone.grad, torch.zeros_like(lone))


@pytest.mark.parametrize('temperature', [0, -0.1])
def test_temperature_must_be_positive(temperature):
    message = f'temperature must be > 0, got {temperature}'
    with pytest.raises(ValueError, match=message):
        BalancedContrastiveLoss(temperature)
    with pytest.raises(ValueError, match=message):
        balanced_contrastive_loss(
            unit(2, 3), torch.zeros(2), None, temperature
        )


def test_shapes_that_do_not_fit():
    features, labels, prototypes = batch([0, 1])
    with pytest.raises(ValueError, match=r'features must have shape \(M, D\)'):
        balanced_contrastive_loss(features[0], labels)
    with pytest.raises(ValueError, match='features has 4 rows, but its'):
        balanced_contrastive_loss(features, labels[:3])
    with pytest.raises(ValueError, match=r'prototypes must have .*rows, 5\)'):
        balanced_contrastive_loss(features, labels, prototypes[:, :4])
    with pytest.raises(ValueError, match='given together'):
        balanced_contrastive_loss(features, labels, keys=features)
    with pytest.raises(ValueError, match=r'anchor_start must be in \[0, 0\]'):
        balanced_contrastive_loss(
            features, labels, keys=features, key_labels=labels, anchor_start=1
        )


def test_one_local_anchor_among_global_keys():
    keys = unit(4, 5)
    key_labels = torch.tensor([0, 0, 1, 0])
    arguments = keys[:1], key_labels[:1]
    options = dict(keys=keys, key_labels=key_labels)
    assert_same(
        balanced_contrastive_loss(*arguments, **options),
        oracles.balanced_contrastive(*arguments, **options),
        keys,
    )


def test_empty_slot_is_a_key_of_no_class():
    features, labels, prototypes = batch([0, 1, 2])
    padded = balanced_contrastive_loss(
        features,
        labels,
        torch.cat([prototypes, prototypes[:1]]),
        prototype_labels=torch.tensor([*range(7), 0]),
        prototype_log_weights=torch.tensor([0.0] * 7 + [-torch.inf]),
    )
    full = balanced_contrastive_loss(features, labels, prototypes)
    assert torch.allclose(padded, full, rtol=1e-12)
    with pytest.raises(ValueError, match='prototype_log_weights must have'):
        balanced_contrastive_loss(
            features, labels, prototypes, prototype_log_weights=torch.zeros(1)
        )


def test_an_unknown_reduction_is_an_error():
    features, labels, prototypes = batch([0, 1])
    with pytest.raises(ValueError, match="'log_mean_exp', got 'mean'"):
        balanced_contrastive_loss(features, labels, reduction='mean')
