"""Groups, identical images and classes that are left out."""

import shutil

import numpy as np
import pytest
from PIL import Image

from bcl_mm.classes import count_classes
from bcl_mm.datasets import CustomImages
from tests.trees import write_classes

NAMES = ['ant', 'bee', 'cat']
PATIENTS = 8


def read(root, split='train', **options):
    return CustomImages(str(root), split=split, **options)


def paths(dataset):
    return [info['img_path'] for info in dataset.data_list]


def both(root, **options):
    return [read(root, split, **options) for split in ('train', 'val')]


@pytest.fixture
def tree(tmp_path):
    """Ten images of each class, of eight patients who have all classes."""
    random = np.random.RandomState(0)
    for label, name in enumerate(NAMES):
        for i in range(10):
            patient = (i + 3 * label) % PATIENTS
            path = tmp_path / 'tree' / name / f'p{patient}' / f'{i}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = random.randint(0, 256, (6, 6, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path)
    return tmp_path / 'tree'


def assert_whole(train, val, number=30):
    """Each patient is on one side, and each class on both."""
    patients = [{p.split('/')[-2] for p in paths(d)} for d in (train, val)]
    assert not patients[0] & patients[1]
    assert len(train) + len(val) == number
    assert (count_classes(train) > 0).all()
    assert (count_classes(val) > 0).all()
    assert 0.1 <= len(val) / number <= 0.35


@pytest.mark.parametrize(
    'options',
    [
        dict(group_by_folder=True),
        dict(group_regex='/p[0-9]+/'),
        dict(group_regex='/p([0-9]+)/'),
    ],
)
def test_groups_of_a_tree(tree, options):
    train, val = both(tree, **options)
    assert_whole(train, val)
    note = f'{next(iter(options))} finds 8 groups'
    assert note in train.notes[1]
    assert note in val.notes[1]
    plain = {path.split('/')[-2] for path in paths(read(tree))}
    assert len(plain) == PATIENTS  # without groups they are divided


def test_groups_of_a_list(tree):
    rows = [
        f'{path.relative_to(tree)},{path.parts[-3]},{path.parts[-2]}'
        for path in sorted(tree.glob('*/*/*.png'))
    ]
    (tree / 'all.csv').write_text('\n'.join(['path,label,patient', *rows]))
    train, val = both(tree, group_column='patient')
    assert_whole(train, val)
    assert 'group is the column patient' in train.notes[1]
    for options in (dict(group_regex='p[0-9]'), dict(group_by_folder=True)):
        train, val = both(tree, **options)
        assert len(train) + len(val) == 30
    with pytest.raises(ValueError, match='group_column must name one column'):
        read(tree, group_column='site')


def test_images_without_a_group(tree):
    for path in list(tree.glob('*/p0/*')):
        path.rename(path.parent.parent / f'x{path.name}')
    (note,) = read(tree, group_by_folder=True).notes[1:]
    number = len(list(tree.glob('*/x*')))
    assert 'finds 7 groups; each image without one is a group of its ' in note
    assert f' own: {number}, such as ' in note
    with pytest.raises(ValueError, match='_regex gives no image a group, for'):
        read(tree, group_regex='patient')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(group_regex='('), r"must be a regular expression, got '\(': "),
        (dict(group_regex=3), 'group_regex must be text, got 3'),
        (dict(group_by_folder=1), 'group_by_folder must be True or False'),
        (
            dict(group_regex='x', group_by_folder=True),
            'one of .*, got group_regex and group_by_folder$',
        ),
        (dict(group_column='x'), 'group_column needs a CSV list, but data_ro'),
        (dict(min_images=-1), 'min_images must be >= 0, got -1'),
        (dict(min_images=99), 'must leave .* have at most 10 training images'),
        (dict(ignore_classes=['antt']), "no class 'antt'; similar are ant"),
        (dict(ignore_classes='a,b'), r"no class 'a,b' \(several are a list"),
        (dict(ignore_classes=NAMES[:2]), "two classes, got only 'cat'"),
    ],
)
def test_arguments(tree, options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        read(tree, **options)


def test_a_class_of_one_group(tree):
    shutil.rmtree(tree / 'bee')
    write_classes(tree / 'bee', (6,), ['p1'])
    train, val = both(tree, group_by_folder=True)
    assert count_classes(train)[1] == 6
    assert 'validation has no image of bee: without them' in val.notes[-1]
    for name in NAMES:
        shutil.rmtree(tree / name)
        write_classes(tree / name, (6,), ['all'])
    with pytest.raises(ValueError, match='no image is left for validation: i'):
        read(tree, group_by_folder=True)


def test_groups_in_two_parts(tree, tmp_path):
    shutil.copytree(tree, tmp_path / 'parts' / 'train')
    for patient in ('p1', 'p7'):
        old = tmp_path / 'parts' / 'train' / 'ant' / patient
        shutil.move(old, tmp_path / 'parts' / 'val' / 'ant' / patient)
    write_classes(tmp_path / 'parts' / 'val' / 'bee', (2,), ['p9'])
    val = read(tmp_path / 'parts', 'val', group_by_folder=True)
    (problem,) = val.problems
    assert 'val shares 2 groups with the training part: p1, p7' in problem
    assert read(tmp_path / 'parts', group_by_folder=True).problems == []
    assert read(tmp_path / 'parts', 'val').problems == []


# Identical images


@pytest.mark.parametrize('split_seed', range(4))
def test_identical_images_stay_together_across_classes(tree, split_seed):
    plain = both(tree, split_seed=split_seed)
    twins = {}
    for i in range(10):
        (source,) = tree.glob(f'ant/*/{i}.png')
        for name in NAMES:
            copy = tree / name / f'copy of {i}.png'
            shutil.copyfile(source, copy)
            twins[str(copy)] = str(source)
    parts = both(tree, split_seed=split_seed)
    side = {p: i for i, part in enumerate(parts) for p in paths(part)}
    assert len(side) == 60
    assert all(side[a] == side[b] for a, b in twins.items())
    assert 'val' in parts[1].notes[0]
    assert (
        '40 images are the same as another one, bit for bit'
        in (parts[0].notes[1])
    )
    for copy in twins:
        (tree / copy).unlink()
    again = both(tree, split_seed=split_seed)
    assert list(map(paths, again)) == list(map(paths, plain))


# Classes that are left out


def test_small_classes_are_left_out_of_all_parts(tmp_path):
    write_classes(tmp_path, (9, 1, 5, 4, 0), [*NAMES, 'dog', 'elk'])
    train, val = both(tmp_path, min_images=5)
    assert train.metainfo == val.metainfo
    assert train.metainfo['classes'] == ('ant', 'cat')
    assert count_classes(train).tolist() == [7, 4]
    assert count_classes(val).tolist() == [2, 1]
    note = 'left out by min_images=5: 3 classes, bee (1), dog (4), elk (0)'
    assert note in train.notes
    assert note in val.notes
    with pytest.raises(ValueError, match='at least two .* 9 training images'):
        read(tmp_path, min_images=9)
    # A checkpoint's classes stay as they are.
    names = 'dog', 'cat', 'ant'
    given = read(tmp_path, 'val', classes=names, min_images=5)
    assert given.metainfo['classes'] == names
    assert count_classes(given).tolist() == [1, 1, 2]


def test_small_classes_of_given_parts(tmp_path):
    write_classes(tmp_path / 'train', (3, 1, 2), NAMES)
    write_classes(tmp_path / 'val', (1, 9, 1, 1), [*NAMES, 'dog'])
    with pytest.raises(ValueError, match="it has 'dog'$"):
        read(tmp_path, 'val')
    val = read(tmp_path, 'val', min_images=2)
    assert val.notes[-1].endswith('=2: 2 classes, bee (1), dog (0)')
    assert val.notes[-1] == read(tmp_path, min_images=2).notes[-1]
    assert val.metainfo['classes'] == ('ant', 'cat')
    assert count_classes(val).tolist() == [1, 1]


@pytest.mark.parametrize('names', ['bee', ['bee'], ('bee', 'bee')])
def test_classes_are_left_out_by_name(tree, names):
    train, val = both(tree, ignore_classes=names)
    assert train.metainfo['classes'] == ('ant', 'cat')
    assert len(train) + len(val) == 20
    assert 'left out by ignore_classes: bee' in train.notes
    plain = {p for d in both(tree) for p in paths(d) if '/bee/' not in p}
    assert {*paths(train), *paths(val)} == plain


def test_left_out_classes_need_no_image_and_may_be_in_one_part(tmp_path):
    write_classes(tmp_path / 'train', (3, 0, 2), NAMES)
    write_classes(tmp_path / 'val', (1, 1, 1, 1), [*NAMES, 'dog'])
    for dataset in both(tmp_path, ignore_classes=['dog', 'bee']):
        assert dataset.metainfo['classes'] == ('ant', 'cat')
    given = read(tmp_path, 'val', classes=NAMES, ignore_classes=['dog', 'ant'])
    assert count_classes(given).tolist() == [0, 1, 1]


def test_numbers_are_names_of_classes(tmp_path):
    write_classes(tmp_path, (3, 2, 2), ['1', '2', '10'])
    assert read(tmp_path, ignore_classes=[10]).metainfo['classes'] == (
        '1',
        '2',
    )
