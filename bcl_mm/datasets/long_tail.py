"""A long-tailed subset of any labelled dataset."""

from __future__ import annotations

from copy import copy
from typing import Any, Optional, Sequence, Union

import numpy as np

from bcl_mm.classes import (
    bincount_labels,
    check_class_counts,
    class_names_of,
    labels_of,
)
from bcl_mm.registry import DATASETS
from bcl_mm.utils.errors import InputValueError, check_number


def long_tail_counts(
    num_classes: int,
    max_per_class: int,
    imbalance_factor: float,
    profile: str = 'exp',
) -> np.ndarray:
    r"""Number of images per class in the literature's long-tailed subsets.

    The exponential profile of CIFAR-LT (LDAM-DRW, NeurIPS 2019), for class
    :math:`c` of :math:`C`:

    .. math::
        n_c = \lfloor n_{max} \cdot (1 / IF)^{c / (C - 1)} \rfloor

    Args:
        num_classes: Number of classes C, at least 2.
        max_per_class: Images of the largest class, :math:`n_{max}`.
        imbalance_factor: Largest / smallest count, >= 1 (100, not 0.01).
        profile: ``'exp'``, or ``'step'``: the first half of the classes has
            ``max_per_class`` images, the others have
            ``max_per_class / imbalance_factor``. Defaults to ``'exp'``.

    Returns:
        (C,) int64 counts. A count may be 0 where ``imbalance_factor`` is
        larger than ``max_per_class``.

    Raises:
        InputTypeError: An argument is not a number, or not a whole one.
        InputValueError: An argument is out of its range.

    Example:
        >>> long_tail_counts(5, 100, imbalance_factor=100).tolist()
        [100, 31, 10, 3, 1]
    """
    check_number('num_classes', num_classes, at_least=2, whole=True)
    check_number('max_per_class', max_per_class, at_least=1, whole=True)
    name = 'imbalance_factor (largest / smallest class)'
    check_number(name, imbalance_factor, at_least=1)
    if profile not in ('exp', 'step'):
        raise InputValueError(
            f"profile must be 'exp' or 'step', got {profile!r}"
        )
    ratio = 1 / imbalance_factor
    exponents: np.ndarray = np.arange(num_classes) / (num_classes - 1)
    if profile == 'step':
        exponents = np.arange(num_classes) >= num_classes // 2
    # Python floats, as in the protocol's own code: numpy's vectorised power
    # may differ in the last bit, which int() turns into another count.
    counts = [int(max_per_class * ratio ** float(e)) for e in exponents]
    return np.array(counts, dtype=np.int64)


@DATASETS.register_module()
class LongTailDataset:
    """Keeps the literature's long-tailed subset of a balanced dataset.

    It follows the protocol of LDAM-DRW (Cao et al., NeurIPS 2019), index for
    index. The counts are those of :func:`long_tail_counts`.
    Class by class in label order, one ``RandomState(seed)`` shuffles the
    class's indices, and the first n_c stay, in that order. A class that is
    smaller than its share keeps all of its images.

    Args:
        dataset: A dataset with labels, or its config.
        imbalance_factor: Largest / smallest class, >= 1.
        profile: ``'exp'`` or ``'step'``. Defaults to ``'exp'``.
        max_per_class: Images of the largest class, at most as many as the
            dataset's largest class has. Defaults to None: that number.
        seed: Seed of the choice, in [0, 2^32). Defaults to 0, the
            literature's.
        subset: ``'ldam'``, or ``'first'``: the first n_c images of a class in
            the dataset's order, without a shuffle, as in the code of weight
            balancing (Alshammari et al., CVPR 2022) and of LOS. Defaults to
            ``'ldam'``.
        held_out: Images of each class, the last ones in that order, that
            are kept for validation: no image of the subset is among them,
            however many images it has. Defaults to 0.
        part: ``'train'``, the subset; or ``'val'``, the held-out images.
            Defaults to ``'train'``.

    Attributes:
        indices: (N,) kept indices of the wrapped dataset.
        class_counts: (C,) kept images per class.
        imbalance_factor: As given, like ``profile``, ``seed``, ``subset``
            and ``held_out``.
        metainfo: That of the wrapped dataset.

    Raises:
        InputTypeError: An argument is not a number, or not a whole one. (A
            ``seed`` of None would choose other images in each process.)
        InputValueError: An argument or a label is out of its range, or a class
            keeps no image; the message names the class.

    Example:
        >>> from bcl_mm.datasets import Digits
        >>> subset = LongTailDataset(Digits('train'), imbalance_factor=10)
        >>> subset.class_counts.tolist()
        [128, 102, 79, 61, 47, 37, 28, 22, 17, 13]
    """

    def __init__(
        self,
        dataset: Any,
        imbalance_factor: float,
        profile: str = 'exp',
        max_per_class: Optional[int] = None,
        seed: int = 0,
        subset: str = 'ldam',
        held_out: int = 0,
        part: str = 'train',
    ) -> None:
        if subset not in ('ldam', 'first'):
            raise InputValueError(
                f"subset must be 'ldam' or 'first', got {subset!r}"
            )
        if part not in ('train', 'val'):
            raise InputValueError(
                f"part must be 'train' or 'val', got {part!r}"
            )
        check_number('held_out', held_out, at_least=0, whole=True)
        if part == 'val' and not held_out:
            raise InputValueError("part='val' needs held_out > 0, got 0")
        check_number('seed', seed, at_least=0, below=2**32, whole=True)
        if max_per_class is not None:
            name = 'max_per_class'
            check_number(name, max_per_class, at_least=1, whole=True)
        if isinstance(dataset, dict):
            dataset = DATASETS.build(dataset)
        if hasattr(dataset, 'full_init'):
            dataset.full_init()
        self.dataset = dataset
        self.imbalance_factor = imbalance_factor
        self.profile = profile
        self.seed = seed
        self.subset = subset
        self.held_out = held_out
        self.metainfo = getattr(dataset, 'metainfo', {})

        labels = labels_of(dataset)
        names = class_names_of(dataset)
        available = bincount_labels(labels, len(names) if names else None)
        self._check_held_out(available, names)
        available = available - held_out
        most = int(available.max())
        if max_per_class is not None:
            most = min(most, max_per_class)
        num_classes = len(available)
        wanted = long_tail_counts(num_classes, most, imbalance_factor, profile)
        counts = np.minimum(wanted, available)
        if part == 'val':
            counts = np.full(num_classes, held_out)
        self.class_counts = check_class_counts(counts, class_names=names)
        random = np.random.RandomState(seed)  # legacy generator, as published
        kept = []
        for label, count in enumerate(counts):
            members = np.flatnonzero(labels == label)
            if subset == 'ldam':
                random.shuffle(members)
            first = len(members) - held_out if part == 'val' else 0
            kept.append(members[first : first + count])
        self.indices = np.concatenate(kept)
        self._labels = labels[self.indices]

    def _check_held_out(
        self, available: np.ndarray, names: Optional[Sequence[str]]
    ) -> None:
        """Refuse to hold out all images of a class."""
        smallest = int(available.argmin())
        if self.held_out and available[smallest] <= self.held_out:
            name = repr(names[smallest]) if names else smallest
            raise InputValueError(
                f'held_out must be less than the images of every class, but '
                f'class {name} has {available[smallest]:,}, got '
                f'{self.held_out}'
            )

    def get_subset(
        self, indices: Union[int, Sequence[int]]
    ) -> LongTailDataset:
        """Some of the samples, as MMEngine's datasets give (KFoldDataset).

        Args:
            indices: Of the samples; or the number of first samples or, if
                it is negative, of last ones.
        """
        part = copy(self)
        chosen: Union[slice, Sequence[int]]
        if not isinstance(indices, int):
            chosen = indices
        else:
            chosen = slice(indices) if indices >= 0 else slice(indices, None)
        part.indices = self.indices[chosen]
        part._labels = self._labels[chosen]
        num_classes = len(self.class_counts)
        part.class_counts = bincount_labels(part._labels, num_classes)
        return part

    def full_init(self) -> None:
        """Do nothing: the labels have been read."""

    def get_gt_labels(self) -> np.ndarray:
        """(N,) labels."""
        return self._labels

    def get_cat_ids(self, idx: int) -> list:
        """Label of sample ``idx``, as a list of one."""
        return [int(self._labels[idx])]

    def get_data_info(self, idx: int) -> dict:
        """Annotation of sample ``idx``."""
        return self.dataset.get_data_info(int(self.indices[idx]))

    def __getitem__(self, idx: int) -> Any:
        return self.dataset[int(self.indices[idx])]

    def __len__(self) -> int:
        return len(self.indices)
