"""Pictures of predictions."""

from __future__ import annotations

from collections import Counter
from pathlib import PurePath
from typing import Any, Sequence

from mmengine.dist import get_dist_info
from mmpretrain.engine import VisualizationHook
from mmpretrain.structures import DataSample

from bcl_mm.registry import HOOKS


@HOOKS.register_module()
class PredictionImagesHook(VisualizationHook):
    """mmpretrain's pictures of predictions, each in a file of its own.

    mmpretrain names them by the images' base names: of ``a/1.png`` and
    ``b/1.png`` it keeps one. Here the folder is part of the name, and what
    repeats gets a number.

    Arguments are those of mmpretrain's hook.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._names: Counter = Counter()

    def _draw_samples(
        self,
        batch_idx: int,
        data_batch: dict,
        data_samples: Sequence[DataSample],
        step: int = 0,
    ) -> None:
        renamed = [self._renamed(sample) for sample in data_samples]
        super()._draw_samples(batch_idx, data_batch, renamed, step)

    def _renamed(self, sample: DataSample) -> DataSample:
        if 'img_path' not in sample:
            return sample
        name = '_'.join(PurePath(sample.img_path).parts[-2:])
        rank, world_size = get_dist_info()
        if world_size > 1:
            name = f'{rank}_{name}'
        self._names[name] += 1
        if self._names[name] > 1:
            name = f'{self._names[name]}_{name}'
        renamed = sample.new()
        renamed.set_metainfo(dict(img_path=name))
        return renamed
