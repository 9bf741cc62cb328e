"""Definitions as explicit float64 loops, to compare the package with.

Written from the equations alone: slow, literal, and without any trick that
the package uses.
"""

from __future__ import annotations

import math
from typing import Dict, List, Optional

import numpy as np
import torch
from torch import Tensor


def balanced_contrastive(
    features: Tensor,
    labels: Tensor,
    prototypes: Optional[Tensor] = None,
    temperature: float = 0.1,
    class_averaging: bool = True,
    reduction: str = 'mean_log',
    *,
    keys: Optional[Tensor] = None,
    key_labels: Optional[Tensor] = None,
    anchor_start: int = 0,
    wrong: str = '',
) -> Tensor:
    """Balanced contrastive loss, anchor by anchor and key by key.

    ``wrong`` names a mistake that re-implementations make.
    """
    if keys is None:
        keys, key_labels = features, labels
    classes: Dict[int, List[Tensor]] = {}
    own_key: Dict[int, Tensor] = {}
    views = [(keys[k], int(key_labels[k])) for k in range(len(keys))]
    for k, (key, label) in enumerate(views):
        classes.setdefault(label, []).append(key)
        own_key[k] = key
    prototype_of = {}
    if prototypes is not None:
        for label in range(len(prototypes)):
            prototype_of[label] = prototypes[label]
            classes.setdefault(label, []).append(prototype_of[label])

    total = features.new_zeros(())
    for i in range(len(features)):
        anchor, label = features[i], int(labels[i])
        itself = own_key[anchor_start + i]
        positives = [k for k in classes[label] if k is not itself]
        if wrong == 'prototypes only as negatives':
            positives = [
                k for k in positives if k is not prototype_of.get(label)
            ]
        denominator = features.new_zeros(())
        for other, members in classes.items():
            present = [
                key
                for key in members
                if key is not itself or wrong == 'anchor in the denominator'
            ]
            weight = len(present) if class_averaging else 1
            if wrong == 'own class not reduced' and other == label:
                weight = len(members)
            for key in present:
                denominator = denominator + (
                    torch.exp(anchor @ key / temperature) / weight
                )
        shares = [
            torch.exp(anchor @ positive / temperature) / denominator
            for positive in positives
        ]
        if not positives:
            continue
        if reduction == 'mean_log':
            total = total - sum(map(torch.log, shares)) / len(shares)
        else:
            total = total - torch.log(sum(shares) / len(shares))
    return total / len(features)


def logit_adjusted(
    logits: Tensor, labels: Tensor, class_counts: List[int], tau: float
) -> Tensor:
    """Logit-adjusted cross-entropy, sample by sample."""
    total = logits.new_zeros(())
    images = sum(class_counts)
    for i in range(len(logits)):
        scores = [
            logits[i, c] + tau * math.log(class_counts[c] / images)
            for c in range(len(class_counts))
        ]
        denominator = sum(torch.exp(score) for score in scores)
        total = total - torch.log(
            torch.exp(scores[int(labels[i])]) / denominator
        )
    return total / len(logits)


def long_tail_indices(
    labels: List[int],
    imbalance_factor: float,
    profile: str = 'exp',
    seed: int = 0,
) -> List[int]:
    """LDAM-DRW's subset of a balanced data set, in its own steps."""
    num_classes = max(labels) + 1
    largest = len(labels) / num_classes
    np.random.seed(seed)
    kept = []
    for c in range(num_classes):
        share = (1 / imbalance_factor) ** (c / (num_classes - 1))
        if profile == 'step':
            share = 1 if c < num_classes // 2 else 1 / imbalance_factor
        members = np.array([i for i, y in enumerate(labels) if y == c])
        np.random.shuffle(members)
        kept.extend(members[: int(largest * share)].tolist())
    return kept


def _softmax(scores: List[Tensor]) -> List[Tensor]:
    total = sum(torch.exp(score) for score in scores)
    return [torch.exp(score) / total for score in scores]


def focal(logits: Tensor, labels: Tensor, gamma: float) -> Tensor:
    """Focal loss of softmax probabilities, sample by sample."""
    total = logits.new_zeros(())
    for i in range(len(logits)):
        p = _softmax(list(logits[i]))[int(labels[i])]
        total = total - (1 - p) ** gamma * torch.log(p)
    return total / len(logits)


def effective_number_weights(
    class_counts: List[int], beta: float
) -> List[float]:
    """Inverse effective numbers, with the number as the sum that it is."""
    weights = []
    for count in class_counts:
        effective = sum(beta**k for k in range(count))
        weights.append(1 / effective)
    return [w * len(weights) / sum(weights) for w in weights]


def class_balanced(
    logits: Tensor,
    labels: Tensor,
    class_counts: List[int],
    beta: float,
    gamma: float,
) -> Tensor:
    """Class-balanced focal loss, sample by sample."""
    weights = effective_number_weights(class_counts, beta)
    total = logits.new_zeros(())
    for i in range(len(logits)):
        loss = focal(logits[i : i + 1], labels[i : i + 1], gamma)
        total = total + weights[int(labels[i])] * loss
    return total / len(logits)


def ldam(
    logits: Tensor,
    labels: Tensor,
    class_counts: List[int],
    max_margin: float,
    scale: float,
    beta: Optional[float] = None,
) -> Tensor:
    """LDAM, sample by sample; with ``beta`` re-weighted (DRW)."""
    shares = [1 / math.sqrt(math.sqrt(count)) for count in class_counts]
    total, weight_sum = logits.new_zeros(()), 0.0
    for i in range(len(logits)):
        label = int(labels[i])
        margin = max_margin * shares[label] / max(shares)
        scores = [
            logits[i, c] - scale * margin if c == label else logits[i, c]
            for c in range(len(class_counts))
        ]
        weight = 1.0
        if beta is not None:
            weight = effective_number_weights(class_counts, beta)[label]
        total = total - weight * torch.log(_softmax(scores)[label])
        weight_sum += weight
    return total / weight_sum


def seesaw(
    logits: Tensor,
    labels: Tensor,
    seen: List[int],
    p: float,
    q: float,
) -> Tensor:
    """Seesaw loss (Wang et al., CVPR 2021, Sec. 3.2), sample by sample."""
    total = logits.new_zeros(())
    for i in range(len(logits)):
        label = int(labels[i])
        probabilities = [x.item() for x in _softmax(list(logits[i]))]
        denominator = torch.exp(logits[i, label])
        for c in range(len(seen)):
            if c == label:
                continue
            mitigation = min(1.0, max(seen[c], 1) / max(seen[label], 1)) ** p
            ratio = probabilities[c] / probabilities[label]
            compensation = max(1.0, ratio) ** q
            denominator = denominator + (
                mitigation * compensation * torch.exp(logits[i, c])
            )
        total = total - torch.log(torch.exp(logits[i, label]) / denominator)
    return total / len(logits)
