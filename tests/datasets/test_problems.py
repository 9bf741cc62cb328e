"""Problems of a data set: raised together, or collected."""

import os
import re

import pytest

from bcl_mm.datasets import CustomImages, ImageList
from bcl_mm.datasets.problems import Problems
from bcl_mm.utils.errors import InputValueError, MissingFileError
from tests.trees import write_classes

NAMES = ['ant', 'bee', 'cat']


@pytest.fixture
def tree(tmp_path):
    write_classes(tmp_path / 'tree', (4, 3, 3), NAMES)
    return tmp_path / 'tree'


def collected(source, patterns, number, **options):
    """Problems of a data set, each of which fits its pattern."""
    dataset = CustomImages(str(source), collect_problems=True, **options)
    assert len(dataset) == number
    found = dataset.problems
    assert len(found) == len(patterns), found
    for problem, pattern in zip(found, patterns):
        assert re.search(pattern, problem)
    return dataset


def test_one_error_tells_ten_problems():
    problems = Problems()
    problems.add()
    with pytest.raises(MissingFileError, match=r'^a\nb$'):
        problems.add('a', 'b', kind=MissingFileError)
    with pytest.raises(InputValueError, match=r'9\n\.\.\. and 1,190 more$'):
        problems.add(*map(str, range(1200)))
    assert problems.found == []
    problems.warn('a')
    assert problems.found == ['a']


def test_problems_are_collected_once_and_told_before_an_error():
    problems = Problems(collect=True)
    problems.add('a', 'b', 'a', kind=MissingFileError)
    problems.add('b', 'c')
    assert problems.found == ['a', 'b', 'c']
    with (
        pytest.raises(InputValueError, match=r'^a\nb\nc\nend$'),
        problems.before_errors(),
    ):
        raise InputValueError('end')


def test_a_list_with_problems_of_all_kinds(tree):
    rows = [
        f'{path.relative_to(tree)},{path.parent.name}'
        for path in sorted(tree.glob('*/*'))
    ]
    rows += ['only a path', ',ant', 'x.png,nan', rows[0], 'ant/1.png,bee']
    rows += ['cat/gone.png,cat', 'y.png,c\u0323\u0302', 'y.png,c\u0302\u0323']
    path = tree / 'all.csv'
    path.write_text('\n'.join(['path,label', *rows]))
    patterns = (
        r"all.csv:12: a row must be path,label.*'only a path'",
        'all.csv:13: an image must have a path, got none',
        "all.csv:14: an image must have a label, got 'nan'",
        'all.csv:15: an image must be listed once, but .* in line 2$',
        "all.csv:16: .* in line 3, with the label 'ant'$",
        "all.csv:19: .* 'y.png' is also in line 18, with the label",
        "all.csv:17: image '.*gone.png' does not exist$",
        "all.csv:18: image '.*y.png' does not exist$",
        'all.csv: every class needs a training image.* none of c',
    )
    collected(path, patterns, 3 + 2 + 2)
    with pytest.raises(
        ValueError, match='12: (.|\n)*:14: (.|\n)*:19: [^\n]*$'
    ):
        CustomImages(str(path))
    path.write_text('\n'.join(['path,label', *rows[:10], *rows[15:17]]))
    message = r':12: image .* not exist \(2 of 12 images are missing; bcl-mm'
    with pytest.raises(FileNotFoundError, match=message):
        CustomImages(str(path))


def test_a_list_of_which_nothing_is_right(tmp_path):
    path = tmp_path / 'all.csv'
    path.write_text('path,label\na.png,nan\nb.png,nan\n')
    with pytest.raises(
        ValueError, match=r'csv:2: .*\n.*csv:3: (.|\n)*no image$'
    ):
        CustomImages(str(path), collect_problems=True)


def test_a_tree_with_problems_of_all_kinds(tree):
    (tree / 'bee' / 'again').symlink_to(tree / 'ant')
    (tree / 'bee' / 'link.png').symlink_to(tree / 'ant' / '1.png')
    os.link(tree / 'ant' / '0.JPG', tree / 'cat' / 'hard.JPG')
    write_classes(tree, (1, 0, 2), ['single', 'empty', 'space '])
    patterns = (
        'must not begin or end with a space, got .*space ',
        'must be in one class, but .*again. is a link to .*ant',
        r'once, but .*hard.JPG. and .*0.JPG. are the same file \(linked',
        'once, but .*link.png. and .*1.png. are the same file: remove the li',
        'every class needs a training image, but there is none of empty$',
        'there is only one of single$',
    )
    train = collected(tree, patterns, 3 + 2 + 2 + 1 + 1)
    assert len(train.metainfo['classes']) == 6
    collected(tree, patterns, 1 + 1 + 1 + 1, split='val')


def test_classes_that_training_lacks(tmp_path):
    write_classes(tmp_path / 'train', (2, 2), NAMES)
    write_classes(tmp_path / 'val', (1, 1, 3), NAMES)
    pattern = "val must have no other classes than .* it has 'cat'$"
    collected(tmp_path, [pattern], 2, split='val')


def test_the_only_class(tmp_path):
    write_classes(tmp_path / 'tree', (4,), NAMES)
    dataset = collected(tmp_path / 'tree', ["got only 'ant'"], 3)
    assert dataset.metainfo['classes'] == ('ant',)


def test_a_list_of_lines(tree):
    lines = [
        f'{name}/{file} {label}'
        for label, name in enumerate(NAMES)
        for file in ('0.JPG', '1.png')
    ]
    os.link(tree / 'ant' / '0.JPG', tree / 'hard.JPG')
    lines += ['x.png', 'y.png -1', './ant/1.png 2', 'gone.png 1', 'hard.JPG 0']
    (tree / 'list.txt').write_text('\n'.join(lines))
    dataset = ImageList('list.txt', str(tree), collect_problems=True)
    assert len(dataset) == 6
    for problem, pattern in zip(
        dataset.problems,
        (
            '7: a line must be "path label"',
            '8: a line must be "path label"',
            'list.txt:9: an image must be listed once, but .* in line 2: rem',
            'are the same file .linked',
            'list.txt:10: image .* does not exist$',
        ),
        strict=True,
    ):
        assert re.search(pattern, problem)
    with pytest.raises(ValueError, match=r":7: .*\n.*:8: [^\n]*'y.png -1'$"):
        ImageList('list.txt', str(tree))
