"""Parametric contrastive learning: one softmax over classes and keys."""

from __future__ import annotations

import math
from typing import Any, Dict, Optional

import torch
from mmengine.dist import get_rank
from torch import Tensor

from bcl_mm.models.contrast import ProjectedBranch
from bcl_mm.models.losses import LogitAdjustedLoss
from bcl_mm.registry import MODELS
from bcl_mm.utils.distributed import gather
from bcl_mm.utils.errors import InputValueError, check_number
from bcl_mm.utils.labels import soft_targets
from bcl_mm.utils.precision import product
from bcl_mm.utils.protocols import ClassHead


def parametric_contrastive_loss(
    class_logits: Tensor,
    similarities: Tensor,
    targets: Tensor,
    positives: Tensor,
    others: Tensor,
    alpha: float = 0.05,
    beta: float = 1.0,
    gamma: float = 1.0,
) -> Tensor:
    r"""Parametric contrastive loss (Cui et al., ICCV 2021, Eq. 7).

    .. math::
        L_i = -\frac{\beta \sum_c t_{ic} (a_{ic} - \log Z_i) + \alpha
        \sum_{k \in P_i} (s_{ik} - \log Z_i)}{\beta + \alpha |P_i|}, \quad
        Z_i = \sum_c \exp(a_{ic}) + \gamma \sum_{k \in K_i} \exp(s_{ik})

    Args:
        class_logits: (M, C) logits a, adjusted by the prior.
        similarities: (M, N) similarities s to the keys, over temperature.
        targets: (M, C) soft or one-hot labels t.
        positives: (M, N) bool, the keys of the anchor's class :math:`P_i`.
        others: (M, N) bool, all keys :math:`K_i`: not the anchor itself.
        alpha: Weight of a key, >= 0. Defaults to 0.05.
        beta: Weight of the class, > 0. Defaults to 1.0.
        gamma: Weight of keys in the denominator, > 0. Defaults to 1.0.

    Returns:
        (M,) losses, in at least float32.
    """
    dtype = torch.promote_types(class_logits.dtype, torch.float32)
    class_logits, similarities = class_logits.to(dtype), similarities.to(dtype)
    keys = (similarities + math.log(gamma)).masked_fill(~others, -torch.inf)
    log_z = torch.cat([class_logits, keys], 1).logsumexp(1)  # (M,)
    number = positives.sum(1).to(dtype)
    own = (targets * class_logits).sum(1) - targets.sum(1) * log_z
    close = similarities.masked_fill(~positives, 0).sum(1) - number * log_z
    return -(beta * own + alpha * close) / (beta + alpha * number)


@MODELS.register_module()
class GPaCo(ProjectedBranch):
    r"""The branch of GPaCo (Cui et al., TPAMI 2023), with a queue.

    :func:`parametric_contrastive_loss` of all views: anchors are the views
    of this process; keys are those of all processes and a queue of earlier
    ones. It contains the classification loss: use ``loss_cls=None``. The
    logits of the classes are the head's, plus the log prior, without a
    temperature; the authors use a linear classifier. Label smoothing applies
    to the classes.

    Keys are features of the model itself, and have gradients but for those in
    the queue. In a :class:`~bcl_mm.models.MomentumClassifier` they are those
    of its key encoder, as in PaCo (ICCV 2021). The queue
    starts empty (the reference starts with random keys of random labels), and
    its keys are unit vectors (the reference normalises the first ones along
    the wrong axis).

    Args:
        num_classes: Number of classes C.
        in_channels: Width of the features.
        weight: Weight of the loss. Defaults to 1.0.
        alpha, beta, gamma: See :func:`parametric_contrastive_loss`. Default
            to 0.05, 1.0 and 1.0.
        temperature: Divides similarities, > 0. Defaults to 0.2.
        queue_size: Number of earlier keys, >= 0; any number, batches need not
            divide it. Defaults to 8192.
        smoothing: Label smoothing of the classes, in [0, 1). Defaults to 0.0.
        hidden_channels: Hidden width of the projector. Defaults to 512.
        out_channels: Output width D of the projector. Defaults to 128.
        norm_cfg: Norm of the projector. Defaults to None, as in GPaCo.

    Raises:
        InputTypeError: An argument is not a number.
        InputValueError: An argument is out of range.

    Example:
        In a head, with two views of four images:

        >>> from mmpretrain.structures import DataSample
        >>> from bcl_mm.models import LongTailHead
        >>> head = LongTailHead(
        ...     num_classes=3,
        ...     in_channels=16,
        ...     classifier='linear',
        ...     loss_cls=None,
        ...     class_counts=[50, 20, 5],
        ...     branches=dict(paco=dict(type='bcl_mm.GPaCo', queue_size=10)),
        ... )
        >>> samples = [DataSample().set_gt_label(y) for y in (0, 0, 0, 1)]
        >>> losses = head.loss((torch.rand(8, 16),), samples)
        >>> list(losses), losses['batch_positives']  # (3 * 2 * 5 + 2 * 1) / 8
        (['loss_paco', 'batch_positives'], tensor(4.))
        >>> head.branches['paco'].queue_labels
        tensor([ 0,  0,  0,  1,  0,  0,  0,  1, -1, -1])
    """

    queue: Tensor
    queue_labels: Tensor
    position: Tensor

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        weight: float = 1.0,
        alpha: float = 0.05,
        beta: float = 1.0,
        gamma: float = 1.0,
        temperature: float = 0.2,
        queue_size: int = 8192,
        smoothing: float = 0.0,
        hidden_channels: int = 512,
        out_channels: int = 128,
        norm_cfg: Optional[dict] = None,
    ) -> None:
        check_number('alpha', alpha, at_least=0)
        check_number('beta', beta, above=0)
        check_number('gamma', gamma, above=0)
        check_number('temperature', temperature, above=0)
        check_number('queue_size', queue_size, at_least=0, whole=True)
        check_number('smoothing', smoothing, at_least=0, below=1)
        super().__init__(
            in_channels, weight, hidden_channels, out_channels, norm_cfg
        )
        self.num_classes = num_classes
        self.prior = LogitAdjustedLoss()
        self.weights = dict(alpha=alpha, beta=beta, gamma=gamma)
        self.temperature = temperature
        self.smoothing = smoothing
        self.register_buffer('queue', torch.zeros(queue_size, out_channels))
        # -1 where the queue has no key yet.
        empty = torch.full((queue_size,), -1)
        self.register_buffer('queue_labels', empty)
        self.register_buffer('position', torch.zeros((), dtype=torch.long))

    def forward(
        self,
        features: Tensor,
        labels: Tensor,
        targets: Tensor,
        head: ClassHead,
        keys: Optional[Tensor] = None,
        **extra: Any,
    ) -> Dict[str, Tensor]:
        """Loss of all views.

        Args:
            features: (V, B, in_channels) of V >= 2 views.
            labels: (B,) integer labels.
            targets: Labels of the classes: the same, or (B, C) soft labels.
                Keys are compared by ``labels``.
            head: The head, whose ``logits()`` are those of the classes.
            keys: (V * B, D) unit-norm keys of the same views, view-major.
                Defaults to None: the anchors.
            **extra: Not used.

        Returns:
            ``loss``, and for the log ``batch_positives``, the mean number of
            an anchor's positives.

        Raises:
            InputValueError: There is one view, or the class counts are
                unknown.
        """
        num_views = len(features)
        if num_views < 2:
            raise InputValueError(
                'GPaCo needs at least 2 views of each image, got 1: use a '
                'pipeline with MultiView'
            )
        rows = features.flatten(0, 1)  # (M, D_in)
        logits = head.logits(rows)
        logits = logits + self.prior.from_counts(logits)
        # View 0 alone may be mixed.
        mixed, hard = (
            soft_targets(y, logits[: len(y)]) for y in (targets, labels)
        )
        soft = torch.cat([mixed, hard.repeat(num_views - 1, 1)])
        spread = self.smoothing / self.num_classes
        soft = (1 - self.smoothing) * soft + spread
        labels = labels.repeat(num_views)  # (M,)
        with torch.autocast(rows.device.type, enabled=False):
            dtype = torch.promote_types(rows.dtype, torch.float32)
            anchors = self.project(rows.to(dtype))
            keys = anchors if keys is None else keys.to(anchors)
            batch_keys, batch_labels = gather(keys), gather(labels)
            keys = torch.cat([batch_keys, self.queue.to(anchors)])
            key_labels = torch.cat([batch_labels, self.queue_labels])
            similarities = product(anchors, keys) / self.temperature  # (M, N)
        own = torch.arange(len(anchors), device=labels.device)
        own = own + get_rank() * len(anchors)
        columns = torch.arange(len(keys), device=labels.device)
        others = (key_labels >= 0) & (columns != own[:, None])
        positives = others & (key_labels == labels[:, None])
        losses = parametric_contrastive_loss(
            logits,
            similarities,
            soft,
            positives,
            others,
            **self.weights,
        )
        if self.training:
            # In the order of one process, view by view: samplers deal the
            # images of a batch out to the processes in turn.
            parts = -1, num_views, len(labels) // num_views
            self._enqueue(
                batch_keys.detach().unflatten(0, parts).movedim(0, 2),
                batch_labels.unflatten(0, parts).movedim(0, 2),
            )
        return dict(
            loss=self.weight * losses.mean(),
            batch_positives=positives.sum(1).float().mean(),
        )

    @torch.no_grad()
    def _enqueue(self, keys: Tensor, labels: Tensor) -> None:
        """Replace the oldest keys of the queue by others, in their order.

        Args:
            keys: (..., D) of all processes.
            labels: (...) integers.
        """
        size = len(self.queue)
        if size == 0:
            return
        keys, labels = keys.flatten(0, -2)[-size:], labels.flatten()[-size:]
        number = torch.arange(len(keys), device=labels.device)
        places = (self.position + number) % size
        self.queue[places] = keys.to(self.queue)
        self.queue_labels[places] = labels
        self.position.copy_((self.position + len(keys)) % size)
