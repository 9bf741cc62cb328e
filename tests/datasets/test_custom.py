"""Custom data sets, in the usual layouts."""

import os
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
from bcl_mm.classes import count_classes
from bcl_mm.datasets import CustomImages, LongTailDataset
from bcl_mm.datasets.csv_lists import read_csv
from bcl_mm.datasets.folders import find_images
from bcl_mm.datasets.splitting import choose_val
from bcl_mm.registry import DATASETS
from bcl_mm.utils.errors import InputFileError
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


def test_train_and_val_folders(parts):
    train, val = read(parts), read(parts, 'val')
    assert (counts(train), counts(val)) == ([7, 5, 2], [2, 1, 0])
    for dataset, part in ((train, 'train'), (val, 'val')):
        assert dataset.metainfo['classes'] == NAMES
        for path, name in files(dataset):
            assert Path(path).parent == parts / part / name
        assert dataset.notes == [f'{part} is {parts / part}']


@pytest.mark.parametrize('name', ['valid', 'validation', 'Val', 'VALID'])
def test_what_validation_may_be_called(parts, name):
    (parts / 'val').rename(parts / name)
    (parts / 'train').rename(parts / 'Train')
    assert counts(read(parts, 'val')) == [2, 1, 0]
    assert counts(read(parts)) == [7, 5, 2]


def test_a_test_part(parts):
    with pytest.raises(ValueError, match=r'has no test part: it needs test/,'):
        read(parts, 'test')
    write_classes(parts / 'test', (1, 1, 3), NAMES)
    assert counts(read(parts, 'test')) == [1, 1, 3]
    assert counts(read(parts)) == [7, 5, 2]


def test_one_tree_is_split_class_by_class(tree):
    train, val = read(tree), read(tree, 'val')
    assert (counts(train), counts(val)) == ([6, 4, 1], [1, 1, 1])
    images = sorted(files(train) + files(val))
    assert images == sorted(
        (str(path), path.parent.name) for path in tree.glob('*/*')
    )
    assert files(read(tree, 'val')) == files(val)
    assert 'validation gets 0.2 (val_fraction) of each' in val.notes[0]
    half = read(tree, 'val', val_fraction=0.5)
    assert counts(half) == [4, 2, 1]
    assert set(files(val)) <= set(files(half))
    others = [
        files(read(tree, 'val', split_seed=seed)) for seed in range(1, 9)
    ]
    assert any(other != files(val) for other in others)


def test_a_train_part_alone_is_split(parts):
    shutil.rmtree(parts / 'val')
    write_classes(parts / 'test', (1, 1), NAMES)
    assert counts(read(parts)) == [6, 4, 1]
    assert counts(read(parts, 'val')) == [1, 1, 1]
    assert counts(read(parts, 'test')) == [1, 1, 0]


def test_an_image_more_leaves_the_others_where_they_are(tree):
    before = set(files(read(tree, 'val')))
    write_classes(tree, (8, 5, 2), NAMES)
    (tree / 'cat' / 'another.png').write_bytes(
        (tree / 'cat' / '1.png').read_bytes()
    )
    write_classes(tree, (2,), ['ant'])  # shifts all labels, but moves no image
    after = set(files(read(tree, 'val')))
    of_others = {item for item in before if item[1] != 'cat'}
    assert of_others <= after
    assert len(after) == len(before) + 2  # 2 of 9 cats, and an ant
    assert len(before - after) <= 1


@pytest.mark.parametrize('number', [2, 3, 5, 8, 100])
@pytest.mark.parametrize('fraction', [0.01, 0.2, 0.5, 0.99])
def test_both_parts_have_images_of_every_class(number, fraction):
    paths = [f'{i}.jpg' for i in range(number)]
    chosen = choose_val(paths, fraction, 0)
    wanted = min(max(1, round(number * fraction)), number - 1)
    assert len(chosen) == wanted
    assert chosen == choose_val(paths[::-1], fraction, 0)


def test_the_split_is_the_same_everywhere():
    # Fixed: the training images of a checkpoint must not change.
    paths = [f'cat/{i}.jpg' for i in range(10)]
    chosen = sorted(choose_val(paths, 0.3, 0))
    assert chosen == ['cat/4.jpg', 'cat/6.jpg', 'cat/8.jpg']


def test_images_are_found_at_any_depth(tree):
    (tree / 'cat' / '2021').mkdir()
    for i, name in enumerate(['0.JPG', '1.png']):
        shutil.move(tree / 'cat' / name, tree / 'cat' / '2021' / f'{i}.Png')
    (tree / 'cat' / 'round').symlink_to(tree / 'cat')  # a cycle
    (tree / 'dog' / 'again').symlink_to(tree / 'dog' / 'nothing')
    (tree / 'dog' / 'gone.jpg').symlink_to(tree / 'nothing.jpg')
    (tree / 'folder.jpg').mkdir()
    (tree / 'folder.jpg' / 'a.webp').touch()
    (tree / 'folder.jpg' / 'b.TIFF').touch()
    for hidden in ('.cache/x.jpg', 'cat/.y.jpg', 'cat/.thumbs/z.jpg'):
        (tree / hidden).parent.mkdir(exist_ok=True)
        (tree / hidden).touch()
    outside = tree.parent / 'link'
    outside.symlink_to(tree)
    for root in (tree, outside):
        train, val = read(root), read(root, 'val')
        names = sorted(Path(p).name for p, _ in files(train) + files(val))
        assert len(names) == 7 + 5 + 2 + 1 + 2
        assert 'gone.jpg' in names  # to be reported as missing
        assert not [name for name in names if name.startswith('.')]
        assert train.metainfo['classes'] == (*NAMES, 'folder.jpg')


def test_special_files_are_not_images(tmp_path):
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a' / 'x.PNG').touch()
    (tmp_path / 'a' / '.hidden.png').touch()
    (tmp_path / 'notes.txt').touch()
    os.mkfifo(tmp_path / 'pipe.jpg')
    (tmp_path / 'device.jpg').symlink_to('/dev/null')
    (tmp_path / 'broken.jpg').symlink_to('nothing')
    (tmp_path / 'link.jpg').symlink_to('a/x.PNG')
    (tmp_path / 'again').symlink_to(tmp_path)
    images = ['a/x.PNG', 'broken.jpg', 'link.jpg']
    others = ['device.jpg', 'notes.txt', 'pipe.jpg']
    assert find_images(str(tmp_path)) == (images, others)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(InputFileError, match=r"no' cannot be read: No such"):
        find_images(str(tmp_path / 'no'))
    with pytest.raises(InputFileError, match='cannot be read: Is a direc'):
        read_csv(str(tmp_path))


def test_the_order_of_files_is_not_the_file_systems(tree, monkeypatch):
    expected = files(read(tree))
    listdir, scandir = os.listdir, os.scandir

    class Backwards:
        def __init__(self, path):
            with scandir(path) as entries:
                self.entries = list(entries)[::-1]

        def __enter__(self):
            return iter(self.entries)

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(os, 'listdir', lambda path: listdir(path)[::-1])
    monkeypatch.setattr(os, 'scandir', Backwards)
    assert files(read(tree)) == expected


def test_what_is_left_out_is_told(tree):
    for name in ('cat/a.txt', 'cat/b.txt', 'dog/c.xml', 'dog/LICENSE'):
        (tree / name).touch()
    (tree / 'overview.png').touch()
    (tree / 'README.md').touch()
    assert read(tree).notes[1:] == [
        f'{tree}: 4 files are not images and are left out (1 without ending, '
        '2 .txt, 1 .xml), such as cat/a.txt',
        f'{tree}: 1 images lie outside the class folders and are left out, '
        'such as overview.png',
    ]


def test_names_that_are_no_text(tree):
    path = os.fsencode(tree) + b'/caf\xe9'
    os.mkdir(path)
    for name in (b'\xff.jpg', b'a.jpg'):
        with open(path + b'/' + name, 'wb'):
            pass
    train, val = read(tree), read(tree, 'val')
    assert train.metainfo['classes'][0] == 'caf\udce9'
    assert counts(train)[0] == counts(val)[0] == 1
    assert {Path(p).is_file() for p, _ in files(train) + files(val)} == {True}


def test_a_class_may_be_called_train(tree):
    (tree / 'cat').rename(tree / 'train')
    assert read(tree).metainfo['classes'] == ('dog', 'elk', 'train')


def test_relative_paths_and_home(tree, monkeypatch):
    monkeypatch.chdir(tree.parent)
    dataset = read('tree')
    assert files(dataset)[0][0].startswith('tree/cat/')
    monkeypatch.setenv('HOME', str(tree.parent))
    assert counts(read('~/tree')) == counts(dataset)


def test_in_a_wrapper(tree):
    dataset = LongTailDataset(read(tree), 3)
    assert dataset.metainfo['classes'] == NAMES
    assert dataset.class_counts.tolist() == [6, 3, 1]


def test_classes_that_are_given(parts):
    shutil.rmtree(parts / 'train')
    val = read(parts, 'val', classes=['elk', 'dog', 'cat'])
    assert counts(val) == [0, 1, 2]
    with pytest.raises(ValueError, match=r"classes=\[...\]\), but .* 'dog'$"):
        read(parts, 'val', classes=['elk', 'cat'])


# Lists


def write_csv(path, rows, header='path,label\n', end='\n'):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = header + ''.join(f'{row}{end}' for row in rows)
    path.write_bytes(text.encode())


def rows_of(root, label=lambda name: name):
    """CSV rows of all images of a tree."""
    paths = sorted(p.relative_to(root) for p in root.glob('*/*.*'))
    return [f'{path},{label(path.parent.name)}' for path in paths]


def test_a_list_of_all(tree):
    expected = files(read(tree)), files(read(tree, 'val'))
    write_csv(tree / 'all.csv', rows_of(tree))
    for root in (tree, tree / 'all.csv'):
        train, val = read(root), read(root, 'val')
        assert (files(train), files(val)) == expected
        assert train.metainfo['classes'] == NAMES
        assert train.notes[0].startswith(f'train is {tree / "all.csv"}, of')


def test_lists_of_the_parts(parts):
    for part in ('train', 'val'):
        rows = [f'{part}/{row}' for row in rows_of(parts / part)]
        write_csv(parts / f'{part}.csv', rows, header='')
    train, val = read(parts), read(parts, 'val')
    assert (counts(train), counts(val)) == ([7, 5, 2], [2, 1, 0])
    assert train.notes == [f'train is {parts / "train.csv"}']
    (parts / 'val.csv').unlink()
    (parts / 'val').rename(parts / 'unused')
    assert (counts(read(parts)), counts(read(parts, 'val'))) == (
        [6, 4, 1],
        [1, 1, 1],
    )


def test_details_of_lists(tree):
    images = sorted(tree.glob('*/*.*'))[:6]
    for i, name in enumerate(('a, b.jpg', 'ü "x".png')):
        images[i] = images[i].rename(tree / name)
    quoted = [f'"{str(p).replace(chr(34), chr(34) * 2)}"' for p in images]
    for text in (
        '\ufefflabel,width,path\n\n'
        + '\n'.join(f'x {i % 2} ,7, {p}' for i, p in enumerate(quoted)),
        'file,class\r\n'
        + '\r\n'.join(f'{p},x {i % 2}' for i, p in enumerate(quoted)),
        'PATH, Label\n'
        + '\n'.join(f'{p},"x {i % 2}"' for i, p in enumerate(quoted)),
    ):
        # A space before a quote would make the quote part of the field.
        (tree / 'a.csv').write_bytes(text.replace(', "', ',"').encode())
        val = read(tree / 'a.csv', 'val', val_fraction=0.99)
        assert counts(val) == [2, 2]
        assert val.metainfo['classes'] == ('x 0', 'x 1')
        chosen = {path for path, _ in files(val)}
        chosen |= {path for path, _ in files(read(tree / 'a.csv'))}
        assert chosen <= set(map(str, images))


def test_numbers_are_sorted_by_value(tree):
    numbers = dict(zip(NAMES, ('10', '9', '0')))
    write_csv(tree / 'all.csv', rows_of(tree, numbers.get))
    train = read(tree)
    assert train.metainfo['classes'] == ('0', '9', '10')
    assert counts(train) == [1, 4, 6]
    numbers['cat'] = 'x'
    write_csv(tree / 'all.csv', rows_of(tree, numbers.get))
    assert read(tree).metainfo['classes'] == ('0', '9', 'x')


def test_a_folder_of_the_lists_paths(tree):
    lists = tree.parent / 'lists'
    write_csv(lists / 'all.csv', rows_of(tree))
    dataset = read(lists, data_prefix='../tree')
    assert counts(dataset) == [6, 4, 1]
    with pytest.raises(FileNotFoundError, match=r'all.csv:\d+: image '):
        read(lists)
    unchecked = read(lists, check_files=False)
    assert counts(unchecked) == [6, 4, 1]


def test_a_table_of_another_kind_is_no_list(tree):
    expected = files(read(tree))
    write_csv(tree / 'meta.csv', ['cat,felis', 'dog,canis'], 'class,latin\n')
    (tree / 'binary.csv').write_bytes(b'\xff\xfe\0')
    assert files(read(tree)) == expected


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('a.jpg;cat\nb.jpg;dog', 'only one of cat, dog$'),
        ('a.jpg\tcat', "two classes, got only 'cat'$"),
        ('a.jpg cat\nb.jpg dog', "a.csv:1: a row .* got 'a.jpg cat'$"),
        ('a.jpg,1,2', 'a.csv:1: a row must be path,label, or the first row'),
        ('a.jpg,cat\n\nb.jpg', "a.csv:3: a row must be path,label.*'b.jpg'"),
        ('a.jpg,cat\nb.jpg,', 'a.csv:2: an image must have a label'),
        (
            'a.jpg,cat\na.jpg,dog',
            "a.csv:2: .* once, but 'a.jpg' is also in line 1",
        ),
        ('', 'a.csv: the list has no row'),
        ('path,label\n', 'a.csv: the list has no row'),
        (
            'a.jpg,cat\n"b.jpg,dog',
            'a.csv:2: the list must be CSV: unexpected end',
        ),
        ('a.jpg,cat\nb.jpg,cat', "two classes, got only 'cat'"),
        (
            'a.jpg,cat\nb.jpg,dog\nc.jpg,dog',
            'every class needs two images .* only one of cat$',
        ),
    ],
)
def test_broken_lists(tmp_path, text, message):
    path = tmp_path / 'a.csv'
    path.write_text(text)
    (tmp_path / 'images').mkdir()
    for root in (path, tmp_path):
        with pytest.raises(ValueError, match=message):
            read(root, check_files=False)
    path.write_bytes('a.jpg,cat\né.jpg,dog'.encode('latin-1'))
    with pytest.raises(ValueError, match='a.csv:2: the list must be UTF-8'):
        read(path)


# Folders that are not a data set


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
        (_flat, r'but 14 images lie in it directly, such as cat_0.JPG: put'),
        (_one_class, "got only 'elk': is that folder the data_root"),
        (_flat_parts, "train' must hold .* but 7 images lie in it directly"),
        (_into_train, "val' must hold .* but 1 images lie in it directly"),
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
        (dict(data_root='setup.py'), ValueError, 'must be a folder or a CSV'),
    ],
)
def test_arguments(options, kind, message, monkeypatch):
    monkeypatch.chdir(Path(__file__).resolve().parents[2])
    with pytest.raises(kind, match=message):
        CustomImages(**{'data_root': 'tests', **options})


# All kinds of images


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
