"""Distance of the features of a test set from a regular simplex."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from mmengine import dist
from mmengine.evaluator import BaseMetric
from torch import Tensor, nn

from bcl_mm.evaluation.moments import (
    ClassMoments,
    neural_collapse,
    simplex_figures,
)
from bcl_mm.registry import METRICS
from bcl_mm.utils.distributed import require_whole
from bcl_mm.utils.errors import InputValueError
from bcl_mm.utils.labels import sample_labels
from bcl_mm.utils.modules import projection_of
from bcl_mm.utils.protocols import MakesPrototypes


def _array(rows: Tensor) -> np.ndarray:
    return rows.detach().cpu().double().numpy()


def _reference_vectors(
    head: Any, num_classes: int, dim: int
) -> Dict[str, np.ndarray]:
    """Class vectors of a head's classifier, and its prototypes."""
    vectors = {}
    classifier = getattr(head, 'classifier', getattr(head, 'fc', None))
    weight = getattr(classifier, 'weight', None)
    if isinstance(weight, Tensor) and weight.shape == (num_classes, dim):
        # The norm of a cosine classifier's class vectors has no effect.
        is_cosine = getattr(classifier, 'scale', None) is not None
        rows = F.normalize(weight, dim=1) if is_cosine else weight
        vectors['features'] = rows
    projection = projection_of(head)
    projector = getattr(projection, 'prototype_projector', None)
    if projector is not None and isinstance(projection, MakesPrototypes):
        vectors['projected'] = projection.prototypes(head.class_vectors())
    return {name: _array(rows) for name, rows in vectors.items()}


@METRICS.register_module()
class SimplexGeometry(BaseMetric):
    r"""Distance of features from a regular simplex: neural collapse.

    Balanced contrastive learning aims to give each class, however small, a
    corner of one regular simplex: the cosine of any two classes is
    :math:`-1 / (C - 1)`. On the images of a test set this metric measures
    ``features`` (the backbone's, as they reach the classifier, against the
    class vectors of the classifier), ``projected`` (the projections of a
    branch such as :class:`~bcl_mm.models.PrototypeContrast`, against its
    prototypes) and ``prototypes`` (by themselves):

    =========================  ==========================  ==================
    emitted, ``geometry/``     what                        of
    =========================  ==========================  ==================
    ``*_nc1``                  scatter within classes      features,
                               against that between them   projected
    ``*_nc2_norms``            spread of the lengths of    features,
                               class means                 projected,
                                                           prototypes
    ``*_nc2_angles``           distance of their cosines   the same
                               from the simplex's, mean
    ``*_nc2_angles_std``       spread of their cosines     the same
    ``*_nc3``                  distance of class means     features,
                               from class vectors or       projected
                               prototypes
    ``*_cosine_mean_gap``      mean cosine, not centred,   features,
                               above :math:`-1 / (C - 1)`  projected,
                                                           prototypes
    ``*_cosine_std``           spread of these cosines     the same
    =========================  ==========================  ==================

    All are 0 for a simplex without scatter. The formulas are those of
    :func:`~bcl_mm.evaluation.neural_collapse` and
    :func:`~bcl_mm.evaluation.simplex_figures`. Classes without test images are
    left out, as are figures that are undefined or that a head does not have:
    without a contrastive loss nothing is projected. A cosine classifier's
    class vectors are taken with unit norm, those of a linear one
    (``head.classifier`` or ``head.fc``) as they are, without ``tau_norm``.
    The projectors' batch norm uses its running statistics, as everywhere in
    testing.

    One pass over the test set, in float64 and on the CPU, in memory
    C * D + D * D. It works with any head of mmpretrain that
    has ``pre_logits``. Images that a sampler repeats to give all processes
    as many are not counted.

    Args:
        collect_device: As in other metrics; only sums are collected, by any
            process group. Defaults to ``'cpu'``.
        prefix: Prefix of the names. Defaults to ``'geometry'``.

    Attributes:
        moments: After an evaluation, :class:`~bcl_mm.evaluation.ClassMoments`
            of ``'features'`` and ``'projected'``, of all ranks.
        prototypes: (C, D) class vectors (``'features'``) and prototypes
            (``'projected'``).

    Example:
        In a config, with
        :class:`~bcl_mm.engine.hooks.MetricModelHook` in ``default_hooks``::

            test_evaluator = [dict(type='bcl_mm.SimplexGeometry')]

        By hand, for features along the class vectors, one of them longer:

        >>> from bcl_mm.models import LongTailHead
        >>> x = 0.75**0.5
        >>> corners = torch.tensor([[0, 1], [-x, -0.5], [x, -0.5]])
        >>> model = nn.Module()
        >>> model.head = LongTailHead(num_classes=3, in_channels=2)
        >>> model.head.classifier.weight = nn.Parameter(corners)
        >>> metric = SimplexGeometry()
        >>> metric.set_model(model)
        >>> scores = model.head((corners * torch.tensor([[2], [1], [1]]),))
        >>> metric.process(None, [
        ...     dict(pred_score=row, gt_label=torch.tensor([i]))
        ...     for i, row in enumerate(scores)
        ... ])
        >>> figures = metric.evaluate(size=3)
        >>> for name in ('nc1', 'nc2_norms', 'nc3', 'cosine_std'):
        ...     print(name, round(figures[f'geometry/features_{name}'], 3))
        nc1 0.0
        nc2_norms 0.161
        nc3 0.244
        cosine_std 0.0
    """

    default_prefix = 'geometry'

    def __init__(
        self, collect_device: str = 'cpu', prefix: Optional[str] = None
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self._head: Optional[nn.Module] = None
        self._begin()

    def _begin(self) -> None:
        self.moments: Dict[str, ClassMoments] = {}
        self.prototypes: Dict[str, np.ndarray] = {}
        self._num_images = 0
        self._captured: List[Dict[str, Tensor]] = []
        # The newest image and its label: it may be a repetition.
        self._newest: Dict[str, np.ndarray] = {}

    def set_model(self, model: nn.Module) -> None:
        """Take the model that is tested, before each evaluation.

        :class:`~bcl_mm.engine.hooks.MetricModelHook` calls it. Until the
        evaluation ends, a forward hook of the head keeps a batch's features.

        Args:
            model: mmpretrain's ``ImageClassifier``, not wrapped.

        Raises:
            InputValueError: It has no head with ``pre_logits``, or is a
                ``ShardedModel``.
        """
        head = getattr(model, 'head', None)
        if head is None or not hasattr(head, 'pre_logits'):
            raise InputValueError(
                'SimplexGeometry needs a model whose head has pre_logits, as '
                f'those of mmpretrain, got {type(model).__name__} with head '
                f'{type(head).__name__}'
            )
        for weight in head.parameters():
            require_whole(weight, 'SimplexGeometry')
        self._release()
        self._begin()
        self._head = head
        self._handle = head.register_forward_hook(self._capture)

    def _release(self) -> None:
        if self._head is not None:
            self._handle.remove()
        self._head = None

    @torch.no_grad()
    def _capture(self, head: Any, inputs: Tuple[Any], output: Tensor) -> None:
        features = head.pre_logits(inputs[0])  # (B, D)
        self._captured.append(dict(features=features))
        projection = projection_of(head)
        if projection is not None:
            self._captured[-1]['projected'] = projection.project(features)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Add the features of a batch.

        Raises:
            InputValueError: The model is unknown, the head did not see each
                image once, or its features are not (B, D) and finite.
        """
        if self._head is None:
            raise InputValueError(
                'SimplexGeometry needs the model: put MetricModelHook '
                'into default_hooks, or call set_model(model) before each '
                'evaluation'
            )
        num_rows = sum(len(c['features']) for c in self._captured)
        if num_rows != len(data_samples):
            raise InputValueError(
                'SimplexGeometry needs one row of features of each image, '
                f'but the head saw {num_rows} rows for {len(data_samples)} '
                'images: test without test-time augmentation'
            )
        rows = {
            name: np.concatenate([_array(c[name]) for c in self._captured])
            for name in self._captured[0]
        }
        self._captured.clear()
        labels = sample_labels(data_samples)
        if not self.moments:
            num_classes = len(data_samples[0]['pred_score'])
            self.moments = {
                name: ClassMoments(num_classes, value.shape[-1])
                for name, value in rows.items()
            }
            shape = self.moments['features'].sums.shape
            self.prototypes = _reference_vectors(self._head, *shape)
        self._num_images += num_rows
        rows['labels'] = labels.cpu().numpy()
        # Add the image that was held back, and all of these but the last.
        if self._newest:
            for name, held in self._newest.items():
                rows[name] = np.concatenate([held, rows[name]])
        self._update({name: value[:-1] for name, value in rows.items()})
        self._newest = {name: value[-1:] for name, value in rows.items()}

    def _update(self, rows: Dict[str, np.ndarray]) -> None:
        for name, moments in self.moments.items():
            moments.update(rows[name], rows['labels'])

    def evaluate(self, size: int) -> Dict[str, float]:
        """Figures of the images of all ranks.

        A sampler that repeats images does so at the end: rank r's image p is
        number p * W + r of the epoch, so that a repeated one can only be the
        last of one of the last ranks.

        Args:
            size: Number of images of the test set.

        Raises:
            ValueError: The ranks have not seen these images once each, and
                at most one repeated image each.
        """
        self._release()
        rank, world_size = dist.get_dist_info()
        shapes = {name: m.sums.shape for name, m in self.moments.items()}
        seen = dist.all_gather_object((self._num_images, shapes))
        counts = [count for count, _ in seen]
        surplus = sum(counts) - size
        if not 0 <= surplus < world_size or (surplus and len(set(counts)) > 1):
            raise InputValueError(
                f'SimplexGeometry saw {counts} images on {world_size} '
                f'processes, of a test set of {size}: it must see each once '
                '(drop_last=False), but for those that DefaultSampler repeats '
                'to give all processes as many'
            )
        if self._newest and rank < world_size - surplus:
            self._update(self._newest)
        self._newest, self._num_images = {}, 0
        # A rank may have had no image, but must take part.
        shapes = next(filter(None, (shapes for _, shapes in seen)), {})
        for name, shape in shapes.items():
            self.moments.setdefault(name, ClassMoments(*shape)).all_reduce()
        metrics = [self.compute_metrics([]) if rank == 0 else {}]
        dist.broadcast_object_list(metrics)
        return metrics[0]

    def compute_metrics(self, results: list) -> Dict[str, float]:
        """Figures from the moments of all ranks; there are no results."""
        figures = {
            name: neural_collapse(moments, self.prototypes.get(name))
            for name, moments in self.moments.items()
        }
        if 'projected' in self.prototypes:
            prototypes = self.prototypes['projected']
            figures['prototypes'] = simplex_figures(prototypes)
        return {
            f'{self.prefix}/{name}_{figure}': value
            for name, of_name in figures.items()
            for figure, value in of_name.items()
        }
