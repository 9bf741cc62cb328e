"""The head of Balanced Contrastive Learning."""

from __future__ import annotations

from typing import Any, List, Optional, Sequence, Tuple

import torch
import torch.nn as nn
from mmpretrain.models.heads import ClsHead
from mmpretrain.structures import DataSample
from torch import Tensor

from bcl_mm.classes import check_class_counts, reconcile_class_counts
from bcl_mm.models.contrast import sample_classes
from bcl_mm.models.layers import ClassVectors, Projector, unit_rows
from bcl_mm.registry import MODELS
from bcl_mm.utils.distributed import gather, rank
from bcl_mm.utils.errors import InputValueError, check_flag, check_number


def _hand_on_loaded_counts(head: BCLHead, incompatible_keys: Any) -> None:
    """Give the losses the counts that a checkpoint brought."""
    head._knows_counts = bool(head.class_counts.any())
    if head._knows_counts:
        for loss in head._losses_with_counts():
            loss.set_class_counts(head.class_counts.cpu().numpy())


@MODELS.register_module()
class BCLHead(ClsHead):
    r"""Classifier, projector and prototypes (Zhu et al., CVPR 2022).

    .. math::
        L = \lambda L_{cls} + \mu L_{con}

    A training batch holds V views of B images, view-major. View 0 is
    classified; the other views enter the contrastive loss, together with one
    prototype per class, projected from the classifier's weight. With
    ``loss_con=None`` neither projector is built, and the head is a plain
    classification head, of every method that BCL is compared with. Testing
    uses plain logits, or adjusts them (``posthoc_tau``).

    Args:
        num_classes: Number of classes C.
        in_channels: Width of the backbone's features.
        classifier: ``'cosine'`` (scaled cosine of feature and class vector,
            no bias) or ``'linear'`` (with bias). Defaults to ``'cosine'``.
        scale: Scale s of the cosine classifier. Defaults to 30.0.
        hidden_channels: Hidden width of the projectors. Defaults to 512.
        out_channels: Output width D of the projectors. Defaults to 128.
        norm_cfg: Norm of the projectors; that of the prototype projector
            runs over the C class rows. Defaults to BatchNorm.
        loss_cls: Classification loss. Defaults to logit adjustment.
        loss_con: Contrastive loss, or None; called as
            :func:`~bcl_mm.models.losses.balanced_contrastive_loss` is.
            Defaults to the balanced contrastive loss.
        cls_weight: Weight :math:`\lambda`. Defaults to 1.0.
        con_weight: Weight :math:`\mu`. Defaults to 0.35.
        class_counts: (C,) training images per class. Defaults to None:
            :class:`~bcl_mm.engine.hooks.ClassComplementHook` counts the data.
        classify_all_views: Classify every view, and average the losses,
            instead of view 0 alone: what more views give without contrast.
            Defaults to False.
        tau_norm: In testing, divide each class vector of a linear classifier
            by the ``tau_norm``-th power of its norm and leave the bias out
            (tau-normalisation, Kang et al., ICLR 2020, Sec. 4.2; 1 for unit
            norm). Defaults to 0.0, off.
        posthoc_tau: In testing, subtract this many times the log of the
            training set's class prior from the logits (post-hoc logit
            adjustment, Menon et al., ICLR 2021, Eq. 9). 1 turns a model of
            plain cross-entropy to a balanced test set; -1 turns one that is
            balanced already (logit adjustment, BCL) to a test set as
            unbalanced as the training set. Defaults to 0.0, off.
        init_cfg: MMEngine's initialisation config. Defaults to None.

    Raises:
        TypeError: An argument is no number, or no bool.
        ValueError: An argument is out of its range.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        classifier: str = 'cosine',
        scale: float = 30.0,
        hidden_channels: int = 512,
        out_channels: int = 128,
        norm_cfg: Optional[dict] = dict(type='BN1d'),
        loss_cls: dict = dict(type='bcl_mm.LogitAdjustedLoss'),
        loss_con: Optional[dict] = dict(type='bcl_mm.BalancedContrastiveLoss'),
        cls_weight: float = 1.0,
        con_weight: float = 0.35,
        class_counts: Optional[Sequence[int]] = None,
        classify_all_views: bool = False,
        tau_norm: float = 0.0,
        posthoc_tau: float = 0.0,
        init_cfg: Optional[dict] = None,
    ) -> None:
        if num_classes == 'from_data':
            raise InputValueError(
                "num_classes='from_data' is for the tools of bcl_mm "
                '(tools/train.py, test.py, ...), which count the classes: '
                'elsewhere take the config that training has written into its '
                'work dir, or give their number'
            )
        check_number('num_classes', num_classes, at_least=2, whole=True)
        check_number('in_channels', in_channels, at_least=1, whole=True)
        check_number(
            'hidden_channels', hidden_channels, at_least=1, whole=True
        )
        check_number('out_channels', out_channels, at_least=1, whole=True)
        check_number('cls_weight', cls_weight, at_least=0)
        check_number('con_weight', con_weight, at_least=0)
        check_number('posthoc_tau', posthoc_tau)
        check_flag('classify_all_views', classify_all_views)
        super().__init__(loss=loss_cls, init_cfg=init_cfg)
        self.num_classes = num_classes
        self.classify_all_views = classify_all_views
        self.posthoc_tau = posthoc_tau
        self.cls_weight = cls_weight
        self.con_weight = con_weight

        self.classifier = ClassVectors(
            in_channels, num_classes, classifier, scale, tau_norm
        )
        if hasattr(self.loss_module, 'set_logit_scale'):
            self.loss_module.set_logit_scale(self.classifier.scale)

        self.loss_con = self.projector = self.prototype_projector = None
        self.set_class_complement(True)
        if loss_con is not None:
            widths = in_channels, hidden_channels, out_channels
            self.loss_con = MODELS.build(loss_con)
            self.projector = Projector(*widths, norm_cfg)
            if getattr(self.loss_con, 'class_complement', True):
                self.prototype_projector = Projector(*widths, norm_cfg)

        # Of fixed size, zeros while unknown: EMA copies the model before the
        # counts are set, and a buffer that is None would be dropped on load.
        self.register_buffer(
            'class_counts', torch.zeros(num_classes, dtype=torch.long)
        )
        self._knows_counts = False  # without a look at the device
        # Counts that the config gives, here or to a loss, are fixed.
        self._given_counts = class_counts
        for loss in self._losses_with_counts():
            if self._given_counts is None:
                self._given_counts = getattr(loss, 'given_counts', None)
        if self._given_counts is not None:
            self._given_counts = check_class_counts(
                self._given_counts, num_classes
            )
            self.set_class_counts(self._given_counts)
        self.register_load_state_dict_post_hook(_hand_on_loaded_counts)

    def _losses_with_counts(self) -> List[nn.Module]:
        losses = self.loss_module, self.loss_con
        return [loss for loss in losses if hasattr(loss, 'set_class_counts')]

    def set_class_counts(self, class_counts: Any) -> None:
        """Take the (C,) training images per class, for the losses too.

        Raises:
            ValueError: They are not C positive numbers, or contradict those
                that the config gives.
        """
        counts = check_class_counts(class_counts, self.num_classes)
        reconcile_class_counts(self._given_counts, counts, type(self).__name__)
        self.class_counts.copy_(torch.as_tensor(counts))
        self._knows_counts = True
        for loss in self._losses_with_counts():
            loss.set_class_counts(counts)

    def set_class_complement(
        self, enabled: bool, num_sampled: Optional[int] = None, seed: int = 0
    ) -> None:
        """Say which classes complement the steps that follow.

        Args:
            enabled: Whether any does.
            num_sampled: How many of those that the batch does not have;
                drawn anew in each step. Defaults to None: all.
            seed: Of the next draw, the same on all ranks; each step takes
                the following one. Defaults to 0.
        """
        check_flag('enabled', enabled)
        if num_sampled is not None:
            check_number('num_sampled', num_sampled, at_least=1, whole=True)
        self.class_complement = enabled
        self.num_sampled = num_sampled
        self._sample_seed = seed

    def forward(self, feats: Tuple[Tensor]) -> Tensor:
        """Logits (rows, C) of all rows of the last feature stage, for testing.

        Raises:
            ValueError: ``posthoc_tau`` is set, and the class counts are not
                known.
        """
        logits = self.classifier(self.pre_logits(feats))
        if self.posthoc_tau:
            logits = logits - self.posthoc_tau * self.log_prior()
        return logits

    def log_prior(self) -> Tensor:
        """(C,) log of the class prior, float32.

        Raises:
            ValueError: The class counts are not known.
        """
        if not self._knows_counts:
            raise InputValueError(
                'posthoc_tau needs class_counts, the number of training '
                'images per class, and the checkpoint has none: give '
                'model.head.class_counts=[...]'
            )
        return self.class_counts.log() - self.class_counts.sum().log()

    def project(self, features: Tensor) -> Tensor:
        """Unit-norm projections (rows, D) of features (rows, in_channels)."""
        return unit_rows(self.projector(features))

    def prototypes(self, classes: Optional[Tensor] = None) -> Tensor:
        """Unit-norm prototypes (S, D) of ``classes`` (S,), or of all (C, D).

        The classifier's weight enters as it is, not normalised and not
        detached, with a cosine classifier too (as the reference does).
        """
        weight = self.classifier.weight
        if classes is not None:
            weight = weight[classes]
        return unit_rows(self.prototype_projector(weight))

    def loss(
        self, feats: Tuple[Tensor], data_samples: List[DataSample], **kwargs
    ) -> dict:
        """Losses of a batch of V views.

        Args:
            feats: Feature stages; the last is (V * B, in_channels),
                view-major.
            data_samples: B samples with ``gt_label``, and ``gt_score`` where
                the labels are soft.

        Returns:
            ``loss_cls``; with a contrastive loss ``loss_con`` and, for the
            log, ``batch_classes``, the number of classes that the global
            batch has of itself, and ``batch_coverage``, their share of all
            (0 to 1; class-complement brings the rest).

        Raises:
            ValueError: The rows are no whole number of views, fewer than two
                contrastive views meet a contrastive loss, or ``tau_norm`` is
                set.
        """
        if self.classifier.tau_norm:
            raise InputValueError(
                'tau_norm changes a classifier that has been trained: train '
                'with tau_norm=0, then test with it'
            )
        features = self.pre_logits(feats)  # (V * B, in_channels)
        batch_size = len(data_samples)
        num_views, rest = divmod(len(features), batch_size)
        if rest:
            raise InputValueError(
                f'{len(features)} rows of features are no whole number of '
                f'views of {batch_size} images'
            )
        labels = torch.cat([sample.gt_label for sample in data_samples])
        if 'gt_score' in data_samples[0]:
            targets = torch.stack([s.gt_score for s in data_samples])
        else:
            targets = labels
        classified = num_views if self.classify_all_views else 1
        logits = self.classifier(features[: classified * batch_size])
        targets = torch.cat([targets] * classified)
        loss_cls = self.loss_module(
            logits, targets, avg_factor=len(targets), **kwargs
        )
        losses = dict(loss_cls=self.cls_weight * loss_cls)
        if self.loss_con is not None:
            if num_views < 3:
                raise InputValueError(
                    'a contrastive loss needs at least 2 contrastive views '
                    'beside view 0, which is classified: 3 views of each '
                    f'image, got {num_views}. Use a pipeline with MultiView '
                    '(in the configs, three_views)'
                )
            losses.update(self._contrast(features, labels))
        return losses

    def _contrast(self, features: Tensor, labels: Tensor) -> dict:
        batch_size = len(labels)
        # All rows pass the projector, as in the reference: its BatchNorm
        # sees view 0 too.
        anchors = self.project(features)[batch_size:]  # (M, D)
        num_anchors = len(anchors)
        labels = labels.repeat(num_anchors // batch_size)  # (M,)
        key_labels = gather(labels)
        present = anchors.new_zeros(self.num_classes)
        present.scatter_(0, key_labels, 1)
        prototypes, of_sample = None, {}
        if self.prototype_projector is not None:
            classes = None
            if self.num_sampled is not None:
                num_images = batch_size * len(key_labels) // num_anchors
                generator = torch.Generator(anchors.device)
                generator.manual_seed(self._sample_seed)
                self._sample_seed += 1
                classes, log_weights = sample_classes(
                    present,
                    min(num_images + self.num_sampled, self.num_classes),
                    self.num_sampled,
                    generator,
                )
                of_sample = dict(
                    prototype_labels=classes, prototype_log_weights=log_weights
                )
            prototypes = self.prototypes(classes)
        complement = self.class_complement and prototypes is not None
        loss = self.loss_con(
            anchors,
            labels,
            prototypes if complement else None,
            keys=gather(anchors),
            key_labels=key_labels,
            anchor_start=rank() * num_anchors,
            **(of_sample if complement else {}),
        )
        if prototypes is not None and not complement:
            # DDP waits for the gradient of every parameter: what is off only
            # for a while stays in the graph.
            loss = loss + 0 * prototypes.sum()
        return dict(
            loss_con=self.con_weight * loss,
            batch_classes=present.sum(),
            batch_coverage=present.mean(),
        )
