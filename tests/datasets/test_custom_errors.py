"""What is no data set of images."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images

import bcl_mm
from bcl_mm.datasets import CustomImages
from bcl_mm.registry import DATASETS
from tests.datasets.conftest import NAMES, counts, read, rows_of, write_csv
from tests.trees import write_classes


def test_classes_that_cannot_be_split_are_all_named(tmp_path):
    write_classes(tmp_path, (1, 3, 1, 2, 1), list('abcde'))
    message = f'{tmp_path}: to be split .* two images .* one of a, c, e$'
    for split in ('train', 'val'):
        with pytest.raises(ValueError, match=message):
            read(tmp_path, split)
    (tmp_path / 'b').rename(tmp_path / 'x')
    (tmp_path / 'b').mkdir()
    with pytest.raises(ValueError, match='none of b\n.* one of a, c, e$'):
        read(tmp_path)


def test_an_empty_class_of_train_and_another_of_val(parts):
    (parts / 'train' / 'fox').mkdir()
    (parts / 'train' / 'gnu').mkdir()
    with pytest.raises(ValueError, match='train: .* there is none of fox, gn'):
        read(parts)
    assert counts(read(parts, 'val')) == [2, 1, 0, 0, 0]
    write_classes(parts / 'val', (1, 2), ['owl', 'pig'])
    message = "val must have no other classes than .* it has 'owl', 'pig'$"
    with pytest.raises(ValueError, match=message):
        read(parts, 'val')


def test_no_classes_without_a_training_part(tmp_path):
    write_classes(tmp_path / 'test', (1, 2), ['elk', 'fox'])
    assert counts(read(tmp_path, 'test', classes=['elk', 'fox'])) == [1, 2]
    with pytest.raises(ValueError, match='train'):
        read(tmp_path, 'test', classes=[])


def _no_such(root):
    shutil.rmtree(root)


def _no_class(root):
    for name in NAMES:
        shutil.rmtree(root / name)


def _flat(root):
    for path in list(root.glob('*/*')):
        path.rename(root / f'{path.parent.name}_{path.name}')
    _no_class(root)


def _one_class(root):
    shutil.rmtree(root / 'cat')
    shutil.rmtree(root / 'dog')


def _flat_parts(root):
    (root / 'cat').rename(root / 'train')
    (root / 'dog').rename(root / 'test')
    shutil.rmtree(root / 'elk')


def _into_train(root):
    """The tree in train/, and a flat val/."""
    (root / 'train').mkdir()
    for name in NAMES:
        (root / name).rename(root / 'train' / name)
    (root / 'val').mkdir()
    shutil.copy(root / 'train' / 'cat' / '0.JPG', root / 'val')


def _no_train(root):
    _into_train(root)
    shutil.rmtree(root / 'val')
    (root / 'train').rename(root / 'val')


def _two_vals(root):
    _no_train(root)
    shutil.copytree(root / 'val', root / 'train')
    shutil.copytree(root / 'val', root / 'valid')


def _two_lists(root):
    rows = rows_of(root)
    write_csv(root / 'a.csv', rows)
    write_csv(root / 'b.csv', rows)


def _without_images(root):
    for path in root.glob('*/*'):
        path.unlink()


@pytest.mark.parametrize(
    ('spoil', 'message'),
    [
        (_no_such, "data_root '.*tree' does not exist"),
        (_no_class, 'at least two class folders or a CSV list, got neither'),
        (_flat, r'but it holds 14 images, such as cat_0.JPG: put'),
        (_one_class, "got only 'elk': is that folder the data_root"),
        (_flat_parts, "train' must hold .* but it holds 7 images"),
        (_into_train, "val' must hold .* but it holds 1 image, such"),
        (_no_train, "tree' has val, but no training part: name its folder tr"),
        (_two_vals, "tree' must have one val part, got val and valid"),
        (_two_lists, 'holds the lists a.csv, b.csv: call them train.csv'),
        (_without_images, 'tree holds no image'),
    ],
)
def test_what_is_no_data_set(tree, spoil, message):
    spoil(tree)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        read(tree)


def test_the_training_part_as_data_root(parts):
    message = f'is the training part, and val lies .* data_root={parts}$'
    with pytest.raises(ValueError, match=message):
        read(parts / 'train')


@pytest.mark.parametrize(
    ('options', 'kind', 'message'),
    [
        (dict(split='all'), ValueError, "split must be 'train', 'val' or 'te"),
        (dict(val_fraction=0), ValueError, r'val_fraction must be in \(0, 1'),
        (dict(val_fraction='x'), TypeError, 'val_fraction must be a number'),
        (dict(split_seed=-1), ValueError, 'split_seed must be >= 0, got -1'),
        (dict(split_seed=None), TypeError, 'split_seed must be a whole num'),
        (dict(data_prefix=3), TypeError, 'data_prefix must be text, got 3'),
        (dict(data_root=None), TypeError, 'data_root must be text, got None'),
        (dict(data_root='setup.py'), ValueError, 'must be a folder or a list'),
    ],
)
def test_arguments(options, kind, message, monkeypatch):
    monkeypatch.chdir(Path(__file__).resolve().parents[2])
    with pytest.raises(kind, match=message):
        CustomImages(**{'data_root': 'tests', **options})


def _images():
    """Real images, grey and in colour, of all depths and shapes."""
    photo = load_sample_images().images[0]
    digit = (load_digits().images[0] * (255 / 16)).astype(np.uint8)
    return {
        'grey.png': digit,
        'grey.jpg': cv2.resize(digit, (200, 180)),
        '16 bits.png': digit.astype(np.uint16) * 257,
        '16 bits.tif': cv2.resize(photo, (90, 60)).astype(np.uint16) * 257,
        'photo.jpg': photo,
        'one pixel.png': digit[:1, :1],
        'wide.png': np.tile(digit, (1, 100))[:2],
        'high.jpg': np.tile(digit, (200, 1))[:, :3],
        'huge.png': np.tile(photo, (2, 2, 1)),
    }


@pytest.mark.parametrize('size', ['resnet32', 'resnet50'])
@pytest.mark.long
def test_all_images_pass_the_whole_pipeline(tmp_path, size):
    images = _images()
    for name, pixels in images.items():
        for label in 'ab':
            (tmp_path / label).mkdir(exist_ok=True)
            assert cv2.imwrite(str(tmp_path / label / name), pixels)
    palette = Image.fromarray(images['photo.jpg']).quantize(32)
    palette.save(tmp_path / 'a' / 'palette.png')
    palette.convert('RGBA').save(tmp_path / 'b' / 'alpha.png')
    cfg = Config.fromfile(bcl_mm.config_path(f'bcl_{size}_custom'))
    side, seen = (32 if size == 'resnet32' else 224), 0
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.dataset.update(data_root=str(tmp_path), val_fraction=0.5)
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            dataset = DATASETS.build(loader.dataset)
        is_train = loader.dataset.split == 'train'
        for i in range(len(dataset)):
            sample = dataset[i]
            views = sample['inputs'] if is_train else [sample['inputs']]
            assert len(views) == (3 if is_train else 1)
            assert {tuple(view.shape) for view in views} == {(3, side, side)}
            seen += 1
    assert seen == 2 * len(images) + 2
