"""Lists as spreadsheets and other programs write them."""

import pytest

from bcl_mm.datasets import CustomImages
from tests.trees import write_classes

NAMES = ['ant', 'bee', 'cat']


@pytest.fixture
def tree(tmp_path):
    write_classes(tmp_path / 'tree', (4, 3, 3), NAMES)
    return tmp_path / 'tree'


def write(root, header, row, separator=',', name='all.csv', start=''):
    """A list of a tree; ``row`` makes fields of path, class and index."""
    paths = sorted(root.glob('*/*.*'))
    rows = [
        row(str(path.relative_to(root)), path.parent.name, i)
        for i, path in enumerate(paths)
    ]
    lines = [separator.join(map(str, fields)) for fields in (header, *rows)]
    (root / name).write_text(start + '\n'.join(lines))
    return root / name


def read(path, split='train', **options):
    return CustomImages(str(path), split=split, **options)


def images(dataset):
    names = dataset.metainfo['classes']
    return [(i['img_path'], names[i['gt_label']]) for i in dataset.data_list]


@pytest.mark.parametrize('separator', list(',;\t|'))
@pytest.mark.parametrize('start', ['', '\ufeff', 'sep={}\n'])
def test_separators(tree, separator, start):
    expected = images(read(tree))
    row = lambda path, name, i: (path, name, i)  # noqa: E731
    header = 'path', 'label', 'n'
    start = start.format(separator)
    path = write(tree, header, row, separator, start=start)
    dataset = read(path)
    assert images(dataset) == expected
    what = {',': 'commas', ';': 'semi', '\t': 'tabs', '|': "'|'"}[separator]
    (note,) = dataset.notes[1:]
    assert 'path is the column path, label is the column label; ' in note
    assert f'separated by {what}' in note


def test_commas_in_the_paths_of_another_separator(tree):
    for path in list(tree.glob('*/*.*')):
        path.rename(path.with_name(f'a, {path.name}'))
    path = write(
        tree, ['path', 'label'], lambda path, name, i: (path, name), ';'
    )
    assert len(read(path)) == 3 + 2 + 2
    # Without a header, too.
    path.write_text(path.read_text().partition('\n')[2])
    assert len(read(path)) == 3 + 2 + 2


@pytest.mark.parametrize(
    ('header', 'chosen'),
    [
        (('file', 'n', 'class'), ('file', 'class')),
        (('Image Path', 'n', 'Category'), ('Image Path', 'Category')),
        (('file-name', 'n', 'target'), ('file-name', 'target')),
        # Our own names win over others.
        (('path', 'image', 'label'), ('path', 'label')),
        (('path', 'class', 'label'), ('path', 'label')),
    ],
)
def test_known_names_are_recognised(tree, header, chosen):
    path = write(tree, header, lambda path, name, i: (path, i, name))
    dataset = read(path)
    assert images(dataset) == images(read(tree, check_files=False))
    told = f'path is the column {chosen[0]}, label is the column {chosen[1]};'
    assert told in dataset.notes[1]


@pytest.mark.parametrize(
    'header', [('class', 'file'), ('class', 'x'), ('x', 'file')]
)
def test_one_of_two_columns_tells_the_other(tree, header):
    path = write(tree, header, lambda path, name, i: (name, path))
    assert len(read(path)) == 3 + 2 + 2


@pytest.mark.parametrize(
    ('header', 'message'),
    [
        (
            ('file', 'image', 'class'),
            'path of an image may be in file and image, among the columns '
            'file, image, class: set path_column=NAME',
        ),
        (
            ('file', 'class', 'target'),
            'label of an image may be in class and target, .* label_column=N',
        ),
        (
            ('file', 'x', 'y'),
            'no column is known to hold the label .* among file, x, y: set l',
        ),
        (('x', 'y', 'class'), 'to hold the path of .* set path_column=NAME'),
    ],
)
def test_ambiguous_columns(tree, header, message):
    path = write(tree, header, lambda path, name, i: (path, i, name))
    with pytest.raises(ValueError, match=f'all.csv: .*{message}'):
        read(path)
    with pytest.raises(ValueError, match=f'all.csv: .*{message}'):
        read(path, collect_problems=True)


def test_columns_that_are_named(tree):
    header = 'image', 'file', 'class', 'dx'
    path = write(tree, header, lambda path, name, i: (i, path, i % 2, name))
    columns = dict(path_column='file', label_column='DX')
    for root in path, tree:  # beside class folders, too
        dataset = read(root, **columns)
        assert dataset.metainfo['classes'] == tuple(NAMES)
        assert 'path is the column file, label is the column dx' in str(
            dataset.notes
        )
    for options, message in (
        (dict(path_column='fil'), "'fil' is not among .*; similar are file"),
        (dict(columns, path_column='dx'), "must be two columns, got 'dx' for"),
        (dict(path_column=3), 'path_column must be text, got 3'),
        (dict(columns, group_column='x'), "group_column must .* 'x' is not"),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            read(path, **options)
    path.unlink()
    with pytest.raises(ValueError, match='path_column needs a CSV list, but'):
        read(tree, **columns)


def test_tables_beside_class_folders_stay_ignored(tree):
    expected = images(read(tree))
    write(tree, ['image', 'class'], lambda path, name, i: (name, i))
    assert images(read(tree)) == expected
    (tree / 'all.csv').unlink()
    root = tree / 'images'
    root.mkdir()
    for name in NAMES:
        (tree / name).rename(root / name)
    write(tree, ['image', 'class'], lambda path, name, i: (path, name))
    rows = [f'images/{n}/{f},{n}' for n in NAMES for f in ('0.JPG', '1.png')]
    (tree / 'all.csv').write_text('\n'.join(['image,class', *rows]))
    assert len(read(tree)) == 3
    assert len(read(tree, 'val')) == 3


# The column of the parts


WORDS = dict(train='Train', val='validation', test='TEST')


def parted(root, words=WORDS, header=('path', 'label', 'split')):
    parts = [words[part] for part in ('train', 'train', 'val', 'test')]
    return write(root, header, lambda p, name, i: (p, name, parts[i % 4]))


def test_a_column_divides_the_list(tree):
    path = parted(tree)
    found = []
    for split in ('train', 'val', 'test'):
        dataset = read(path, split, split_column='split')
        assert dataset.metainfo['classes'] == tuple(NAMES)
        assert dataset.notes[0] == f'{split} is {path}, part {split}'
        assert 'split is the column split' in dataset.notes[1]
        found.append(images(dataset))
    assert list(map(len, found)) == [6, 2, 2]
    assert len(set(sum(found, []))) == 10


def test_the_training_part_is_split_without_validation(tree):
    words = dict(train='train', val='train', test='test')
    path = parted(tree, words)
    numbers = [
        len(read(path, split, split_column='split'))
        for split in ('train', 'val', 'test')
    ]
    assert numbers == [5, 3, 2]


@pytest.mark.parametrize('name', ['is_valid', 'Is Train'])
def test_a_column_of_truth_values(tree, name):
    words = dict(train=False, val=True, test=True)
    if name == 'Is Train':
        words = {part: int(not is_val) for part, is_val in words.items()}
    path = parted(tree, words, ('path', 'label', name))
    assert len(read(path, 'train', split_column=name)) == 6
    assert len(read(path, 'val', split_column=name)) == 4


def test_errors_of_the_column_of_the_parts(tree):
    path = parted(tree, dict(WORDS, val='holdout'))
    message = "must say train, val .* but it has also 'holdout'$"
    with pytest.raises(ValueError, match=message):
        read(path, split_column='split')
    found = read(path, split_column='split', collect_problems=True)
    assert len(found) == 3  # of 6: without validation, they are split
    assert "'holdout'" in found.problems[0]
    path = parted(tree, dict(WORDS, train='val'))
    with pytest.raises(ValueError, match='gives no image to the training'):
        read(path, 'val', split_column='split')
    path.rename(tree / 'train.csv')
    parted(tree).rename(tree / 'val.csv')
    message = 'divides one list, but .* has train.csv, val.csv: give one'
    with pytest.raises(ValueError, match=message):
        read(tree, split_column='split')
