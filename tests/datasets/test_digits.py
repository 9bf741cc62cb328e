import numpy as np
import pytest
from sklearn.datasets import load_digits

from bcl_mm.datasets import Digits


def test_split_takes_the_first_of_each_class():
    digits = load_digits()
    members = [np.flatnonzero(digits.target == c) for c in range(10)]
    expected = dict(
        test=np.sort(np.concatenate([m[:50] for m in members])),
        train=np.sort(np.concatenate([m[50:] for m in members])),
    )
    for split, indices in expected.items():
        dataset = Digits(split=split)
        assert np.array_equal(dataset.get_gt_labels(), digits.target[indices])
        for i in (0, 100, len(dataset) - 1):
            img = dataset.get_data_info(i)['img']
            assert img.dtype == np.uint8
            original = digits.images[indices[i]]
            assert np.abs(img / 255 * 16 - original).max() < 0.04


def test_errors():
    with pytest.raises(ValueError, match="'train' or 'test', got 'val'"):
        Digits(split='val')
    with pytest.raises(ValueError, match='test_per_class must be in'):
        Digits(split='test', test_per_class=500)
