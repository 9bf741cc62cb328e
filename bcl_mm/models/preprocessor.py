"""Data preprocessor for batches of several views."""

from __future__ import annotations

from typing import Any, List, Optional, Sequence, TypeGuard, Union

import torch
from mmpretrain.models.utils import ClsDataPreprocessor
from mmpretrain.structures import DataSample

from bcl_mm.classes import ClassInfo
from bcl_mm.registry import MODELS
from bcl_mm.utils.errors import InputValueError, check_flag, check_number
from bcl_mm.utils.labels import class_labels, sample_labels

Channels = Union[None, float, Sequence[float]]


def is_multi_view(inputs: Any) -> TypeGuard[Sequence[Any]]:
    """Whether collated inputs are V views, each of them a batch.

    A view is a (B, C, H, W) tensor with MMEngine's ``default_collate``, and a
    list of B images with ``pseudo_collate``. A list of (C, H, W) tensors is B
    plain images.
    """
    if not isinstance(inputs, Sequence):
        return False
    first = inputs[0]
    return not torch.is_tensor(first) or first.ndim == 4


def _channels(
    name: str, values: Any, above: Optional[float] = None
) -> List[float]:
    """Checked numbers of the channels."""
    is_list = isinstance(values, Sequence) and not isinstance(values, str)
    values = list(values) if is_list and values else [values]
    for value in values:
        check_number(name, value, above=above)
    return values


@MODELS.register_module()
class MultiViewDataPreprocessor(ClsDataPreprocessor):
    """``ClsDataPreprocessor`` that also accepts V views of each image.

    The views become one batch (V * B, C, H, W), view-major: rows
    ``v * B ... (v + 1) * B - 1`` are view v. Plain images are processed as
    usual. Works with ``default_collate`` and ``pseudo_collate``.
    Images move to the device as the loader pinned them, view by view, and
    labels all at once; none of these copies is waited for. Views are joined
    and normalised on the device.

    Args:
        mean: Mean of each channel, or one of all. Defaults to None: images
            are not normalised.
        std: Standard deviation, > 0, of each channel, or one of all. Given
            with ``mean`` only. Defaults to None.
        num_classes: Number of classes, for Mixup and CutMix. Defaults to
            None: from :class:`~bcl_mm.engine.hooks.ClassInfoHook`.
        non_blocking: Whether copies to the device are not waited for.
            Defaults to True.
        channels_last: Whether the batch is stored with its channels last,
            as ``channels_last = True`` of a config sets it. Defaults to
            False.
        **kwargs: Other arguments of mmpretrain's ``ClsDataPreprocessor``.

    Raises:
        InputTypeError: ``mean`` or ``std`` is not of numbers.
        InputValueError: One is given without the other, or out of range.

    Example:
        Two views of three grey images:

        >>> prepare = MultiViewDataPreprocessor(mean=127.5, std=127.5)
        >>> black = torch.zeros(3, 1, 8, 8, dtype=torch.uint8)
        >>> inputs = prepare(dict(inputs=[black, black + 255]))['inputs']
        >>> inputs.shape, inputs[:, 0, 0, 0]
        (torch.Size([6, 1, 8, 8]), tensor([-1., -1., -1.,  1.,  1.,  1.]))
    """

    def __init__(
        self,
        mean: Channels = None,
        std: Channels = None,
        num_classes: Optional[int] = None,
        non_blocking: bool = True,
        channels_last: bool = False,
        **kwargs: Any,
    ) -> None:
        self.num_classes: Optional[int]
        check_flag('non_blocking', non_blocking)
        check_flag('channels_last', channels_last)
        if (mean is None) != (std is None):
            raise InputValueError(
                f'mean and std must be given together, got mean={mean} and '
                f'std={std}'
            )
        if mean is not None:
            mean, std = _channels('mean', mean), _channels('std', std, 0)
            if len({1, len(mean), len(std)}) > 2:
                raise InputValueError(
                    'mean and std must have one number per channel, got '
                    f'{len(mean)} and {len(std)}'
                )
        if num_classes is not None:
            check_number('num_classes', num_classes, at_least=2, whole=True)
        super().__init__(mean, std, num_classes=num_classes, **kwargs)
        # (mmpretrain's class does not take it.)
        self._non_blocking = non_blocking
        self.channels_last = channels_last

    def set_class_info(self, info: ClassInfo) -> None:
        """Take the number of classes.

        Raises:
            InputValueError: The config gives another one.
        """
        if self.num_classes is None:
            self.num_classes = len(info.counts)
        if self.to_onehot and self.num_classes != len(info.counts):
            raise InputValueError(
                f'data_preprocessor.num_classes is {self.num_classes}, but '
                f'there are {len(info.counts)} classes: leave it out'
            )

    def forward(self, data: dict, training: bool = False) -> dict:
        """Move to the device, stack the views, normalise.

        Args:
            data: ``inputs`` and ``data_samples`` of a collated batch.
            training: Whether batch augmentations run. Defaults to False.

        Returns:
            ``inputs`` (V * B, C, H, W) and ``data_samples`` of length B.

        Raises:
            InputValueError: Views differ in size, images have another number
                of channels than ``mean`` and ``std``, or Mixup/CutMix
                (``batch_augments``) meets several views, a label out of
                range, or no number of classes.
        """
        inputs = data['inputs']
        self._check_channels(inputs)
        if self.to_onehot:
            self._check_labels(data.get('data_samples') or [])
        self._move_labels(data.get('data_samples') or [])
        if is_multi_view(inputs):
            data = dict(data, inputs=self._joined(inputs, training))
        data = super().forward(data, training)
        if self.channels_last:
            layout = torch.channels_last
            data['inputs'] = data['inputs'].contiguous(memory_format=layout)
        return data

    def _joined(self, inputs: Sequence[Any], training: bool) -> Any:
        """Views as one batch on the device, or a list of images."""
        if training and self.batch_augments is not None:
            raise InputValueError(
                'batch_augments (Mixup, CutMix) mixes images of one view, '
                f'but the batch has {len(inputs)} views of each image: '
                'remove batch_augments (or train_cfg) from the model, and '
                'wrap the data in MixFirstView, which mixes view 0'
            )
        images = [image for view in inputs for image in view]
        shapes = {tuple(image.shape) for image in images}
        if len(shapes) > 1:
            raise InputValueError(
                f'all views of a batch must have the same size, got {shapes}'
            )
        if torch.is_tensor(inputs[0]):
            # On the device: joined pinned tensors are not pinned.
            return torch.cat(self.cast_data(inputs))  # (V * B, C, H, W)
        return images

    def _move_labels(self, samples: Sequence[Any]) -> None:
        """Move labels to the device, all of a kind in one copy.

        The loader does not pin them, and mmpretrain waits for their copy,
        and with it for all that the device has to do before.
        """
        for name in ('gt_label', 'gt_score'):
            labelled = [
                sample
                for sample in samples
                if isinstance(sample, DataSample) and name in sample
            ]
            values = [sample.get(name) for sample in labelled]
            if not values or values[0].device == self.device:
                continue
            joined = torch.cat(values)
            if joined.is_cpu and torch.accelerator.is_available():
                joined = joined.pin_memory()
            parts = self.cast_data(joined).split([len(v) for v in values])
            for sample, part in zip(labelled, parts):
                sample.set_field(part, name)

    def _check_labels(self, samples: Sequence[Any]) -> None:
        """Refuse labels that mmpretrain cannot make one-hot."""
        labelled = [s for s in samples if 'gt_label' in s]
        if not labelled or 'gt_score' in labelled[0]:
            return
        if self.num_classes is None:
            raise InputValueError(
                'Mixup and CutMix (batch_augments, to_onehot) need '
                'data_preprocessor.num_classes, or ClassInfoHook'
            )
        class_labels(sample_labels(samples), self.num_classes)

    def _check_channels(self, inputs: Any) -> None:
        """Refuse images that mean and std would broadcast to more channels."""
        if not self._enable_normalize:
            return
        allowed = max(len(self.mean), len(self.std))
        while not torch.is_tensor(inputs):
            inputs = inputs[0]
        channels = inputs.shape[-3]
        if allowed not in (1, channels):
            raise InputValueError(
                f'mean and std of data_preprocessor have {allowed} numbers, '
                f'but the images have {channels} channels: give one number '
                'per channel'
            )
