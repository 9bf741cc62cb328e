"""Balanced contrastive loss."""

from __future__ import annotations

from typing import Any, Optional

import torch
import torch.nn as nn
from torch import Tensor

from bcl_mm.registry import MODELS
from bcl_mm.utils.errors import InputValueError, check_flag, check_number
from bcl_mm.utils.labels import class_labels, distinct_classes

from .chunked import ChunkedContrastiveLoss, relate_keys


def _check_settings(
    temperature: float,
    class_averaging: bool,
    class_complement: bool,
    reduction: str,
) -> None:
    check_number('temperature', temperature, above=0)
    check_flag('class_averaging', class_averaging)
    check_flag('class_complement', class_complement)
    if reduction not in ('mean_log', 'log_mean_exp'):
        raise InputValueError(
            "reduction must be 'mean_log' or 'log_mean_exp', got "
            f'{reduction!r}'
        )


def _check_rows(name: str, rows: Tensor, labels: Tensor, dim: int) -> None:
    if rows.ndim != 2 or rows.shape[1] != dim:
        raise InputValueError(
            f'{name} must have shape (rows, {dim}), got {tuple(rows.shape)}'
        )
    if labels.shape != rows.shape[:1]:
        raise InputValueError(
            f'{name} has {rows.shape[0]} rows, but its labels have shape '
            f'{tuple(labels.shape)}'
        )


def balanced_contrastive_loss(
    features: Tensor,
    labels: Tensor,
    prototypes: Optional[Tensor] = None,
    temperature: float = 0.1,
    class_averaging: bool = True,
    class_complement: bool = True,
    reduction: str = 'mean_log',
    *,
    keys: Optional[Tensor] = None,
    key_labels: Optional[Tensor] = None,
    anchor_start: int = 0,
    prototype_labels: Optional[Tensor] = None,
    prototype_log_weights: Optional[Tensor] = None,
) -> Tensor:
    r"""Balanced contrastive loss (Zhu et al., CVPR 2022, Eq. 7).

    .. math::
        L = \frac{1}{M} \sum_i \frac{-1}{|P_i|} \sum_{p \in P_i} \log
        \frac{\exp(z_i \cdot p / T)}
        {\sum_j \frac{1}{w_{ij}}
        \sum_{k \in K_j, k \neq i} \exp(z_i \cdot k / T)}

    The anchors :math:`z_i` are the rows of ``features``. :math:`K_j` are the
    keys of class j: views and, with class-complement, the prototype
    :math:`c_j`. :math:`P_i` are the keys of the anchor's class except the
    anchor itself. Class-averaging divides a class's share of the denominator
    by the number of its keys, :math:`w_{ij} = |K_j|` (one less for the
    anchor's class, as the anchor is not its own key). Prototypes are keys,
    never anchors.

    Without either part it is the supervised contrastive loss
    :math:`L_{out}` (Khosla et al., NeurIPS 2020, Eq. 2). An anchor without
    positives has a loss of zero. Computed in at least float32, even under
    autocast.

    Args:
        features: (M, D) unit-norm anchors, the rows of all contrastive views.
        labels: (M,) integer labels of the anchors.
        prototypes: (C, D) unit-norm class prototypes; None complements no
            class. Defaults to None.
        temperature: Divides similarities. Defaults to 0.1.
        class_averaging: Give every class the same weight in the
            denominator. Defaults to True.
        class_complement: Use ``prototypes`` as keys. Defaults to True.
        reduction: ``'mean_log'``, the mean over the positives of their
            log-probabilities; or ``'log_mean_exp'``, the log of the mean of
            their probabilities (class-averaged as the denominator is; GML,
            Suh and Seo, ICML 2023, without its teacher and queue). Defaults
            to ``'mean_log'``.
        keys: (N, D) views of the global batch. The anchors' own rows are
            ``keys[anchor_start:anchor_start + M]``. Defaults to ``features``.
        key_labels: (N,) labels of ``keys``.
        anchor_start: Row of the first anchor among the keys. Defaults to 0.
        prototype_labels: (C,) classes of the given prototypes, each once.
            Defaults to 0, 1, ..., C - 1.
        prototype_log_weights: (C,) added to the prototypes' logits in the
            denominator: the log of the number of classes that a sampled
            one represents, -inf for an empty slot. Defaults to zeros.

    Returns:
        Scalar, the mean over the M anchors.

    Raises:
        InputTypeError: ``temperature`` is not a number, a flag is not a
            bool, or labels are not integers.
        InputValueError: ``temperature`` is not positive and finite, shapes do
            not match, or, on a CPU, a label is out of range or a class has
            two prototypes. On a GPU, the loss is then NaN.

    Example:
        >>> views = torch.eye(2).repeat(2, 1)  # two views of two images
        >>> labels = torch.tensor([0, 1, 0, 1])
        >>> balanced_contrastive_loss(views, labels, temperature=1.0)
        tensor(0.3133)
        >>> balanced_contrastive_loss(views, labels, torch.eye(2), 1.0)
        tensor(0.3133)
    """
    _check_settings(temperature, class_averaging, class_complement, reduction)
    if features.ndim != 2 or len(features) == 0:
        raise InputValueError(
            'features must have shape (M, D) with M >= 1, got '
            f'{tuple(features.shape)}'
        )
    num_anchors, dim = features.shape
    _check_rows('features', features, labels, dim)
    if (keys is None) != (key_labels is None):
        raise InputValueError('keys and key_labels must be given together')
    if keys is None or key_labels is None:
        keys, key_labels = features, labels
    _check_rows('keys', keys, key_labels, dim)
    num_classes = None
    if prototypes is not None and prototype_labels is None:
        num_classes = len(prototypes)
    key_labels, factor = class_labels(key_labels, num_classes)
    labels, own_factor = class_labels(labels, num_classes)
    if not 0 <= anchor_start <= len(keys) - num_anchors:
        raise InputValueError(
            f'anchor_start must be in [0, {len(keys) - num_anchors}] for '
            f'{num_anchors} anchors among {len(keys)} keys, '
            f'got {anchor_start}'
        )
    dtype = torch.promote_types(features.dtype, torch.float32)
    is_sampled = not (prototype_labels is prototype_log_weights is None)
    if is_sampled and prototypes is None:
        raise InputValueError(
            'prototype_labels and prototype_log_weights need prototypes'
        )
    if not class_complement or prototypes is None:
        is_sampled = False
        prototypes, prototype_labels = features[:0], labels[:0]
        prototype_log_weights = None
    elif prototype_labels is None:
        prototype_labels = torch.arange(len(prototypes), device=labels.device)
    _check_rows('prototypes', prototypes, prototype_labels, dim)
    if prototype_log_weights is None:
        prototype_log_weights = torch.zeros_like(prototype_labels, dtype=dtype)
    elif prototype_log_weights.shape != prototype_labels.shape:
        raise InputValueError(
            'prototype_log_weights must have shape '
            f'{tuple(prototype_labels.shape)}, got '
            f'{tuple(prototype_log_weights.shape)}'
        )
    if is_sampled:
        is_empty = prototype_log_weights == -torch.inf
        classes = distinct_classes(prototype_labels, is_empty)
        prototype_labels, prototype_factor = classes
        factor = factor * prototype_factor
    anchors = torch.arange(num_anchors, device=labels.device) + anchor_start
    with torch.no_grad():
        relations = relate_keys(
            anchors[:, None],
            key_labels,
            prototype_labels,
            prototype_log_weights.to(dtype),
            class_averaging,
        )
    rows = features, keys, prototypes
    # (The function itself always runs without gradients.)
    needed = [torch.is_grad_enabled() and r.requires_grad for r in rows]
    loss: Tensor = ChunkedContrastiveLoss.apply(
        features.to(dtype),
        # A view: torch.compile does not accept the same tensor twice.
        keys.to(dtype).view_as(keys),
        prototypes.to(dtype),
        temperature,
        reduction,
        needed,
        *relations,
    )
    return loss * (factor * own_factor)


@MODELS.register_module()
class BalancedContrastiveLoss(nn.Module):
    """Module over :func:`balanced_contrastive_loss`.

    Args:
        temperature, class_averaging, class_complement, reduction: See there.
            Default to 0.1, True, True and ``'mean_log'``.

    Example:
        >>> loss = BalancedContrastiveLoss(temperature=1.0)
        >>> loss(torch.eye(2).repeat(2, 1), torch.tensor([0, 1, 0, 1]))
        tensor(0.3133)
    """

    _settings = (
        'temperature',
        'class_averaging',
        'class_complement',
        'reduction',
    )

    def __init__(
        self,
        temperature: float = 0.1,
        class_averaging: bool = True,
        class_complement: bool = True,
        reduction: str = 'mean_log',
    ) -> None:
        super().__init__()
        _check_settings(
            temperature, class_averaging, class_complement, reduction
        )
        self.temperature = temperature
        self.class_averaging = class_averaging
        self.class_complement = class_complement
        self.reduction = reduction

    def forward(
        self,
        features: Tensor,
        labels: Tensor,
        prototypes: Optional[Tensor] = None,
        avg_factor: Optional[float] = None,
        **kwargs: Any,
    ) -> Tensor:
        """Loss of the anchors ``features``, a scalar.

        Args:
            features: (M, D) unit norm.
            labels: (M,) integers.
            prototypes: (C, D) unit norm, or None.
            avg_factor: Divisor of the sum over anchors. Defaults to their
                number M.
            **kwargs: Keyword-only arguments of
                :func:`balanced_contrastive_loss`.
        """
        inputs = features, labels, prototypes
        settings = (getattr(self, name) for name in self._settings)
        loss = balanced_contrastive_loss(*inputs, *settings, **kwargs)
        if avg_factor is not None:
            loss = loss * (len(features) / avg_factor)
        return loss

    def extra_repr(self) -> str:
        """The settings, for ``repr``."""
        return ', '.join(
            f'{name}={getattr(self, name)}' for name in self._settings
        )
