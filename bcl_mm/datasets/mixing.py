"""Samples whose first view is mixed with another image."""

from __future__ import annotations

from typing import Any, Optional, Sequence, Tuple

import numpy as np
import torch
from mmengine.dataset import Compose
from torch import Tensor

from bcl_mm.classes import bincount_labels, class_names_of, labels_of
from bcl_mm.datasets.transforms.loading import CorruptImageError
from bcl_mm.datasets.wrapping import SampleIndex, WrappedDataset
from bcl_mm.registry import DATASETS
from bcl_mm.utils.errors import InputValueError, check_number


def random_box(height: int, width: int, share: float) -> Tuple[slice, slice]:
    """Box of a share of an image's area, cut at its borders.

    Its proportions are the image's, and its centre is any pixel (CutMix, Yun
    et al., ICCV 2019, Eq. 2). Draws from numpy's global generator.

    Returns:
        Slices of the rows and of the columns, which may be empty.
    """
    slices = []
    for length in (height, width):
        half = int(length * share**0.5) // 2
        centre = np.random.randint(length)
        slices.append(slice(max(0, centre - half), centre + half))
    return slices[0], slices[1]


@DATASETS.register_module()
class MixFirstView(WrappedDataset):
    r"""Mixes view 0 of a training sample with another image of the data.

    For CMO (Park et al., CVPR 2022) with ``mix='cutmix'`` and ``power=1``:
    a box of an image of any class, drawn in balanced classes, is pasted into
    view 0. With ``power=0``, it is CutMix (Yun et al., ICCV 2019) or, with
    ``mix='mixup'``, Mixup (Zhang et al., ICLR 2018) of view 0. The other
    views of the sample stay as they are.

    Every sample gets a soft label (``gt_score``): the share :math:`\lambda`
    of its own class, counted in pixels, and the rest of the other image's
    class. A contrastive branch uses ``gt_label``, which stays.

    The first and the last epochs train without it. The sample's index, which
    :class:`~bcl_mm.engine.hooks.SampleSeedHook` makes, carries the epoch to
    the workers; without that hook, samples are always mixed. Use it as the
    outermost data set of ``train_dataloader``.

    Args:
        dataset: A data set with labels, or its config.
        pipeline: Pipeline of the other image: that of one view, as long as
            view 0. It ends with PackInputs.
        mix: ``'cutmix'`` or ``'mixup'``. Defaults to ``'cutmix'``.
        power: The other image is drawn with a weight of :math:`n_c^{-power}`,
            in [0, 1]: 1 draws classes alike, 0 images. Defaults to 1.0.
        prob: Probability of a sample to be mixed. (The reference draws once
            for a batch.) Defaults to 0.5.
        alpha: :math:`\lambda` has the distribution Beta(alpha, alpha), > 0.
            Defaults to 1.0.
        off_epochs: How many first and last epochs train without it. Defaults
            to (3, 3).

    Raises:
        InputTypeError: An argument is not a number.
        InputValueError: An argument is out of range, or ``mix`` is unknown.

    Example:
        >>> from bcl_mm.datasets import Digits
        >>> pipeline = [dict(type='bcl_mm.PackInputs')]
        >>> digits = Digits('train', pipeline=pipeline)
        >>> mixed = MixFirstView(digits, pipeline, prob=1.0)
        >>> sample = mixed[0]['data_samples']
        >>> sample.gt_label.tolist(), round(sample.gt_score.sum().item(), 4)
        ([3], 1.0)
    """

    def __init__(
        self,
        dataset: Any,
        pipeline: Sequence[dict],
        mix: str = 'cutmix',
        power: float = 1.0,
        prob: float = 0.5,
        alpha: float = 1.0,
        off_epochs: Sequence[int] = (3, 3),
    ) -> None:
        if mix not in ('cutmix', 'mixup'):
            raise InputValueError(
                f"mix must be 'cutmix' or 'mixup', got {mix!r}"
            )
        check_number('power', power, at_least=0, at_most=1)
        check_number('prob', prob, at_least=0, at_most=1)
        check_number('alpha', alpha, above=0)
        is_pair = isinstance(off_epochs, (list, tuple))
        if not is_pair or len(off_epochs) != 2:
            raise InputValueError(
                'off_epochs must be two numbers, of first and of last epochs, '
                f'got {off_epochs}'
            )
        for number in off_epochs:
            check_number('off_epochs', number, at_least=0, whole=True)
        if isinstance(dataset, dict):
            dataset = DATASETS.build(dataset)
        super().__init__(dataset)
        self.partner = Compose(list(pipeline))
        self.mix = mix
        self.prob = prob
        self.alpha = alpha
        self.off_epochs = tuple(off_epochs)
        labels = labels_of(dataset)
        names = class_names_of(dataset)
        counts = bincount_labels(labels, len(names) if names else None)
        self._num_classes = len(counts)
        self._cumulated = np.cumsum(counts[labels] ** -float(power))
        # CorruptImageHook sets it: then other images cannot end training.
        self.skips_corrupt = False

    def _is_off(self, index: int) -> bool:
        if not isinstance(index, SampleIndex):
            return False
        first, last = self.off_epochs
        left = index.num_epochs - index.epoch
        return index.epoch < first or left <= last

    def __getitem__(self, index: int) -> dict:
        sample = self.original(index)
        if self._is_off(index) or np.random.rand() >= self.prob:
            # Soft, too: mmpretrain's preprocessor expects as much of a batch.
            return self._labelled(sample, sample, 1.0)
        partner = self._draw_partner()
        if partner is None:
            return self._labelled(sample, sample, 1.0)
        own_share = np.random.beta(self.alpha, self.alpha)
        views = sample['inputs']
        several = isinstance(views, (list, tuple))
        first = views[0] if several else views
        mixed, share = self._mixed(first, partner['inputs'], own_share)
        sample['inputs'] = [mixed, *views[1:]] if several else mixed
        return self._labelled(sample, partner, share)

    def _draw_partner(self) -> Optional[dict]:
        """Another image, packed; None if none of ten can be loaded."""
        for _ in range(10):
            draw = np.random.rand() * self._cumulated[-1]
            # Without the last boundary, to which a draw may be rounded up.
            other = np.searchsorted(self._cumulated[:-1], draw, side='right')
            try:
                return self.partner(self.dataset.get_data_info(int(other)))
            except CorruptImageError:
                if not self.skips_corrupt:
                    raise
        return None

    def _labelled(self, sample: dict, partner: dict, share: float) -> dict:
        score = torch.zeros(self._num_classes)
        for part, weight in ((sample, share), (partner, 1 - share)):
            score[part['data_samples'].gt_label] += weight
        sample['data_samples'].set_gt_score(score)
        return sample

    def _mixed(
        self, image: Tensor, other: Tensor, own_share: float
    ) -> Tuple[Tensor, float]:
        """Mixed image (channels, H, W), and the share of the first."""
        if image.shape != other.shape:
            raise InputValueError(
                f'view 0 has shape {tuple(image.shape)}, but the image that '
                f'is mixed with it {tuple(other.shape)}: give MixFirstView '
                'the pipeline of view 0'
            )
        if self.mix == 'mixup':
            mixed = own_share * image.float() + (1 - own_share) * other.float()
            # The images of a batch must have one type.
            is_whole = not image.is_floating_point()
            return (mixed.round() if is_whole else mixed).to(image), own_share
        height, width = image.shape[-2:]
        rows, columns = random_box(height, width, 1 - own_share)
        mixed = image.clone()
        mixed[..., rows, columns] = other[..., rows, columns]
        pasted = mixed[0, rows, columns].numel()
        return mixed, 1 - pasted / (height * width)
