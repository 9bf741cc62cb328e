"""A list's dataset against the same images in MMEngine's own dataset."""

import copy
import os
import pickle

import numpy as np
import pytest
from mmengine.dataset import (
    ClassBalancedDataset,
    ConcatDataset,
    RepeatDataset,
)
from mmpretrain.datasets import BaseDataset
from torch.utils.data import DataLoader

from bcl_mm.classes import count_classes
from bcl_mm.datasets import ImageList, LongTailDataset
from bcl_mm.datasets.table import ImageTable

ROWS = [
    (f'{"äx"[label % 2]} {label}/{i}.jpg', label, 2 * i + 1)
    for i, label in enumerate([2, 0, 1, 0, 2, 2, 0, 1, 0, 0])
]


class Plain(BaseDataset):
    """MMEngine's way: a dict for each image."""

    def load_data_list(self):
        self._metainfo['classes'] = ('ä 0', 'x 1', 'ä 2')
        return [
            dict(img_path=f'{self.data_root}/{path}', gt_label=label)
            for path, label, _ in ROWS
        ]

    def _copy_without_annotation(self):
        return super()._copy_without_annotation({})  # MMEngine confuses ids


class Even(ImageList):
    """Keeps every other image, as a list of dicts."""

    def filter_data(self):
        return [dict(info, even=True) for info in self.data_list[::2]]


class EvenPlain(Plain):
    def filter_data(self):
        return [dict(info, even=True) for info in self.data_list[::2]]


@pytest.fixture
def build(tmp_path):
    """Builds a dataset of the list, and MMEngine's, with the same options."""
    lines = '\n\n'.join(f'{path} {label}' for path, label, _ in ROWS)
    (tmp_path / 'list.txt').write_bytes(lines.encode())

    def both(ours=ImageList, plain=Plain, **options):
        options.update(ann_file='list.txt', data_root=str(tmp_path))
        return ours(check_files=False, **options), plain(**options)

    return both


def assert_same(ours, plain):
    assert len(ours) == len(plain)
    for i in range(1 - len(plain), len(plain)):  # MMEngine lacks -len(plain)
        assert ours.get_data_info(i) == plain.get_data_info(i)
        assert ours.get_cat_ids(i) == plain.get_cat_ids(i)
        assert ours[i] == plain[i]
    labels = ours.get_gt_labels()
    assert labels.dtype == np.int64
    assert labels.tolist() == plain.get_gt_labels().tolist()
    assert ours.metainfo == plain.metainfo
    with pytest.raises(IndexError):
        ours.get_data_info(len(ours))


@pytest.mark.parametrize(
    'options',
    [
        {},
        dict(serialize_data=False),
        dict(indices=4),
        dict(indices=-4),
        dict(indices=[3, -1, 3]),
        dict(lazy_init=True),
        dict(test_mode=True),
    ],
)
def test_is_mmengines_dataset(build, options):
    ours, plain = build(**options)
    assert_same(ours, plain)
    assert isinstance(ours.data_list, ImageTable)
    for indices in (2, -2, [1, 0], (2, 2, -1), range(3)):
        part = ours.get_subset(indices)
        assert isinstance(part.data_list, ImageTable)
        assert_same(part, plain.get_subset(indices))
    assert_same(pickle.loads(pickle.dumps(ours)), plain)
    assert_same(copy.deepcopy(ours), plain)
    for dataset in (ours, plain):
        dataset.get_subset_([2, 0, 1])
    assert_same(ours, plain)


def test_subsets_of_no_kind_are_refused(build):
    ours, _ = build()
    with pytest.raises(TypeError, match='int or sequence of int'):
        ours.get_subset(1.5)


def test_subsets_are_copies(build):
    ours, _ = build(metainfo=dict(source=['a']))
    for source in 'bc':  # MMEngine would keep the first copy
        ours._metainfo['source'][0] = source
        part = ours.get_subset(2)
        assert part.metainfo['source'] == [source]
        assert part._metainfo is not ours._metainfo
        assert part.pipeline is not ours.pipeline


def test_a_subclass_may_filter(build):
    ours, plain = build(Even, EvenPlain)
    assert_same(ours, plain)
    assert ours.get_data_info(1)['even']
    assert_same(ours.get_subset([1, 0]), plain.get_subset([1, 0]))


def test_wrappers(build):
    ours, plain = build()
    for wrap in (
        lambda dataset: ConcatDataset([dataset, dataset]),
        lambda dataset: RepeatDataset(dataset, 2),
        lambda dataset: ClassBalancedDataset(dataset, 0.5),
        lambda dataset: LongTailDataset(dataset, 2),
    ):
        wrapped, expected = wrap(ours), wrap(plain)
        assert len(wrapped) == len(expected)
        assert [wrapped[i] for i in range(len(wrapped))] == [
            expected[i] for i in range(len(expected))
        ]
        assert (count_classes(wrapped) == count_classes(expected)).all()


def test_workers_read_it(build):
    ours, plain = build()
    loader = DataLoader(ours, batch_size=3, num_workers=2, collate_fn=list)
    samples = [sample for batch in loader for sample in batch]
    assert samples == [plain[i] for i in range(len(plain))]


def test_labels_are_a_copy(build):
    ours, _ = build()
    ours.get_gt_labels()[:] = 7
    assert ours.get_gt_labels().max() == 2


def test_paths_are_kept_as_they_are(tmp_path):
    rows = [('/a b', 0, 1), ('\ud800\udc80é', 1, 2), ('', 0, 3), ('..', 2, 4)]
    table = ImageTable(str(tmp_path), iter(rows))
    assert [table.row(i) for i in range(4)] == rows
    assert list(table.paths()) == [path for path, _, _ in rows]
    assert table[0]['img_path'] == '/a b'
    assert list(table[1:3].paths()) == ['\ud800\udc80é', '']
    assert list(table[[]].paths()) == []
    assert table.missing() == [0, 1, 2, 3]
    assert list(ImageTable('', []).paths()) == []


def test_missing_files(tmp_path):
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a' / 'is_a_folder.jpg').mkdir()
    for name in ('there.jpg', 'a/there.jpg', 'a/unlisted.jpg'):
        (tmp_path / name).touch()
    (tmp_path / 'a' / 'link.jpg').symlink_to(tmp_path / 'there.jpg')
    (tmp_path / 'a' / 'broken.jpg').symlink_to(tmp_path / 'nothing.jpg')
    is_there = {
        'there.jpg': True,
        'a/there.jpg': True,
        'a/../there.jpg': True,
        './a//there.jpg': True,
        'a/link.jpg': True,
        str(tmp_path / 'there.jpg'): True,
        'a/is_a_folder.jpg': False,
        'a/broken.jpg': False,
        'a/nothing.jpg': False,
        'nothing/there.jpg': False,
        'there.jpg/there.jpg': False,
        'a/\0.jpg': False,
        '\0/there.jpg': False,
    }
    paths = [*is_there, *is_there]  # a list may name a file twice
    table = ImageTable(str(tmp_path), [(path, 0, 0) for path in paths])
    expected = [i for i, path in enumerate(paths) if not is_there[path]]
    assert table.missing() == expected
    if os.geteuid():  # root may list any folder
        (tmp_path / 'a').chmod(0o311)
        assert table.missing() == expected
        (tmp_path / 'a').chmod(0o755)


def test_an_image_takes_at_most_20_bytes_and_its_path():
    rows = [('folder/a.jpg', 9_999_999, 4_000_000_000)] * 70_000
    table = ImageTable('', rows)
    part = table[[5, 3]]
    assert len(table._paths) == 12 * len(rows)
    for columns in (table._columns, part._columns):
        assert sum(column.itemsize for column in columns) <= 20
    assert table.row(-1) == part.row(0) == rows[0]
