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
        term = features.new_zeros(())
        for positive in positives:
            term = term + torch.log(
                torch.exp(anchor @ positive / temperature) / denominator
            )
        if positives:
            total = total - term / len(positives)
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
