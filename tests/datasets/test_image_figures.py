from types import SimpleNamespace

import numpy as np
import pytest

from bcl_mm.datasets.image_figures import describe_classes


def split(counts):
    names = [f'name \x1b{i}' for i in range(len(counts))]
    return SimpleNamespace(
        class_counts=np.array(counts), name_of_class=names.__getitem__
    )


def test_few_classes_have_a_row_each():
    assert describe_classes(split([1, 0, 80])) == [
        '  name \\x1b2  80 ' + '█' * 40,
        '  name \\x1b0   1 ▌',
        '  name \\x1b1   0',
    ]


@pytest.mark.parametrize('number', [21, 8142])
def test_many_classes_share_twenty_rows(number):
    counts = np.arange(number, 0, -1)
    *rows, largest, smallest = describe_classes(split(counts))
    assert len(rows) == 20
    assert largest.startswith(f'  largest: name \\x1b0 ({number:,}), ')
    assert smallest.startswith(f'  smallest: name \\x1b{number - 1} (1), ')
    assert rows[0].split('█')[0].split()[:2] == ['classes', '1']
    assert f'to {number:,} ' in rows[-1]
    assert '█' * 39 in rows[0]
    assert '█' * 2 not in rows[-1]
    assert max(map(len, [*rows, largest, smallest])) < 100
