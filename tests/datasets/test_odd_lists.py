"""Lists that are written in odd ways."""

import numpy as np
import pytest

from bcl_mm.datasets import CustomImages, ImageList
from bcl_mm.datasets.class_names import sorted_names
from bcl_mm.datasets.csv_lists import read_csv
from tests.datasets.odd import write_csv


@pytest.mark.parametrize(
    ('header', 'parts'),
    [
        ('path,label,split', ('train', 'val')),
        ('Split,label,path', ('0', '1')),
        ('path,label,is_valid', ('True', 'False')),
        ('path,label,phase', ('Train', 'TEST')),
        ('path,label,set', ('train', 'dev')),
        ('path,label,usage', ('train', '')),
        ('path,label,fold', ('0', '1')),
        ('path,label,CV fold', ('a', 'b')),
        ('path,label,dataset-split', ('a', 'b')),
        ('path,label,is_train', ('1', '0')),
    ],
)
def test_a_column_that_splits_is_not_ignored(tmp_path, header, parts):
    rows = [
        dict(path=f'{i}.png', label='ab'[i % 2], split=parts[i // 4])
        for i in range(8)
    ]
    columns = [
        name if name in ('path', 'label') else 'split'
        for name in header.lower().split(',')
    ]
    lines = [','.join(row[name] for name in columns) for row in rows]
    path = write_csv(tmp_path, '\n'.join([header, *lines]))
    message = 'divides .* set split_column=.* list of its own .*, or remove '
    with pytest.raises(ValueError, match=message):
        CustomImages(path, check_files=False)


def test_other_columns_are_ignored(tmp_path):
    text = 'path,label,part,split\na.png,0,hand,train\nb.png,1,foot,train\n'
    assert len(read_csv(write_csv(tmp_path, text))[0]) == 2
    text = 'path,label,set,phase,unfolded\na.png,0,1,2,3\nb.png,1,4,5,6\n'
    assert len(read_csv(write_csv(tmp_path, text))[0]) == 2


def test_a_column_is_named_once(tmp_path):
    text = 'path,label,Label\na.png,cat,dog\n'
    with pytest.raises(ValueError, match='may be in label and Label,'):
        read_csv(write_csv(tmp_path, text))


@pytest.mark.parametrize(
    ('names', 'expected'),
    [
        ('10.0 0.0 2.0', '0.0 2.0 10.0'),
        ('10 9 -1 +3', '-1 +3 9 10'),
        ('2.5 10.25 1', '1 2.5 10.25'),
        ('10 9 x', '10 9 x'),
        ('1e3 20', '1e3 20'),
    ],
)
def test_numbers_are_sorted_by_value(names, expected):
    assert ' '.join(sorted_names(names.split(), 'list')) == expected


@pytest.mark.parametrize(
    'names',
    [['1', '01'], ['1', '1.0'], ['-0', '0'], ['1', '1e0'], ['.5', '5E-1']],
)
def test_a_number_is_written_in_one_way(names):
    with pytest.raises(
        ValueError, match='list: .* are the same number: write it in on'
    ):
        sorted_names([*names, '7'], 'list')
    assert len(sorted_names([*names, 'f7'], 'list')) == 3  # names of any kind


@pytest.mark.parametrize(
    ('names', 'kind'),
    [
        (['True', 'true', 'False'], 'truth value'),
        (['no', 'FALSE', 'false'], 'truth value'),
        (['caf\u00e9', 'cafe\u0301'], 'text'),
    ],
)
def test_a_label_is_written_in_one_way(tmp_path, names, kind):
    rows = [f'{i}.png,{names[i % len(names)]}' for i in range(9)]
    path = write_csv(tmp_path, '\n'.join(['path,label', *rows]))
    with pytest.raises(ValueError, match=f'all.csv: .* the same {kind}'):
        CustomImages(path, check_files=False)


@pytest.mark.parametrize('cell', ['nan', 'NaN', '<NA>'])
def test_a_missing_label_is_not_a_class(tmp_path, cell):
    text = f'path,label\na.png,cat\nb.png,{cell}\n'
    with pytest.raises(ValueError, match=r'all.csv:3: .* must have a label'):
        read_csv(write_csv(tmp_path, text))


def test_an_image_is_one_however_it_is_written(tmp_path):
    text = 'path,label\na/x.png,cat\n./a//x.png,dog\n'
    with pytest.raises(
        ValueError, match=r":3: .* once, but './a//x.png' is al"
    ):
        read_csv(write_csv(tmp_path, text))
    text = f'path,label\nx.png,cat\n{tmp_path}/a/x.png,dog\n'
    assert len(read_csv(write_csv(tmp_path, text))[0]) == 2
    with pytest.raises(ValueError, match=":3: .*, but '/.* in line 2"):
        read_csv(write_csv(tmp_path, text), prefix='a')


def test_labels_above_a_million(tmp_path):
    path = tmp_path / 'list.txt'
    path.write_text('a.png 1000000\nb.png\t3\n')
    dataset = ImageList(str(path), check_files=False)
    assert dataset.get_gt_labels().tolist() == [1_000_000, 3]
    assert len(dataset.metainfo['classes']) == 1_000_001
    assert dataset.get_gt_labels().dtype == np.int64
