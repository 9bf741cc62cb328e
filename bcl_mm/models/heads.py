"""The head of all methods, and its preset for BCL."""

from __future__ import annotations

from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    List,
    Optional,
    Sequence,
    Tuple,
)

import torch
import torch.nn as nn
from mmpretrain.models.heads import ClsHead
from mmpretrain.structures import DataSample
from torch import Tensor

from bcl_mm.classes import ClassInfo
from bcl_mm.models.layers import ClassVectors
from bcl_mm.registry import MODELS
from bcl_mm.utils.distributed import require_whole
from bcl_mm.utils.errors import (
    InputTypeError,
    InputValueError,
    check_flag,
    check_number,
    shown,
)
from bcl_mm.utils.labels import (
    class_labels,
    class_targets,
    sample_labels,
    soft_labels,
)
from bcl_mm.utils.modules import given_info, set_class_info
from bcl_mm.utils.protocols import Projects, TakesLogitScale

# What MMEngine logs of an iteration, under the names of the losses' logs.
_LOGGED = 'lr', 'base_lr', 'time', 'data_time', 'memory', 'grad_norm'


def _take_loaded_counts(head: LongTailHead, incompatible_keys: Any) -> None:
    """Give losses and branches the counts that a checkpoint brought."""
    head._knows_counts = bool(head.class_counts.any())
    if head._knows_counts:
        info = ClassInfo(head.class_counts.cpu().numpy())
        for part in head.children():
            set_class_info(part, info)


def _check_results(name: str, results: Any, taken: Iterable[str]) -> None:
    """Raise an error if a branch breaks the contract for its results."""
    if not isinstance(results, dict) or 'loss' not in results:
        raise InputTypeError(
            f'branch {name!r} must return dict(loss=scalar, **logs), got '
            f'{shown(results)}'
        )
    for key, value in results.items():
        if not isinstance(value, Tensor) or value.ndim:
            raise InputTypeError(
                f'branch {name!r} must return tensors of no dimension, got '
                f'{key}={shown(value)}'
            )
        if key != 'loss' and ('loss' in key or key in (*taken, *_LOGGED)):
            raise InputValueError(
                f'branch {name!r} logs {key!r}: the name of a log must be '
                'free and must not contain "loss", which MMEngine would add '
                'to the total'
            )


@MODELS.register_module()
class LongTailHead(ClsHead):
    r"""Classifier, classification loss and branches.

    .. math::
        L = \lambda L_{cls} + \sum_b L_b

    A training batch holds V views of B images, view-major. View 0 is
    classified, and every branch gets all views. Testing uses plain logits,
    or adjusts them (``posthoc_tau``); it never uses a branch.

    A method that needs another classifier or loss overrides
    :meth:`build_classifier`, :meth:`logits`, :meth:`classification_loss` or
    :meth:`targets`. A loss beside the classification loss is a branch: a
    registered module that is built with ``num_classes`` and ``in_channels``
    and called as ``forward(features (V, B, in_channels), labels (B,),
    targets, head, **extra) -> dict(loss=scalar, **logs)``.

    Args:
        num_classes: Number of classes C.
        in_channels: Width of the backbone's features.
        classifier: ``'cosine'`` (scaled cosine of feature and class vector,
            no bias) or ``'linear'`` (with bias). Defaults to ``'cosine'``.
        scale: Scale s of the cosine classifier. Defaults to 30.0.
        loss_cls: Classification loss; None if a branch or an overridden
            :meth:`classification_loss` replaces it. Defaults to logit
            adjustment.
        cls_weight: Weight :math:`\lambda`. Defaults to 1.0.
        branches: Name -> config of a branch, or None for a branch that is
            switched off. The loss of a branch is logged as ``loss_<name>``.
            Defaults to no branches.
        class_counts: (C,) training images per class. Defaults to None:
            :class:`~bcl_mm.engine.hooks.ClassInfoHook` counts the data.
        classify_all_views: Classify every view, and average the losses,
            instead of view 0 alone: the effect of more views without
            contrast. Defaults to False.
        tau_norm: In testing, divide each class vector of a linear classifier
            by the ``tau_norm``-th power of its norm and leave the bias out
            (tau-normalisation, Kang et al., ICLR 2020, Sec. 4.2; 1 for unit
            norm). Defaults to 0.0, off.
        posthoc_tau: In testing, subtract this many times the log of the
            training set's class prior from the logits (post-hoc logit
            adjustment, Menon et al., ICLR 2021, Eq. 9). 1 adapts a model of
            plain cross-entropy to a balanced test set; -1 adapts a balanced
            model (logit adjustment, BCL) to a test set as unbalanced as the
            training set. Defaults to 0.0, off.
        init_cfg: MMEngine's initialisation config. Defaults to None.

    Raises:
        InputTypeError: An argument is not a number, or not a bool.
        InputValueError: An argument is out of range.

    Example:
        One view of four images of two classes:

        >>> head = LongTailHead(2, in_channels=8, class_counts=[90, 10])
        >>> samples = [DataSample().set_gt_label(y) for y in (0, 0, 0, 1)]
        >>> losses = head.loss((torch.ones(4, 8),), samples)
        >>> list(losses), losses['loss_cls'].shape
        (['loss_cls'], torch.Size([]))
        >>> head.logits(torch.ones(4, 8)).shape
        torch.Size([4, 2])
        >>> head.log_prior().exp()
        tensor([0.9000, 0.1000])
    """

    loss_module: Optional[nn.Module]
    class_counts: Tensor

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        classifier: str = 'cosine',
        scale: float = 30.0,
        loss_cls: Optional[dict] = dict(type='bcl_mm.LogitAdjustedLoss'),
        cls_weight: float = 1.0,
        branches: Optional[Dict[str, Optional[dict]]] = None,
        class_counts: Optional[Sequence[int]] = None,
        classify_all_views: bool = False,
        tau_norm: float = 0.0,
        posthoc_tau: float = 0.0,
        init_cfg: Optional[dict] = None,
    ) -> None:
        if num_classes == 'from_data':
            raise InputValueError(
                "num_classes='from_data' works with the commands of bcl_mm "
                '(bcl-mm train, test, ...), which count the classes: '
                'elsewhere use the config that training has written into its '
                'work dir, or give the number'
            )
        check_number('num_classes', num_classes, at_least=2, whole=True)
        check_number('in_channels', in_channels, at_least=1, whole=True)
        check_number('cls_weight', cls_weight, at_least=0)
        check_number('posthoc_tau', posthoc_tau)
        check_flag('classify_all_views', classify_all_views)
        super().__init__(
            loss=nn.Identity() if loss_cls is None else loss_cls,
            init_cfg=init_cfg,
        )
        if loss_cls is None:
            self.loss_module = None
        self.num_classes = num_classes
        self.in_channels = in_channels
        self.classifier_kind = classifier
        self.scale = scale
        self.classify_all_views = classify_all_views
        self.tau_norm = tau_norm
        self.posthoc_tau = posthoc_tau
        self.cls_weight = cls_weight
        # (N,) labels or (N, C) soft labels -> (N,) weights in loss_cls.
        self.sample_weights: Optional[Callable[[Tensor], Tensor]] = None

        self.classifier: nn.Module = self.build_classifier()
        if isinstance(self.loss_module, TakesLogitScale):
            logit_scale = getattr(self.classifier, 'scale', None)
            self.loss_module.set_logit_scale(logit_scale)
        sizes = dict(num_classes=num_classes, in_channels=in_channels)
        self.branches = nn.ModuleDict()
        if not isinstance(branches or {}, dict):
            raise InputTypeError(
                'branches must be a dict, NAME -> dict(type=...), got '
                f'{branches!r}'
            )
        for name, config in (branches or {}).items():
            if not isinstance(config, (dict, type(None))):
                raise InputTypeError(
                    f'branches.{name} must be a dict or None, got {config!r}'
                )
            if name == 'cls':
                raise InputValueError(
                    "a branch must not be called 'cls': loss_cls is the "
                    'classification loss'
                )
            if config is not None:
                self.branches[name] = MODELS.build({**config, **sizes})

        # Of fixed size, zeros while unknown: EMA copies the model before the
        # counts are set, and a buffer that is None would be dropped on load.
        unknown = torch.zeros(num_classes, dtype=torch.long)
        self.register_buffer('class_counts', unknown)
        self._knows_counts = False  # without a device sync
        # What the config gives, here or to a loss, must hold.
        if class_counts is not None:
            self.given_info = ClassInfo(class_counts)
        self.given_info = given_info(self)
        if self.given_info is not None:
            set_class_info(self, self.given_info)
        self.register_load_state_dict_post_hook(_take_loaded_counts)

    def build_classifier(self) -> nn.Module:
        """Build the module that :meth:`logits` calls, of any kind."""
        sizes = self.in_channels, self.num_classes
        kind = self.classifier_kind
        return ClassVectors(*sizes, kind, self.scale, self.tau_norm)

    def logits(self, rows: Tensor) -> Tensor:
        """Logits (rows, C) of features (rows, in_channels)."""
        return self.classifier(rows)

    def class_vectors(self) -> Tensor:
        """(C, in_channels) one vector per class, with its gradient.

        Raises:
            InputTypeError: The classifier has no such weight.
            InputValueError: It is sharded, and read outside ``loss``.
        """
        weight = getattr(self.classifier, 'weight', None)
        if weight is None:
            raise InputTypeError(
                f'{type(self.classifier).__name__} has no weight of one row '
                f'per class: {type(self).__name__} must define '
                'class_vectors()'
            )
        require_whole(weight, f'{type(self).__name__}.class_vectors()')
        return weight

    @property
    def projection(self) -> Optional[Projects]:
        """The first branch with ``project(features)``, None without one."""
        branches = self.branches.values()
        return next((b for b in branches if isinstance(b, Projects)), None)

    def classification_loss(self, features: Tensor, targets: Tensor) -> Tensor:
        """Classification loss, a scalar.

        Args:
            features: (N, in_channels) of the views that are classified.
            targets: (N,) labels or (N, C) soft labels.
        """
        return self.mean_loss(self.logits(features), targets)

    def mean_loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean of ``loss_cls`` over the samples, a scalar.

        ``sample_weights``, where it is set, weighs them; the divisor stays
        their number.
        """
        options: Dict[str, Any] = dict(avg_factor=len(targets))
        if self.sample_weights is not None:
            options['weight'] = self.sample_weights(targets)
        assert self.loss_module is not None, 'loss_cls is None'
        return self.loss_module(logits, targets, **options)

    def targets(self, data_samples: List[DataSample]) -> Tensor:
        """(B,) labels; (B, C) soft labels if any sample has ``gt_score``.

        Raises:
            InputTypeError: A label is not an integer.
            InputValueError: A sample has not one label, a ``gt_score`` is not
                of shape (C,), or, on a CPU, a label is out of range.
        """
        labels = sample_labels(data_samples)
        labels, _ = class_labels(labels, self.num_classes)
        if any('gt_score' in sample for sample in data_samples):
            return soft_labels(data_samples, labels, self.num_classes)
        return labels

    def set_class_info(self, info: ClassInfo) -> None:
        """Take the training set's class counts and names.

        Raises:
            InputValueError: They are not those of ``num_classes`` classes,
                or contradict the config.
        """
        info.require_num_classes(self.num_classes)
        info.require_same(self.given_info, type(self).__name__)
        self.class_counts.copy_(torch.as_tensor(info.counts))
        self._knows_counts = True

    def forward(self, feats: Tuple[Tensor]) -> Tensor:
        """Logits (rows, C) of all rows of the last feature stage, for testing.

        Raises:
            InputValueError: ``posthoc_tau`` is set, and the class counts are
                unknown.
        """
        logits = self.logits(self._rows(feats))
        if self.posthoc_tau:
            logits = logits - self.posthoc_tau * self.log_prior()
        return logits

    def _rows(self, feats: Tuple[Tensor]) -> Tensor:
        """(rows, in_channels) of the last feature stage.

        Raises:
            InputValueError: It has another shape.
        """
        features = self.pre_logits(feats)
        if features.shape[1:] != (self.in_channels,):
            raise InputValueError(
                'the backbone (or neck) must give features of shape (rows, '
                f'in_channels={self.in_channels}), got '
                f'{tuple(features.shape)}: set model.head.in_channels, or '
                'add a neck such as GlobalAveragePooling'
            )
        return features

    def log_prior(self) -> Tensor:
        """(C,) log of the class prior, float32.

        Raises:
            InputValueError: The class counts are unknown.
        """
        if not self._knows_counts:
            raise InputValueError(
                'the class prior (of posthoc_tau or Focal-SAM) needs '
                'class_counts, the number of training images per class, and '
                'the checkpoint has none: give model.head.class_counts=[...]'
            )
        return self.class_counts.log() - self.class_counts.sum().log()

    def loss(
        self,
        feats: Tuple[Tensor],
        data_samples: List[DataSample],
        **extra: Any,
    ) -> Dict[str, Tensor]:
        """Losses of a batch of V views.

        Args:
            feats: Feature stages; the last is (V * B, in_channels),
                view-major.
            data_samples: B samples with ``gt_label``, and ``gt_score`` where
                the labels are soft.
            **extra: Passed on to the branches by a classifier of its own
                kind.

        Returns:
            ``loss_cls``, ``loss_<name>`` of each branch, and the branches'
            logs.

        Raises:
            InputTypeError: The labels are not integers, or a branch does not
                return a loss and logs of no dimension.
            InputValueError: The batch is empty, a sample has not one label, a
                shape does not fit, there is no loss, a log name is taken or
                contains "loss", ``tau_norm`` is set, or, on a CPU, a label
                is out of range (on a GPU, the losses are NaN).
        """
        if self.tau_norm:
            raise InputValueError(
                'tau_norm changes a classifier that has been trained: train '
                'with tau_norm=0, then test with it'
            )
        labels = sample_labels(data_samples)
        labels, factor = class_labels(labels, self.num_classes)
        batch_size = len(labels)
        features = self._rows(feats)  # (V * B, in_channels)
        num_views, rest = divmod(len(features), batch_size)
        if rest or not num_views:
            raise InputValueError(
                f'{len(features)} rows of features are not a whole number of '
                f'views of {batch_size} images'
            )
        shape = torch.Size([batch_size, self.num_classes])
        targets = self.targets(data_samples)
        targets, own_factor = class_targets(targets, shape, features.dtype)
        factor = factor * own_factor
        losses = {}
        if self._has_classification_loss:
            classified = num_views if self.classify_all_views else 1
            rows = features[: classified * batch_size]
            repeated = torch.cat([targets] * classified)
            loss_cls = self.classification_loss(rows, repeated)
            losses['loss_cls'] = self.cls_weight * loss_cls * factor
        if self.branches:
            views = features.unflatten(0, (num_views, batch_size))
        for name, branch in self.branches.items():
            results = branch(views, labels, targets, self, **extra)
            _check_results(name, results, taken=losses)
            for key, value in results.items():
                if key == 'loss':
                    losses[f'loss_{name}'] = value * factor
                else:
                    # MMEngine takes its mean, which integers do not have.
                    losses[key] = value.detach().float()
        if not losses:
            raise InputValueError(
                f'{type(self).__name__} has no loss to train with: give '
                'loss_cls or a branch, or override classification_loss'
            )
        return losses

    @property
    def _has_classification_loss(self) -> bool:
        own = getattr(self.classification_loss, '__func__', None)
        is_base = own is LongTailHead.classification_loss
        return self.loss_module is not None or not is_base


@MODELS.register_module()
class BCLHead(LongTailHead):
    r"""Head of BCL (Zhu et al., CVPR 2022).

    .. math::
        L = \lambda L_{cls} + \mu L_{con}

    :class:`LongTailHead` with a
    :class:`~bcl_mm.models.contrast.PrototypeContrast` named ``con``. With
    ``loss_con=None`` it is a plain classification head.

    Args:
        num_classes: Number of classes C.
        in_channels: Width of the backbone's features.
        loss_con: Contrastive loss, or None. Defaults to the balanced
            contrastive loss.
        con_weight: Weight :math:`\mu`. Defaults to 0.35.
        hidden_channels, out_channels, norm_cfg: Of the projectors, see
            :class:`~bcl_mm.models.contrast.PrototypeContrast`.
        branches: More branches. Defaults to none.
        **kwargs: Other arguments of :class:`LongTailHead`.

    Raises:
        InputTypeError: An argument is not a number, or not a bool.
        InputValueError: An argument is out of range.

    Example:
        Three views of two images:

        >>> head = BCLHead(4, in_channels=8, class_counts=[9, 3, 2, 1])
        >>> samples = [DataSample().set_gt_label(y) for y in (0, 2)]
        >>> losses = head.loss((torch.rand(6, 8),), samples)
        >>> list(losses)
        ['loss_cls', 'loss_con', 'batch_classes', 'batch_coverage']
        >>> losses['batch_coverage']  # two of four classes
        tensor(0.5000)
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        *,
        loss_con: Optional[dict] = dict(type='bcl_mm.BalancedContrastiveLoss'),
        con_weight: float = 0.35,
        hidden_channels: int = 512,
        out_channels: int = 128,
        norm_cfg: Optional[dict] = dict(type='BN1d'),
        branches: Optional[Dict[str, Optional[dict]]] = None,
        **kwargs: Any,
    ) -> None:
        check_number('con_weight', con_weight, at_least=0)
        contrast = dict(
            type='bcl_mm.PrototypeContrast',
            loss=loss_con,
            weight=con_weight,
            hidden_channels=hidden_channels,
            out_channels=out_channels,
            norm_cfg=norm_cfg,
        )
        con = None if loss_con is None else contrast
        if isinstance(branches or {}, dict):
            branches = dict(con=con, **(branches or {}))
        super().__init__(num_classes, in_channels, branches=branches, **kwargs)
