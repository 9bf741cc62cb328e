"""Lists of images to exclude, read with the data."""

import shutil

import pytest

from bcl_mm.datasets import CustomImages
from bcl_mm.utils.errors import InputError

NAMES = ('left', 'right', 'third')


@pytest.fixture
def parts(tmp_path):
    """Training and validation of three classes; nothing is decoded."""
    for split, number in (('train', 6), ('val', 2)):
        for name in NAMES:
            folder = tmp_path / 'data' / split / name
            folder.mkdir(parents=True)
            for i in range(number):
                (folder / f'{i}.png').write_text(f'{split} {name} {i}')
    return tmp_path / 'data'


def test_lists_that_cannot_be_used(parts, tmp_path):
    fixes = tmp_path / 'fix.csv'
    for text, message in (
        (None, 'exclude must be a CSV file.* does not exist'),
        ('a,b\n', 'fix.csv: the first row must name the columns'),
        ('path,split\n/a,dev\n', "fix.csv:2: .* got '/a' and 'dev'"),
        ('path\n""\n', 'fix.csv:2: a row must have a path'),
        (
            'path\n/elsewhere/a.png\n',
            'lists 1 image, of which none is in .*'
            'a.png: is it the list of other data',
        ),
    ):
        if text is not None:
            fixes.write_text(text)
        with pytest.raises(InputError, match=message):
            CustomImages(str(parts), exclude=str(fixes))
    fixes.write_text('path\ndata/train/left/0.png\n')  # relative to it
    dataset = CustomImages(str(parts), exclude=str(fixes))
    assert len(dataset) == 17
    fixes.write_text('path,split\ndata/train/left/0.png,val\n')
    assert len(CustomImages(str(parts), exclude=str(fixes))) == 18
    # An image of one part, in a list that names no parts.
    fixes.write_text('path\ndata/val/left/0.png\n')
    sizes = [
        len(CustomImages(str(parts), split=split, exclude=str(fixes)))
        for split in ('train', 'val')
    ]
    assert sizes == [18, 5]


def test_what_is_excluded_does_not_count(parts, tmp_path):
    tree = tmp_path / 'tree'
    shutil.copytree(parts / 'train', tree)
    fixes = tmp_path / 'fix.csv'
    rows = [f'{tree}/left/{i}.png' for i in range(5)]
    fixes.write_text('\n'.join(['path', *rows]))
    options = dict(exclude=str(fixes))
    with pytest.raises(InputError, match='there is only one of left'):
        CustomImages(str(tree), **options)
    dataset = CustomImages(str(tree), min_images=2, **options)
    assert dataset.metainfo['classes'] == ('right', 'third')
    # Nor does its group: 5 is in both parts, 0 and 1 no longer are.
    for name in ('left', 'right', 'third'):
        (parts / 'val' / name / '0.png').rename(parts / 'val' / name / '5.png')
    rows = [f'{parts}/train/{name}/1.png' for name in NAMES]
    fixes.write_text('\n'.join(['path,split', *(f'{r},train' for r in rows)]))
    val = CustomImages(
        str(parts), split='val', group_regex='/([0-9])', **options
    )
    (problem,) = val.problems
    assert 'shares 1 group with the training part: 5 (group_reg' in problem
