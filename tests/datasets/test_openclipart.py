"""OpenClipart-LT, from a small package in the real layout."""

import csv
from collections import Counter, defaultdict
from pathlib import PurePosixPath

import numpy as np
import pytest
from PIL import Image

from bcl_mm.datasets import CustomImages
from bcl_mm.datasets.openclipart import (
    count_authors,
    fitted,
    group_images,
    on_white,
    prepare,
    series_of,
)
from bcl_mm.utils.errors import MissingFileError


def draw(path, number, size=(9, 5)):
    """An image unlike those of other numbers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (*size[::-1], 4))
    pixels[..., 3] = 255
    Image.fromarray(pixels.astype(np.uint8), 'RGBA').save(path)


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    root = tmp_path_factory.mktemp('png')
    number = iter(range(10_000))
    for label, authors, each in (
        ('animals/birds', 9, 4),
        ('animals/fish', 2, 8),  # too few authors: to animals
        ('animals', 8, 2),
        ('food', 7, 3),
        ('tools/saws', 7, 1),  # too few images: to tools
        ('tools', 6, 1),
        ('toys', 3, 9),  # no top folder: left out
    ):
        for author in range(authors):
            name = 'abcdefghij'[author] * 4
            for i in range(each):
                word = f'thing{"klmnopqrst"[i]}'
                path = f'{label}/{word}_{name}_{name}_{i:02}.png'
                draw(root / path, next(number))
    for i in range(150):  # a series in a folder of its own
        draw(root / f'food/fruit/set/{i}.png', next(number))
    for path in ('food/x_aaaa_aaaa_09.png', 'food/y_bbbb_bbbb_09.png'):
        draw(root / path, 20_000)  # twice in one class
    for path in ('food/z_aaaa_aaaa_09.png', 'animals/z_aaaa_aaaa_09.png'):
        draw(root / path, 20_001)  # in two classes
    for folder in ('unsorted', 'special/gradients'):
        draw(root / folder / 'a_01.png', next(number))
    return root


def read(path):
    with open(path) as file:
        return list(csv.DictReader(file))


def test_folds_by_author(source, tmp_path):
    drawings = prepare(source, tmp_path, size=8)
    labels = Counter(one.label for one in drawings)
    assert set(labels) == {'animals', 'animals/birds', 'food', 'tools'}
    assert labels['animals/birds'] == 36
    assert labels['animals'] == 2 * 8 + 8 * 2
    assert labels['tools'] == 7 + 6
    # A series gives 100 images; one of two equal images stays, and none of
    # an image in two classes.
    assert labels['food'] == 100 + 7 * 3 + 1
    parts = defaultdict(set)
    for one in drawings:
        parts[one.label, one.group].add(one.part)
    assert all(len(of) == 1 for of in parts.values())
    for label in labels:
        of = Counter(d.part for d in drawings if d.label == label)
        assert set(of) == {*'01234', 'val'}
        assert max(of.values()) <= 100
    tested = []
    for fold in range(5):
        rows = read(tmp_path / f'fold_{fold}.csv')
        assert len(rows) == len(drawings)
        tested += [r['path'] for r in rows if r['part'] == 'test']
        held_out = {r['path'] for r in rows if r['part'] == 'val'}
        of_part = {one.path for one in drawings if one.part == str(fold)}
        assert {f'images/{path}' for path in of_part} == {
            r['path'] for r in rows if r['part'] == 'test'
        }
    assert len(tested) == len(set(tested))
    assert not held_out & set(tested)
    assert len(tested) + len(held_out) == len(drawings)
    assert {str(p.relative_to(tmp_path)) for p in tmp_path.rglob('*.png')} == {
        r['path'] for r in rows
    }


def test_the_same_again_and_as_a_data_set(source, tmp_path):
    for name in 'ab':
        prepare(source, tmp_path / name, size=8)
    for path in sorted((tmp_path / 'a').rglob('*.*')):
        other = tmp_path / 'b' / path.relative_to(tmp_path / 'a')
        assert path.read_bytes() == other.read_bytes()
    sets = [
        CustomImages(
            data_root=str(tmp_path / 'a' / 'fold_2.csv'),
            split_column='part',
            split=split,
        )
        for split in ('train', 'val', 'test')
    ]
    assert {len(one.metainfo['classes']) for one in sets} == {4}
    files = [
        {d['img_path'] for d in map(s.get_data_info, range(len(s)))}
        for s in sets
    ]
    assert not files[0] & files[1] | files[0] & files[2] | files[1] & files[2]


def paths(*names):
    return [PurePosixPath('animals/birds', f'{name}.png') for name in names]


@pytest.mark.parametrize(
    'names',
    [
        ('owl_benji_park_01', 'crow_benji_park_02'),
        ('star_92pt03step', 'star_58pt15step'),
        ('candy_22', 'candy_23'),
        ('owl_on_branch_ganson', 'arctic_greyling_ganson'),
        # Cut after 24 letters.
        ('acquila_architetto_franc_01', 'aquila_frontale_architet_01'),
        ('lamp_sergio_luiz_araujo__01', 'a_long_lamp_sergio_luiz_01'),
    ],
)
def test_a_series_is_one_group(names):
    others = paths('x_architetto_franc_01', 'y_architetto_franc_01')
    others += paths('a_luiz_araujo_01', 'b_luiz_araujo_02')
    found = paths(*names, 'hen_jon_phillips_01')
    authors = count_authors([*found, *others])
    assert [len(g) for g in group_images(found, authors)] == [2, 1]


def test_a_set_in_a_folder_is_one_series():
    path = PurePosixPath('computer/icons/flat-theme/action/apply.png')
    assert series_of(path, set()) == {'computer/icons/flat-theme'}


def test_transparent_is_white_and_the_rest_is_padding(tmp_path):
    image = Image.new('RGBA', (4, 2), (255, 0, 0, 0))
    image.putpixel((0, 0), (0, 0, 255, 255))
    image.save(tmp_path / 'a.png')
    drawn = on_white((tmp_path / 'a.png').read_bytes())
    assert drawn.getpixel((0, 0)) == (0, 0, 255)
    assert drawn.getpixel((1, 0)) == (255, 255, 255)
    black = Image.new('RGB', (30, 10))
    square = np.asarray(fitted(black, 6))
    assert square.shape == (6, 6, 3)
    assert (square[:2] == 255).all() and (square[4:] == 255).all()
    assert (square[2:4] == 0).all()


def test_without_the_package(tmp_path):
    with pytest.raises(MissingFileError, match='apt-get install openclipart'):
        prepare(tmp_path / 'nothing', tmp_path / 'out')
