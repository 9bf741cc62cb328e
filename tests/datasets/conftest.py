"""Small trees of class folders, and what a data set finds in them."""

import pytest

from bcl_mm.classes import count_classes
from bcl_mm.datasets import CustomImages
from tests.trees import write_classes

COUNTS = (7, 5, 2)
NAMES = ('cat', 'dog', 'elk')


@pytest.fixture
def tree(tmp_path):
    """One tree of cats, dogs and elks: 7 / 5 / 2 of them."""
    root = tmp_path / 'tree'
    write_classes(root, COUNTS, NAMES)
    return root


@pytest.fixture
def parts(tmp_path):
    """The same in train/; 2 / 1 of cats and dogs in val/."""
    root = tmp_path / 'parts'
    write_classes(root / 'train', COUNTS, NAMES)
    write_classes(root / 'val', (2, 1), NAMES)
    return root


def read(root, split='train', **options):
    return CustomImages(str(root), split=split, **options)


def files(dataset):
    """Images of a dataset, as (path, class name)."""
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    names = dataset.metainfo['classes']
    return [(info['img_path'], names[info['gt_label']]) for info in infos]


def counts(dataset):
    return count_classes(dataset).tolist()


def write_csv(path, rows, header='path,label\n', end='\n'):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = header + ''.join(f'{row}{end}' for row in rows)
    path.write_bytes(text.encode())


def rows_of(root, label=lambda name: name):
    """CSV rows of all images of a tree."""
    paths = sorted(p.relative_to(root) for p in root.glob('*/*.*'))
    return [f'{path},{label(path.parent.name)}' for path in paths]
