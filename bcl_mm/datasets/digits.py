"""scikit-learn's handwritten digits, which need no download."""

from __future__ import annotations

from typing import Any, List

import numpy as np
from mmpretrain.datasets import BaseDataset

from bcl_mm.datasets.options import check_options
from bcl_mm.registry import DATASETS
from bcl_mm.utils.errors import InputValueError, check_number


@DATASETS.register_module()
class Digits(BaseDataset):
    """1,797 real handwritten digits of 8x8 pixels, without a download.

    The test set of the UCI "Optical Recognition of Handwritten Digits", which
    is part of scikit-learn's wheel. The first ``test_per_class`` images
    of each class are the test set, the others the training set. Images are
    (8, 8) uint8, grey.

    Args:
        split: ``'train'`` or ``'test'``.
        test_per_class: Test images of each class. Defaults to 50.
        **kwargs: Arguments of mmpretrain's ``BaseDataset`` (``pipeline``,
            ``test_mode``, ...).

    Raises:
        InputTypeError: ``test_per_class`` is not a whole number.
        InputError: Another argument is wrong (see :func:`check_options`).
        InputValueError: ``split`` is unknown, or ``test_per_class`` is not in
            [1, 173], which leaves an image of each class in each split.
        ImportError: scikit-learn is not installed.

    Example:
        >>> images = Digits('test')
        >>> len(images), images.metainfo['classes'][:3]
        (500, ('0', '1', '2'))
    """

    METAINFO = {'classes': tuple('0123456789')}

    def __init__(
        self, split: str, test_per_class: int = 50, **kwargs: Any
    ) -> None:
        if split not in ('train', 'test'):
            raise InputValueError(
                f"split must be 'train' or 'test', got {split!r}"
            )
        name = 'test_per_class'
        check_number(name, test_per_class, at_least=1, at_most=173, whole=True)
        check_options(kwargs)
        self.split = split
        self.test_per_class = test_per_class
        super().__init__(ann_file='', **kwargs)

    def load_data_list(self) -> List[dict]:
        """Images and labels of the split."""
        try:
            from sklearn.datasets import load_digits
        except ImportError as error:
            raise ImportError(
                'Digits needs scikit-learn: pip install scikit-learn'
            ) from error
        digits = load_digits()
        # From the 17 grey levels 0 to 16, to 0 to 255.
        images = np.rint(digits.images * (255 / 16)).astype(np.uint8)
        labels = digits.target.tolist()
        in_test = np.zeros(len(labels), dtype=bool)
        for label in range(10):
            members = np.flatnonzero(digits.target == label)
            in_test[members[: self.test_per_class]] = True
        members = np.flatnonzero(in_test == (self.split == 'test'))
        return [dict(img=images[i], gt_label=labels[i]) for i in members]
