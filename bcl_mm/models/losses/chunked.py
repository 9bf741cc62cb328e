"""The balanced contrastive loss's arithmetic, in chunks of rows."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

# Rows of logits in memory at a time: fewer make the products slower.
_CHUNK = 512
_FINITE = torch.finfo(torch.float32).min


def _dense_ids(labels: Tensor) -> Tensor:
    """(K,) labels -> (K,) ids in [0, K), equal where the labels are equal.

    Unlike ``torch.unique`` it needs no device synchronisation.
    """
    ordered, order = labels.sort()
    is_new = torch.ones_like(ordered)
    is_new[1:] = ordered[1:] != ordered[:-1]
    return torch.empty_like(order).scatter_(0, order, is_new.cumsum(0) - 1)


class Pairs(NamedTuple):
    """What the labels say of M anchors and K keys, N views and C prototypes.

    Nothing here has a row per anchor and a column per key. An anchor's class
    has one prototype at most.
    """

    itself: Tensor  # (M, 1) column of the anchor
    own: Tensor  # (M, 1) id of its class
    view_ids: Tensor  # (N,) ids of the views' classes
    slot: Tensor  # (M, 1) column of its class's prototype
    has_slot: Tensor  # (M, 1) 0 where there is none, and slot says nothing
    bias: Tensor  # (K,) log weights of the keys
    own_bias: Tensor  # (M, 1) what the anchor's own class has beside
    positive_bias: Tensor  # (M, 1) mean bias of the positives
    num_positives: Tensor  # (M, 1)


def pair(
    anchors: Tensor,
    view_labels: Tensor,
    prototype_labels: Tensor,
    prototype_log_weights: Tensor,
    class_averaging: bool,
) -> Pairs:
    """Pairs of the ``anchors`` (M, 1), positions among the views."""
    num_views = len(view_labels)
    log_weights = F.pad(prototype_log_weights, (num_views, 0))  # (K,)
    ids = _dense_ids(torch.cat([view_labels, prototype_labels]))  # (K,)
    own = ids[anchors]
    columns = torch.arange(num_views, len(ids), device=ids.device)
    slot = torch.zeros_like(ids).scatter_(0, ids[num_views:], columns)[own]
    has_slot = (slot > 0).to(log_weights.dtype)
    ones = torch.ones_like(log_weights)
    sizes = torch.zeros_like(ones).index_add_(0, ids, ones)[ids]
    num_positives = sizes[anchors] - 1
    at_least_one = num_positives.clamp(min=1)
    # 1 / w_ij is a subtraction of log w from the logit: the same for all
    # anchors, but for those of the class, which have one key less.
    log_sizes = sizes.log() * class_averaging
    own_log_sizes = at_least_one.log() * class_averaging
    bias = log_weights - log_sizes
    return Pairs(
        anchors,
        own.to(ones.dtype),
        ids[:num_views].to(ones.dtype),
        slot,
        has_slot,
        bias,
        log_sizes[anchors] - own_log_sizes,
        log_weights[slot] * has_slot / at_least_one - log_sizes[anchors],
        num_positives,
    )


class Contrast(torch.autograd.Function):
    """The loss and, in the same pass over chunks of rows, its gradients.

    Its memory is that of the gradients and of 512 rows of logits, however
    many anchors there are; no product is computed twice.
    """

    @staticmethod
    def forward(
        ctx,
        features: Tensor,
        views: Tensor,
        prototypes: Tensor,
        temperature: float,
        *pairs: Tensor,
    ) -> Tensor:
        pairs = Pairs(*pairs)
        # An anchor without positives counts as zero.
        has_positive = (pairs.num_positives > 0).to(features.dtype)
        weights = has_positive / len(features)  # (M, 1)
        per_positive = 1 / pairs.num_positives.clamp(min=1)  # (M, 1)
        losses = []
        grad_features = torch.empty_like(features)
        grad_views = torch.zeros_like(views)
        grad_prototypes = torch.zeros_like(prototypes)
        for start in range(0, len(features), _CHUNK):
            rows = slice(start, start + _CHUNK)
            anchors = features[rows]  # (m, D)
            itself, slot = pairs.itself[rows], pairs.slot[rows]
            has_slot, own_bias = pairs.has_slot[rows], pairs.own_bias[rows]

            logits = pairs.bias.repeat(len(anchors), 1)  # (m, K)
            of_views = logits[:, : len(views)]
            of_prototypes = logits[:, len(views) :]
            of_views.addmm_(anchors, views.T, alpha=1 / temperature)
            of_prototypes.addmm_(anchors, prototypes.T, alpha=1 / temperature)
            # In place, floats: an eighth of the time of == and a cast.
            positive = pairs.own[rows].repeat(1, len(views))
            positive.eq_(pairs.view_ids)
            positive.scatter_(1, itself, 0)  # (m, N)
            attraction = (of_views * positive).sum(1, keepdim=True)
            attraction += logits.gather(1, slot) * has_slot
            attraction = attraction * per_positive[rows]
            attraction -= pairs.positive_bias[rows]

            of_views.addcmul_(positive, own_bias)
            logits.scatter_add_(1, slot, own_bias * has_slot)
            logits.scatter_(1, itself, -torch.inf)
            # Finite for an anchor without any key, too.
            peak = logits.amax(1, keepdim=True).clamp(min=_FINITE)
            shares = logits.sub_(peak).exp_()
            sums = shares.sum(1, keepdim=True).clamp(min=1e-30)
            losses.append(peak + sums.log() - attraction)

            # The gradient with respect to the similarities.
            weight = weights[rows] / temperature
            shares.mul_(weight / sums)
            pull = -weight * per_positive[rows]
            of_views.addcmul_(positive, pull)
            shares.scatter_add_(1, slot, pull * has_slot)
            grad_features[rows] = of_views @ views
            grad_features[rows].addmm_(of_prototypes, prototypes)
            grad_views.addmm_(of_views.T, anchors)
            grad_prototypes.addmm_(of_prototypes.T, anchors)
        ctx.save_for_backward(grad_features, grad_views, grad_prototypes)
        return (torch.cat(losses) * weights).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple:
        no_grads = [None] * (1 + len(Pairs._fields))
        return *(grad * saved for saved in ctx.saved_tensors), *no_grads
