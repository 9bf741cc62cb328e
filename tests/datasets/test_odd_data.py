"""Folders and lists that would be read otherwise than meant."""

import functools
import os
import shutil

import pytest
from mmengine.dataset import ConcatDataset

from bcl_mm.apis.inference import list_images
from bcl_mm.classes import ClassInfo, count_classes, name_classes, printable
from bcl_mm.datasets import CustomImages, ImageList
from bcl_mm.datasets.folders import find_images, read_tree
from bcl_mm.datasets.links import FilesOfTree
from tests.datasets.odd import write_csv
from tests.trees import write_classes

NAMES = ['ant', 'bee', 'cat']


@pytest.fixture
def tree(tmp_path):
    write_classes(tmp_path / 'tree', (4, 3, 2), NAMES)
    return tmp_path / 'tree'


def test_prediction_reads_the_files_of_training(tree, tmp_path):
    shutil.move(tree / 'bee', tmp_path / 'hive')
    (tree / 'bee').symlink_to(tmp_path / 'hive')
    (tree / 'cat' / 'more').symlink_to(tmp_path / 'cats')
    write_classes(tmp_path, (2,), ['cats'])
    for hidden in ('.ipynb_checkpoints', 'ant/.ipynb_checkpoints'):
        (tree / hidden).mkdir()
        shutil.copy(tree / 'ant' / '1.png', tree / hidden / '1-checkpoint.png')
    shutil.copy(tree / 'ant' / '1.png', tree / 'ant' / '.hidden.png')
    parts = [CustomImages(str(tree), split=s) for s in ('train', 'val')]
    trained = [info['img_path'] for part in parts for info in part.data_list]
    assert sorted(trained) == sorted(list_images([tree]))
    assert len(trained) == 4 + 3 + 2 + 2


@pytest.mark.parametrize(
    ('link', 'target'),
    [('dog', 'cat'), ('cat/more', 'ant'), ('bee/all', '.'), ('all', '.')],
)
def test_a_link_must_not_put_images_into_two_classes(tree, link, target):
    (tree / link).symlink_to(tree / target)
    with pytest.raises(
        ValueError, match='must be in one class, but .* a link'
    ):
        CustomImages(str(tree))


@pytest.mark.parametrize('place', ['bee/x.png', 'ant/deep/x.png'])
def test_a_link_must_not_repeat_an_image(tree, tmp_path, place):
    link = tree / place
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(tree / 'ant' / '1.png')
    with pytest.raises(ValueError, match='in one class, once, but .*x.png'):
        CustomImages(str(tree))
    link.unlink()
    # Links to images that lie outside the class folders are the data.
    for folder in tree, tmp_path:
        shutil.copy(tree / 'ant' / '1.png', folder / 'pool.png')
        link.unlink(missing_ok=True)
        link.symlink_to(folder / 'pool.png')
        assert len(read_tree(str(tree))[0]) == 4 + 3 + 2 + 1
    (tree / 'cat' / 'y.png').symlink_to(tmp_path / 'pool.png')
    with pytest.raises(ValueError, match='are the same file: remove the lin'):
        CustomImages(str(tree))


@pytest.mark.parametrize('place', ['bee/x.png', 'ant/x.png', 'ant/d/x.png'])
def test_a_hard_link_must_not_repeat_an_image(tree, tmp_path, place):
    link = tree / place
    link.parent.mkdir(exist_ok=True)
    os.link(tree / 'ant' / '1.png', link)
    with pytest.raises(ValueError, match='in one class, once, .*linked.: rem'):
        CustomImages(str(tree))
    assert len(find_images(str(tree))[0]) == 4 + 3 + 2 + 1  # to predict
    link.unlink()
    # A second name outside the tree does no harm.
    os.link(tree / 'ant' / '1.png', tmp_path / 'copy.png')
    assert len(read_tree(str(tree))[0]) == 4 + 3 + 2
    link.symlink_to(tmp_path / 'copy.png')
    with pytest.raises(ValueError, match=r'x.png. and .*1.png. are the same'):
        CustomImages(str(tree))
    link.unlink()
    (tree / 'cat' / 'gone.png').symlink_to(tmp_path / 'nothing.png')
    assert len(read_tree(str(tree))[0]) == 4 + 3 + 2 + 1


def test_one_inode_on_two_devices_is_two_files(tree):
    files = FilesOfTree()
    images = [str(tree / name / '1.png') for name in ('ant', 'bee')]
    files.twins = [tuple(images)]
    assert not list(files.doubles())


def test_names_in_two_unicode_spellings(tree):
    (tree / 'bee').rename(tree / 'caf\u00e9')
    assert len(CustomImages(str(tree))) == 3 + 2 + 1
    (tree / 'cat').rename(tree / 'cafe\u0301')
    message = r"tree: .*'caf.xe9' are the same text, .* write it in one way"
    with pytest.raises(ValueError, match=message):
        CustomImages(str(tree))


def test_a_loop_inside_a_class_is_read_once(tree):
    (tree / 'ant' / 'deep').mkdir()
    (tree / 'ant' / 'deep' / 'back').symlink_to(tree / 'ant')
    assert len(read_tree(str(tree))[0]) == 4 + 3 + 2


def test_a_link_that_is_read_before_its_target_is_named(tree):
    (tree / 'ant' / 'link').symlink_to(tree / 'bee')
    with pytest.raises(
        ValueError, match=r"'.*ant/link' is a link to '.*/bee': remove"
    ):
        CustomImages(str(tree))


@pytest.mark.parametrize('name', ['cat ', ' cat', 'cat\t'])
def test_a_class_folder_must_not_end_with_a_space(tree, name):
    (tree / 'bee').rename(tree / name)
    message = r'must not begin or end with a space, got .*: rename it'
    with pytest.raises(ValueError, match=message):
        CustomImages(str(tree))


def test_a_class_that_is_left_out_may_end_with_a_space(tree):
    (tree / 'bee').rename(tree / 'bee ')
    write_classes(tree, (3,), ['cow'])
    images = CustomImages(str(tree), ignore_classes='bee ')
    assert 'bee ' not in images.metainfo['classes']
    assert not images.problems


@pytest.mark.parametrize('name', ['Cat', 'CAT', 'house  cat', 'House cat'])
def test_names_that_differ_by_case_or_spaces_are_said(tree, name):
    if ' ' in name:
        (tree / 'cat').rename(tree / 'house cat')
    (tree / 'bee').rename(tree / name)
    for collect_problems in False, True:
        dataset = CustomImages(str(tree), collect_problems=collect_problems)
        assert len(dataset.notes) == 1
        (problem,) = dataset.problems
        assert f'{name!r}' in problem
        assert "cat' differ only by case or spaces: if they are" in problem
    options = dict(ignore_classes=[name]), dict(min_images=3)
    for option in options:  # they do not concern classes that are left out
        assert not CustomImages(str(tree), **option).problems


def test_another_spelling_in_validation(tmp_path):
    write_classes(tmp_path / 'train', (2, 2), NAMES)
    write_classes(tmp_path / 'val', (2, 2), ['ant', 'BEE'])
    with pytest.raises(ValueError, match=r"it has 'BEE' \(is 'bee' meant\?"):
        CustomImages(str(tmp_path), split='val')


def test_a_second_source_may_lack_classes(tree, tmp_path):
    write_classes(tmp_path / 'more', (5, 2), ['cat', 'ant'])
    sources = [
        CustomImages(str(root), classes=NAMES)
        for root in (tree, tmp_path / 'more')
    ]
    both = ConcatDataset(sources)
    assert count_classes(both).tolist() == [3 + 1, 2, 1 + 4]
    with pytest.raises(ValueError, match=r'there is none of class 1 \(bee\)'):
        ClassInfo.from_dataset(sources[1])
    write_classes(tmp_path / 'one', (2, 1), ['cat', 'ant'])
    with pytest.raises(ValueError, match='there is only one of ant$'):
        CustomImages(str(tmp_path / 'one'), classes=NAMES)


def test_control_characters_do_not_reach_the_terminal(tree):
    code = '\x1b[2J'
    (tree / 'bee' / f'{code}.txt').touch()
    (tree / f'{code}.png').touch()
    notes = CustomImages(str(tree)).notes
    assert len(notes) == 3
    assert all(note.isprintable() for note in notes)
    write_classes(tree, (1, 1), [code, 'dog'])
    with pytest.raises(ValueError, match="only one of '.x1b.2J', dog$"):
        CustomImages(str(tree))
    assert name_classes([0], [code]) == "0 ('\\x1b[2J')"
    assert printable('\u00e9 \u4e2d') == '\u00e9 \u4e2d'


def test_a_list_of_lines_names_an_image_once(tree, tmp_path):
    path = tmp_path / 'list.txt'
    lines = ['tree/ant/1.png 0', 'tree/bee/1.png 1']
    for again in (
        'tree/ant/1.png 0',
        'tree/ant/1.png 1',
        './tree//ant/1.png 1',
        'tree/bee/../ant/1.png 1',
        f'{tmp_path}/tree/ant/1.png 1',
    ):
        path.write_text('\n'.join([*lines, again]))
        message = ':3: an image must be listed once, but .* in line 1: rem'
        with pytest.raises(ValueError, match=message):
            ImageList('list.txt', data_root=str(tmp_path))
        # The check of the data reads it, and lists all such images.
        ImageList('list.txt', data_root=str(tmp_path), check_files=False)
    path.write_text('\n'.join([*lines, 'tree/ant/0.JPG 0']))
    assert len(ImageList('list.txt', data_root=str(tmp_path))) == 3


@pytest.mark.parametrize('is_csv', [False, True])
def test_a_list_names_no_file_twice_through_hard_links(tree, is_csv):
    os.link(tree / 'ant' / '1.png', tree / 'bee' / 'x.png')
    rows = [f'{c}/{name},{c}' for c in NAMES for name in ('0.JPG', '1.png')]
    if is_csv:
        path = write_csv(tree, '\n'.join([*rows, 'bee/x.png,bee']))
        build = functools.partial(CustomImages, path)
    else:
        lines = [row.split(',')[0] + ' 0' for row in [*rows, 'bee/x.png,']]
        (tree / 'list.txt').write_text('\n'.join(lines))
        build = functools.partial(ImageList, 'list.txt', str(tree))
    with pytest.raises(ValueError, match=r'once, but .* same file .linked.:'):
        build()
    build(check_files=False)


def test_links_that_hang_are_no_images(tree):
    (tree / 'ant' / 'zero.png').symlink_to('/dev/zero')
    images, others = find_images(str(tree / 'ant'))
    assert (len(images), others) == (4, ['zero.png'])
