"""Custom data sets, in the usual layouts."""

import os
import shutil
from pathlib import Path

import pytest

from bcl_mm.datasets import LongTailDataset
from bcl_mm.datasets.csv_lists import read_csv
from bcl_mm.datasets.folders import find_images
from bcl_mm.datasets.splitting import choose_val
from bcl_mm.utils.errors import InputFileError
from tests.datasets.conftest import NAMES, counts, files, read
from tests.trees import write_classes


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
    (tree / 'folder.jpg' / 'c.jfif').touch()
    (tree / 'folder.jpg' / 'd.JPE').touch()
    for hidden in ('.cache/x.jpg', 'cat/.y.jpg', 'cat/.thumbs/z.jpg'):
        (tree / hidden).parent.mkdir(exist_ok=True)
        (tree / hidden).touch()
    outside = tree.parent / 'link'
    outside.symlink_to(tree)
    for root in (tree, outside):
        train, val = read(root), read(root, 'val')
        names = sorted(Path(p).name for p, _ in files(train) + files(val))
        assert len(names) == 7 + 5 + 4 + 1 + 2
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
    for name in ('a.txt', 'b.txt', 'c.GIF'):
        (tree / 'cat' / name).touch()
    for name in ('c.xml', 'LICENSE'):
        (tree / 'dog' / name).touch()
    (tree / 'overview.png').touch()
    (tree / 'README.md').touch()
    assert read(tree).notes[1:] == [
        f'{tree}: left out: 4 files of no image format (1 without ending, '
        '2 .txt, 1 .xml), such as cat/a.txt; 1 image of a format that is not '
        'read (1 .GIF), such as cat/c.GIF: convert to PNG',
        f'{tree}: left out: 1 image outside the class folders, such as '
        'overview.png',
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
