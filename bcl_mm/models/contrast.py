"""The contrastive branch of BCL: prototypes complement the classes."""

from __future__ import annotations

from functools import partial
from typing import Any, Dict, Optional, Tuple

import torch
from mmengine.dist import get_rank
from torch import Tensor, nn

from bcl_mm.models.layers import Projector, unit_rows
from bcl_mm.registry import MODELS
from bcl_mm.utils.distributed import gather
from bcl_mm.utils.errors import InputValueError, check_flag, check_number
from bcl_mm.utils.protocols import ClassHead


def sample_classes(
    present: Tensor,
    num_slots: int,
    num_sampled: int,
    scores: Optional[Tensor] = None,
) -> Tuple[Tensor, Tensor]:
    r"""The classes of a batch, and some of the absent ones.

    With C classes, of which the batch has P, each of the K sampled ones
    stands for :math:`(C - P) / K` of the absent ones: for given prototypes,
    the expected denominator of the balanced contrastive loss is that of all
    classes. Of at most C - P absent classes none is drawn twice, and with
    :math:`K \ge C - P` all are there, with weight 1.

    There is no device sync, and no shape depends on the labels: slots that
    the batch does not need are empty.

    Args:
        present: (C,) non-zero where the batch has the class.
        num_slots: Number of slots S <= C; P + K fit in, or all classes.
        num_sampled: Number K of absent classes.
        scores: (C,) uniform in [0, 1): the absent classes with the highest
            are drawn, the same on all ranks that have the same. Defaults to
            None: drawn here.

    Returns:
        (S,) classes, and their (S,) log weights in the denominator: 0 for
        those of the batch, :math:`\log((C - P) / K)` for the sampled, -inf
        for empty slots (which hold further absent classes).
    """
    is_present = (present != 0).float()
    if scores is None:
        scores = torch.rand(present.shape, device=present.device)
    slots = (scores + 2 * is_present).topk(num_slots).indices  # (S,)
    num_present = is_present.sum()
    num_absent = len(present) - num_present
    position = torch.arange(num_slots, device=present.device)
    share = num_absent.clamp(min=1) / num_absent.clamp(1, num_sampled)
    log_weights = torch.where(position < num_present, 0, share.log())
    is_empty = position >= num_present + num_sampled
    return slots, log_weights.masked_fill(is_empty, -torch.inf)


def simplex(num_classes: int, dim: int) -> Tensor:
    """Unit vectors (C, D), each pair with the cosine -1 / (C - 1).

    A simplex equiangular tight frame, as in Papyan et al. (PNAS 2020).

    Raises:
        InputValueError: ``dim`` is below C - 1: there is none.
    """
    if dim < num_classes - 1:
        raise InputValueError(
            f'a simplex of {num_classes} classes needs out_channels >= '
            f'{num_classes - 1}, got {dim}'
        )
    eye = torch.eye(num_classes, dtype=torch.float64)
    eye[:, 0] = 1
    # Orthonormal columns, the first of which is constant.
    corners = torch.linalg.qr(eye).Q[:, 1:]
    corners = nn.functional.normalize(corners, dim=1).float()
    return nn.functional.pad(corners, (0, dim - num_classes + 1))


class ProjectedBranch(nn.Module):
    """Base class of branches with a projector.

    Args:
        in_channels: Width of the features.
        weight: Weight of the loss.
        hidden_channels: Hidden width of the projector.
        out_channels: Output width D of the projector.
        norm_cfg: Norm of the projector; None for none.

    Raises:
        InputTypeError: An argument is not a number.
        InputValueError: An argument is out of range.
    """

    def __init__(
        self,
        in_channels: int,
        weight: float,
        hidden_channels: int,
        out_channels: int,
        norm_cfg: Optional[dict],
    ) -> None:
        super().__init__()
        check_number('weight', weight, at_least=0)
        check_size = partial(check_number, at_least=1, whole=True)
        check_size('hidden_channels', hidden_channels)
        check_size('out_channels', out_channels)
        self.weight = weight
        widths = in_channels, hidden_channels, out_channels
        self.projector = Projector(*widths, norm_cfg)

    def project(self, features: Tensor) -> Tensor:
        """Unit-norm projections (rows, D) of features (rows, in_channels)."""
        return unit_rows(self.projector(features))


class ViewContrast(ProjectedBranch):
    """Base class of branches that contrast the views beside view 0."""

    def anchors(self, features: Tensor) -> Tensor:
        """Projections (M, D) of the contrastive views, view-major.

        All rows pass the projector, as in BCL's reference: its BatchNorm
        sees view 0 too.

        Args:
            features: (V, B, in_channels) of V >= 3 views; M is (V - 1) * B.

        Raises:
            InputValueError: There are fewer than two contrastive views.
        """
        num_views, batch_size = features.shape[:2]
        if num_views < 3:
            raise InputValueError(
                'a contrastive loss needs at least 2 contrastive views '
                'beside view 0, which is classified: 3 views of each '
                f'image, got {num_views}. Use a pipeline with MultiView '
                '(in the configs, three_views)'
            )
        return self.project(features.flatten(0, 1))[batch_size:]


@MODELS.register_module()
class PrototypeContrast(ViewContrast):
    r"""The contrastive branch of BCL (Zhu et al., CVPR 2022, Eq. 7).

    The views beside view 0 are projected and contrasted with each other and
    with one prototype per class, which is projected from the head's class
    vectors (class-complement). Views of all ranks are keys.

    Args:
        num_classes: Number of classes C.
        in_channels: Width of the features.
        loss: Contrastive loss, called as
            :func:`~bcl_mm.models.losses.balanced_contrastive_loss` is.
            Defaults to the balanced contrastive loss.
        weight: Weight :math:`\mu` of the loss. Defaults to 0.35.
        hidden_channels: Hidden width of the projectors. Defaults to 512.
        out_channels: Output width D of the projectors. Defaults to 128.
        norm_cfg: Norm of the projectors; that of the prototype projector
            runs over the C class rows. Defaults to BatchNorm.
        fixed_prototypes: Let prototypes be the corners of a :func:`simplex`,
            which training does not move, instead of projected class vectors:
            an ablation. Defaults to False.

    Raises:
        InputTypeError: An argument is not a number.
        InputValueError: An argument is out of range.

    Example:
        Three views of four images; the head has five classes:

        >>> from bcl_mm.models import LongTailHead
        >>> head = LongTailHead(num_classes=5, in_channels=16)
        >>> branch = PrototypeContrast(num_classes=5, in_channels=16)
        >>> labels = torch.tensor([0, 0, 1, 2])
        >>> result = branch(torch.rand(3, 4, 16), labels, labels, head)
        >>> result['loss'].shape, result['batch_classes']
        (torch.Size([]), tensor(3.))
        >>> branch.prototypes(head.class_vectors()).shape
        torch.Size([5, 128])
    """

    corners: Optional[Tensor]

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        loss: dict = dict(type='bcl_mm.BalancedContrastiveLoss'),
        weight: float = 0.35,
        hidden_channels: int = 512,
        out_channels: int = 128,
        norm_cfg: Optional[dict] = dict(type='BN1d'),
        fixed_prototypes: bool = False,
    ) -> None:
        check_flag('fixed_prototypes', fixed_prototypes)
        super().__init__(
            in_channels, weight, hidden_channels, out_channels, norm_cfg
        )
        self.num_classes = num_classes
        self.loss = MODELS.build(loss)
        self.prototype_projector: Optional[Projector] = None
        corners = None
        if fixed_prototypes:
            corners = simplex(num_classes, out_channels)
        elif getattr(self.loss, 'class_complement', True):
            widths = in_channels, hidden_channels, out_channels
            self.prototype_projector = Projector(*widths, norm_cfg)
        self.register_buffer('corners', corners)
        self.set_class_complement(True)

    def set_class_complement(
        self, enabled: bool, num_sampled: Optional[int] = None, seed: int = 0
    ) -> None:
        """Say which classes complement the steps that follow.

        Args:
            enabled: Whether any class does.
            num_sampled: Number of classes to draw, in each step, from those
                that the batch does not have. Defaults to None: all.
            seed: Seed of the draw, the same on all ranks.
                :class:`~bcl_mm.engine.hooks.ClassComplementHook` gives each
                iteration another. Defaults to 0.
        """
        check_flag('enabled', enabled)
        if num_sampled is not None:
            check_number('num_sampled', num_sampled, at_least=1, whole=True)
        self.class_complement = enabled
        self.num_sampled = num_sampled
        self._scores = torch.empty(0)
        if num_sampled is not None:
            # Here and not in the step, where neither a generator nor a seed
            # that changes can be compiled.
            device = next(self.projector.parameters()).device
            generator = torch.Generator(device).manual_seed(seed)
            self._scores = torch.rand(
                self.num_classes, generator=generator, device=device
            )

    def prototypes(self, class_vectors: Tensor) -> Tensor:
        """Unit-norm prototypes (S, D) of class vectors (S, in_channels).

        The classifier's weight enters as it is, not normalised and not
        detached, with a cosine classifier too (as in the reference).
        """
        assert self.prototype_projector is not None
        return unit_rows(self.prototype_projector(class_vectors))

    def forward(
        self,
        features: Tensor,
        labels: Tensor,
        targets: Tensor,
        head: ClassHead,
        **extra: Any,
    ) -> Dict[str, Tensor]:
        """Loss of the contrastive views.

        Args:
            features: (V, B, in_channels) of V >= 3 views.
            labels: (B,) integer labels.
            targets: Not used: the contrast needs hard labels.
            head: The head, whose ``class_vectors()`` become prototypes.
            **extra: Not used.

        Returns:
            ``loss``; and for the log ``batch_classes``, the number of
            classes in the global batch, and ``batch_coverage``, their share
            of all (0 to 1; class-complement adds the rest).

        Raises:
            InputValueError: There are fewer than two contrastive views.
        """
        num_views, batch_size = features.shape[:2]
        anchors = self.anchors(features)  # (M, D)
        labels = labels.repeat(num_views - 1)  # (M,)
        key_labels = gather(labels)
        present = anchors.new_zeros(self.num_classes)
        present.scatter_(0, key_labels, 1)
        prototypes, sampled = None, {}
        if self.corners is not None or self.prototype_projector is not None:
            if self.num_sampled is not None:
                num_images = batch_size * len(key_labels) // len(anchors)
                sampled = self._sample(present, num_images, self.num_sampled)
            classes = sampled.get('prototype_labels', slice(None))
            if self.corners is not None:
                prototypes = self.corners[classes].to(anchors)
            else:
                prototypes = self.prototypes(head.class_vectors()[classes])
        complement = self.class_complement and prototypes is not None
        loss = self.loss(
            anchors,
            labels,
            prototypes if complement else None,
            keys=gather(anchors),
            key_labels=key_labels,
            anchor_start=get_rank() * len(anchors),
            **(sampled if complement else {}),
        )
        if prototypes is not None and not complement:
            # DDP waits for the gradient of every parameter: what is off only
            # for a while stays in the graph.
            loss = loss + 0 * prototypes.sum()
        return dict(
            loss=self.weight * loss,
            batch_classes=present.sum(),
            batch_coverage=present.mean(),
        )

    def _sample(
        self, present: Tensor, num_images: int, num_sampled: int
    ) -> Dict[str, Tensor]:
        """Draw the classes that complement a batch of ``num_images``."""
        slots = min(num_images + num_sampled, self.num_classes)
        scores = self._scores.to(present.device, non_blocking=True)
        drawn = sample_classes(present, slots, num_sampled, scores)
        return dict(zip(('prototype_labels', 'prototype_log_weights'), drawn))
