"""CSV lists of images."""

import pytest

from tests.datasets.conftest import (
    NAMES,
    counts,
    files,
    read,
    rows_of,
    write_csv,
)


def test_a_list_of_all(tree):
    expected = files(read(tree)), files(read(tree, 'val'))
    write_csv(tree / 'all.csv', rows_of(tree))
    for root in (tree, tree / 'all.csv'):
        train, val = read(root), read(root, 'val')
        assert (files(train), files(val)) == expected
        assert train.metainfo['classes'] == NAMES
        assert train.notes[0].startswith(f'train is {tree / "all.csv"}, of')


def test_a_list_with_the_ending_tsv(tree):
    expected = files(read(tree)), files(read(tree, 'val'))
    rows = [row.replace(',', '\t') for row in rows_of(tree)]
    write_csv(tree / 'all.TSV', rows, header='path\tlabel\n')
    for root in (tree, tree / 'all.TSV'):
        assert (files(read(root)), files(read(root, 'val'))) == expected
    assert 'separated by tabs' in read(tree).notes[1]


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
