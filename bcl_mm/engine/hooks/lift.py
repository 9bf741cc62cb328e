"""LIFT's start from class means, and the record of its frozen backbone."""

from __future__ import annotations

from typing import Any, List, Optional, Tuple

import torch
from mmengine.dataset import Compose, default_collate
from mmengine.dist import all_reduce, get_dist_info
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.models import ImageClassifier
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bcl_mm.classes import class_names_of, name_classes
from bcl_mm.datasets.transforms.loading import CorruptImageError
from bcl_mm.models.layers import unit_rows
from bcl_mm.models.lift import AdaptedBackbone
from bcl_mm.registry import HOOKS
from bcl_mm.utils.distributed import require_whole
from bcl_mm.utils.errors import InputValueError
from bcl_mm.utils.labels import sample_labels
from bcl_mm.utils.modules import unwrapped


class _TestViews(Dataset):
    """Every n-th training image as testing sees it, without augmentation."""

    def __init__(
        self, dataset: Any, pipeline: List[dict], first: int, step: int
    ) -> None:
        if not hasattr(dataset, 'get_data_info'):
            raise InputValueError(
                'class means need a training set with get_data_info(index), '
                f'such as those of MMEngine, got {type(dataset).__name__}'
            )
        self.dataset = dataset
        self.pipeline = Compose(pipeline)
        self.indices = range(first, len(dataset), step)
        # CorruptImageHook replaces such images in training.
        self.skips = hasattr(dataset, 'left_out')

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, position: int) -> Optional[dict]:
        try:
            index = self.indices[position]
            return self.pipeline(self.dataset.get_data_info(index))
        except CorruptImageError:
            if self.skips:
                return None
            raise


def _collate_loaded(samples: List[Optional[dict]]) -> Optional[dict]:
    loaded = [sample for sample in samples if sample is not None]
    return default_collate(loaded) if loaded else None


@torch.no_grad()
def class_means(
    model: ImageClassifier, loader: DataLoader, num_classes: int
) -> Tuple[Tensor, Tensor]:
    """Mean feature of each class, over the images of all processes.

    Args:
        model: A classifier of mmpretrain, in evaluation mode.
        loader: Batches of this process; None for a batch without images.
        num_classes: Number of classes C.

    Returns:
        (C, D) float64 means on the CPU, zeros for a class without images;
        and (C,) numbers of images.
    """
    sums = torch.zeros(num_classes, model.head.in_channels).double()
    counts = torch.zeros(num_classes).double()
    for batch in filter(None, loader):
        data = model.data_preprocessor(batch)
        labels = sample_labels(data['data_samples']).cpu()
        feats = model.extract_feat(data['inputs'])
        # On the CPU sums have a fixed order.
        rows = model.head.pre_logits(feats).cpu().double()  # (B, D)
        sums.index_add_(0, labels, rows)
        counts += torch.bincount(labels, minlength=num_classes)
    all_reduce(sums)
    all_reduce(counts)
    return sums / counts.clamp(min=1)[:, None], counts


@HOOKS.register_module()
class LIFTHook(Hook):
    """Starts the cosine classifier from class means (LIFT, Sec. 4.3).

    Before a new training, one pass over the training images, as the
    ``test_dataloader`` prepares images, gives the mean feature of each class;
    with unit norm, it becomes the class vector. A training that resumes, or
    starts from the weights of another (``load_from``), keeps its classifier.

    Checkpoints get file and fingerprint (hexadecimal SHA-256) of an
    :class:`~bcl_mm.models.lift.AdaptedBackbone` as ``meta.frozen_backbone``.
    """

    def before_train(self, runner: Runner) -> None:
        """Set the class vectors.

        Raises:
            InputValueError: The classifier is not a cosine classifier, the
                training set is a stream, the config has no test pipeline, or
                no image of a class can be loaded.
        """
        if runner.iter or runner._load_from:
            return
        model: ImageClassifier = unwrapped(runner.model)
        head = model.head
        if getattr(head.classifier, 'scale', None) is None:
            raise InputValueError(
                'class means start a cosine classifier: set '
                "model.head.classifier='cosine', or leave LIFTHook out"
            )
        require_whole(head.classifier.weight, 'LIFTHook')
        test = (runner.cfg.get('test_dataloader') or {}).get('dataset', {})
        if 'pipeline' not in test:
            raise InputValueError(
                'class means need test_dataloader.dataset.pipeline, which '
                'prepares the images'
            )
        ours = runner.train_dataloader
        dataset = _TestViews(ours.dataset, test['pipeline'], *get_dist_info())
        loader = DataLoader(
            dataset,
            ours.batch_size or 32,
            num_workers=ours.num_workers,
            collate_fn=_collate_loaded,
        )
        was_training = model.training
        model.eval()
        means, counts = class_means(model, loader, head.num_classes)
        model.train(was_training)
        if not counts.all():
            names = class_names_of(ours.dataset)
            empty = (counts == 0).nonzero().flatten().tolist()
            raise InputValueError(
                f'no image of class {name_classes(empty, names)} can be loaded'
            )
        with torch.no_grad():
            head.classifier.weight.copy_(unit_rows(means))
        runner.logger.info(
            f'The classifier starts from the class means of {counts.sum():.0f}'
            ' images'
        )

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Record the frozen backbone."""
        backbone = unwrapped(runner.model).backbone
        if isinstance(backbone, AdaptedBackbone):
            digest = bytes(backbone.fingerprint.tolist()).hex()
            checkpoint['meta']['frozen_backbone'] = dict(
                file=backbone.weights_file, sha256=digest
            )
