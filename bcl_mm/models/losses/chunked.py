"""The arithmetic of the balanced contrastive loss, in chunks of rows."""

from __future__ import annotations

from typing import Any, NamedTuple, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from bcl_mm.utils.autograd import first_order_only
from bcl_mm.utils.precision import add_product_

# Rows of logits in memory at a time; fewer make the products slower.
_CHUNK = 512
_LOWEST = torch.finfo(torch.float32).min


def _dense_ids(labels: Tensor) -> Tensor:
    """(K,) labels -> (K,) ids in [0, K), equal for equal labels.

    Unlike ``torch.unique``, it does not synchronise with the device.
    """
    ordered, order = labels.sort()
    is_new = torch.ones_like(ordered)
    is_new[1:] = ordered[1:] != ordered[:-1]
    return torch.empty_like(order).scatter_(0, order, is_new.cumsum(0) - 1)


class KeyRelations(NamedTuple):
    """Relations of M anchors to K keys (N views, C prototypes), by labels.

    No tensor has a row per anchor and a column per key. The class of an
    anchor has at most one prototype.
    """

    anchor_column: Tensor  # (M, 1) column of the anchor itself
    class_id: Tensor  # (M, 1) id of the anchor's class
    view_class_ids: Tensor  # (N,) ids of the views' classes
    prototype_column: Tensor  # (M, 1) column of the class's prototype
    has_prototype: Tensor  # (M, 1) 0 where prototype_column is meaningless
    key_bias: Tensor  # (K,) log weights of the keys
    class_bias: Tensor  # (M, 1) added to key_bias for the anchor's class
    positive_bias: Tensor  # (M, 1) mean bias of the positives
    num_positives: Tensor  # (M, 1)


def relate_keys(
    anchors: Tensor,
    view_labels: Tensor,
    prototype_labels: Tensor,
    prototype_log_weights: Tensor,
    class_averaging: bool,
) -> KeyRelations:
    """Relations of the ``anchors`` (M, 1), positions among the views."""
    num_views = len(view_labels)
    log_weights = F.pad(prototype_log_weights, (num_views, 0))  # (K,)
    ids = _dense_ids(torch.cat([view_labels, prototype_labels]))  # (K,)
    class_id = ids[anchors]
    columns = torch.arange(num_views, len(ids), device=ids.device)
    by_class = torch.zeros_like(ids).scatter_(0, ids[num_views:], columns)
    prototype_column = by_class[class_id]
    has_prototype = (prototype_column > 0).to(log_weights.dtype)
    ones = torch.ones_like(log_weights)
    sizes = torch.zeros_like(ones).index_add_(0, ids, ones)[ids]
    num_positives = sizes[anchors] - 1
    at_least_one = num_positives.clamp(min=1)
    # 1 / w_ij subtracts log w from the logit. It is the same for all anchors,
    # except those of the class, which have one key less.
    log_sizes = sizes.log() * class_averaging
    log_positives = at_least_one.log() * class_averaging
    log_weight = log_weights[prototype_column] * has_prototype
    return KeyRelations(
        anchor_column=anchors,
        class_id=class_id.to(ones.dtype),
        view_class_ids=ids[:num_views].to(ones.dtype),
        prototype_column=prototype_column,
        has_prototype=has_prototype,
        key_bias=log_weights - log_sizes,
        class_bias=log_sizes[anchors] - log_positives,
        positive_bias=log_weight / at_least_one - log_sizes[anchors],
        num_positives=num_positives,
    )


class ChunkedContrastiveLoss(torch.autograd.Function):
    """The loss and its gradients, in one pass over chunks of rows.

    It needs memory for the gradients and for 512 rows of logits, whatever
    the number of anchors, and computes no product twice. ``needed`` says
    which of the first three inputs get a gradient: no other is computed.
    """

    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        views: Tensor,
        prototypes: Tensor,
        temperature: float,
        reduction: str,
        needed: Sequence[bool],
        *fields: Tensor,
    ) -> Tensor:
        """Loss, a scalar, and the gradients that :meth:`backward` scales."""
        relations = KeyRelations(*fields)
        of_logs = reduction == 'mean_log'
        alpha = 1 / temperature
        # An anchor without positives has a loss of zero.
        has_positive = (relations.num_positives > 0).to(features.dtype)
        weights = has_positive / len(features)  # (M, 1)
        per_positive = 1 / relations.num_positives.clamp(min=1)  # (M, 1)
        losses = []
        grads = [
            torch.zeros_like(rows) if is_needed else None
            for rows, is_needed in zip((features, views, prototypes), needed)
        ]
        for start in range(0, len(features), _CHUNK):
            rows = slice(start, start + _CHUNK)
            anchors = features[rows]  # (m, D)
            anchor_column = relations.anchor_column[rows]
            prototype_column = relations.prototype_column[rows]
            has_prototype = relations.has_prototype[rows]
            class_bias = relations.class_bias[rows]

            logits = relations.key_bias.repeat(len(anchors), 1)  # (m, K)
            view_logits = logits[:, : len(views)]
            prototype_logits = logits[:, len(views) :]
            add_product_(view_logits, anchors, views.T, alpha)
            add_product_(prototype_logits, anchors, prototypes.T, alpha)
            # In place and in floats: 8x faster than == plus a cast.
            positive = relations.class_id[rows].repeat(1, len(views))
            positive.eq_(relations.view_class_ids)
            positive.scatter_(1, anchor_column, 0)  # (m, N)
            own = logits.gather(1, prototype_column)
            if of_logs:
                attraction = (view_logits * positive).sum(1, keepdim=True)
                attraction += own * has_prototype
                attraction = attraction * per_positive[rows]
                attraction -= relations.positive_bias[rows]
            else:
                # Similarities of the positives, without their biases.
                close = view_logits - relations.key_bias[anchor_column]
                close = torch.where(positive > 0, close, _LOWEST)
                own = own - relations.key_bias[prototype_column]
                own = torch.where(has_prototype > 0, own, _LOWEST)
                close = torch.cat([close, own], 1)
                total = close.logsumexp(1, keepdim=True)
                attraction = total + per_positive[rows].log()

            view_logits.addcmul_(positive, class_bias)
            bias = class_bias * has_prototype
            logits.scatter_add_(1, prototype_column, bias)
            logits.scatter_(1, anchor_column, -torch.inf)
            # Finite even for an anchor without keys.
            peak = logits.amax(1, keepdim=True).clamp(min=_LOWEST)
            shares = logits.sub_(peak).exp_()
            sums = shares.sum(1, keepdim=True).clamp(min=1e-30)
            losses.append(peak + sums.log() - attraction)
            if not any(needed):
                continue

            # The gradient with respect to the similarities; the slices of
            # the logits share their memory with it.
            if of_logs:
                pulls = pull_prototype = per_positive[rows]
            else:
                pulls = close.sub_(total).exp_()
                pulls, pull_prototype = pulls.split([len(views), 1], 1)
            weight = weights[rows] / temperature
            shares.mul_(weight / sums)
            view_logits.addcmul_(positive, -weight * pulls)
            pull = -weight * pull_prototype * has_prototype
            shares.scatter_add_(1, prototype_column, pull)
            of_features, of_views, of_prototypes = grads
            if of_features is not None:
                own_rows = of_features[rows]
                add_product_(own_rows, view_logits, views)
                add_product_(own_rows, prototype_logits, prototypes)
            if of_views is not None:
                add_product_(of_views, view_logits.T, anchors)
            if of_prototypes is not None:
                add_product_(of_prototypes, prototype_logits.T, anchors)
        ctx.save_for_backward(*grads)
        return (torch.cat(losses) * weights).sum()

    @staticmethod
    @first_order_only
    def backward(ctx: Any, grad: Tensor) -> Tuple[Optional[Tensor], ...]:
        """Gradients of features, views and prototypes; none of the rest."""
        grads = [None if g is None else grad * g for g in ctx.saved_tensors]
        return *grads, *[None] * (3 + len(KeyRelations._fields))
