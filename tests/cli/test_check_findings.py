"""A messy folder: all that is seeded is found, and nothing else."""

import csv
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image

from bcl_mm.datasets import CustomImages
from tests.cli.checks import listed
from tests.trees import random_image

CONFIG = 'bcl_resnet32_custom'
NAMES = ('left', 'right', 'third')


def write(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.fixture
def clean(tmp_path):
    """Training and validation of three classes, without a fault."""
    seed = iter(range(1000))
    for split, number in (('train', 6), ('val', 2)):
        for name in NAMES:
            for i in range(number):
                path = tmp_path / 'data' / split / name / f'{i}.png'
                write(path, random_image(next(seed), (36 + i, 48)))
    return tmp_path / 'data'


def copy(source, target):
    """The same pixels in another file."""
    return write(target, np.array(Image.open(source)), compress_level=1)


def check(call, root, *arguments):
    status, output, _ = call(
        'check', CONFIG, '--cfg-options', f'data_root={root}', *arguments
    )
    return status, output


def test_a_clean_folder_has_no_findings(call, clean, tmp_path):
    fixes = tmp_path / 'fix.csv'
    status, output = check(call, clean, '--fix-list', fixes)
    assert status == 0
    assert listed(output, 'Warnings') == listed(output) == []
    assert fixes.read_text().split() == ['path,class,split,reason,partner']
    status, output = check(call, clean, '--fast')
    assert (status, listed(output, 'Warnings')) == (0, [])
    assert 'decoded' not in output


def make_a_mess(clean):
    """Spoil the folder; returns problems, warnings and lines of the list."""
    train, val = clean / 'train', clean / 'val'
    first, second = train / 'left' / '0.png', train / 'left' / '1.png'
    conflict = copy(first, train / 'right' / 'conflict.png')
    leaked = copy(val / 'third' / '0.png', train / 'third' / 'leak.png')
    wrong = copy(val / 'right' / '1.png', train / 'third' / 'wrong.png')
    twice = copy(second, train / 'left' / 'twice.png')
    near = train / 'third' / 'near.jpg'
    write(near, np.array(Image.open(train / 'right' / '2.png')), quality=90)
    near_val = val / 'left' / 'near.jpg'
    write(near_val, np.array(Image.open(train / 'left' / '3.png')), quality=90)
    empty = train / 'right' / 'empty.jpg'
    empty.touch()
    text = val / 'left' / 'text.png'
    text.write_text('no image')
    problems = [
        f'train: {empty} is empty',
        f'val: {text} is not an image',
        f'train: {first} (left) is the same image as train: {conflict} '
        '(right)',
        f'train: {leaked} (third) is the same image as val: '
        f'{val / "third" / "0.png"} (third)',
        f'train: {wrong} (third) is the same image as val: '
        f'{val / "right" / "1.png"} (right)',
    ]
    warnings = [
        f'train: {second} (left) is the same image as train: {twice} (left)',
        f'train: {train / "right" / "2.png"} (right) looks almost like '
        f'train: {near} (third)',
        f'train: {train / "left" / "3.png"} (left) looks almost like '
        f'val: {near_val} (left)',
    ]
    rows = [
        (empty, 'right', 'train', 'is empty', ''),
        (text, 'left', 'val', 'is not an image', ''),
        (first, 'left', 'train', 'label conflict', conflict),
        (conflict, 'right', 'train', 'label conflict', first),
        (
            leaked,
            'third',
            'train',
            'training image in val',
            val / 'third' / '0.png',
        ),
        (wrong, 'third', 'train', 'label conflict', val / 'right' / '1.png'),
        (val / 'right' / '1.png', 'right', 'val', 'label conflict', wrong),
        (twice, 'left', 'train', 'duplicate', second),
    ]
    return problems, warnings, rows


def test_all_that_is_wrong_is_found_in_one_run(call, clean, tmp_path):
    problems, warnings, rows = make_a_mess(clean)
    fixes = tmp_path / 'fix.csv'
    status, output = check(call, clean, '--fix-list', fixes)
    assert status == 1
    assert sorted(listed(output)) == sorted(problems)
    assert sorted(listed(output, 'Warnings')) == sorted(warnings)
    with fixes.open(newline='') as file:
        header, *found = csv.reader(file)
    assert header == ['path', 'class', 'split', 'reason', 'partner']
    assert sorted(found) == sorted([list(map(str, row)) for row in rows])
    assert f'{fixes} lists {len(rows)} images to exclude.' in output


@pytest.mark.parametrize('layout', ['parts', 'tree', 'lists', 'list'])
def test_data_without_what_the_list_excludes_are_clean(
    call, clean, tmp_path, layout
):
    make_a_mess(clean)
    root = clean
    if layout == 'tree':
        root = tmp_path / 'tree'
        for path in clean.glob('*/*/*'):
            target = root / path.parent.name / f'{path.parts[-3]} {path.name}'
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
    elif layout == 'lists':  # an image in both of them, too
        root = tmp_path / 'lists'
        root.mkdir()
        for split in ('train', 'val'):
            rows = [f'{p},{p.parent.name}' for p in clean.glob(f'{split}/*/*')]
            shared = clean / 'val' / 'left' / '0.png'
            rows += [f'{shared},left'] if split == 'train' else []
            (root / f'{split}.csv').write_text('\n'.join(sorted(rows)))
    elif layout == 'list':
        rows = [f'{p},{p.parent.name}' for p in clean.glob('*/*/*')]
        rows += ['/gone.png,left']
        root = tmp_path / 'all.csv'
        root.write_text('\n'.join(['path,label', *sorted(rows)]))
    fixes = tmp_path / 'fix, 1.csv'
    status, output = check(call, root, '--fix-list', fixes)
    assert status == 1
    assert len({line.partition(': ')[2] for line in listed(output)}) == len(
        listed(output)
    )
    status, output = check(call, root, f'exclude={fixes}')
    assert (status, listed(output)) == (0, [])
    assert 'the same image' not in output
    note = f'left out by exclude={fixes}: '
    assert any(note in line for line in listed(output, 'Notes'))
    if layout == 'lists':  # validation keeps what training loses
        data = [
            CustomImages(str(root), split=s, exclude=str(fixes))
            for s in ('train', 'val')
        ]
        paths = [{info['img_path'] for info in part} for part in data]
        assert str(shared) not in paths[0]
        assert str(shared) in paths[1]


def test_a_list_of_exclusions_keeps_those_of_before(call, clean, tmp_path):
    fixes = tmp_path / 'fix.csv'
    first, second = (clean / 'train' / 'left' / f'{i}.png' for i in (0, 1))
    fixes.write_text(f'path,reason\n{first},blurred\n')
    exclude = f'exclude={fixes}', '--fix-list', fixes
    second.write_bytes(b'')
    for _ in range(2):  # it is not lost when the same command runs again
        _, output = check(call, clean, *exclude)
        with fixes.open(newline='') as file:
            _, *rows = csv.reader(file)
        assert rows == [
            [str(first), '', '', 'blurred', ''],
            [str(second), 'left', 'train', 'is empty', ''],
        ]
    assert f'{fixes} lists 2 images to exclude, 2 of them from' in output
    assert listed(output) == []


def test_problems_before_an_error_are_told_one_by_one(call, clean):
    (clean / 'train' / 'Left').mkdir()
    (clean / 'train' / 'Left' / 'text.txt').touch()
    text = f"{clean / 'train'}: the classes 'Left' and 'left' differ only"
    status, output = check(call, clean, 'val_dataloader.dataset.min_images=99')
    problems = listed(output)
    assert len([p for p in problems if p.startswith(text)]) == 1
    assert len([p for p in problems if 'is none of Left' in p]) == 1
    assert not any('no image of class' in p for p in problems)
    rule = 'val: min_images=99 must leave at least two classes'
    assert len([p for p in problems if p.startswith(rule)]) == 1


def test_a_test_part_that_is_not_checked_is_told(call, clean):
    shutil.copytree(clean / 'val', clean / 'test')
    hint = 'without test_dataloader.dataset.split=test'
    status, output = check(call, clean)
    assert (status, output.count(hint)) == (0, 1)
    status, output = check(call, clean, 'test_dataloader.dataset.split=test')
    assert (status, output.count(hint)) == (0, 0)
    assert len(listed(output, 'Warnings')) == 6


def test_many_findings_of_a_kind_are_counted(call, clean):
    for i in range(13):
        pixels = random_image(2000 + i)
        for name in NAMES[:2]:
            write(clean / 'train' / name / f'same {i}.png', pixels)
    status, output = check(call, clean)
    assert status == 1
    assert 'Problems (13):' in output
    kind = 'identical images of different classes'
    assert f'\n... and 3 more ({kind}); --all lists them\n' in output
    _, output = check(call, clean, '--all')
    assert len(listed(output)) == 13


def test_mirrored_classes_and_odd_images(call, clean, tmp_path):
    for split in ('train', 'val'):
        shutil.rmtree(clean / split / 'right')
        for i, path in enumerate(sorted((clean / split / 'left').iterdir())):
            pixels = np.ascontiguousarray(np.array(Image.open(path))[:, ::-1])
            write(clean / split / 'right' / f'{i}.png', pixels)
    odd = clean / 'train' / 'third'
    exif = Image.Exif()
    exif[274] = 6
    write(odd / 'turned.jpg', random_image(3000, (40, 300)), exif=exif)
    grey = random_image(3001)[..., 0]
    cv2.imwrite(str(odd / 'deep.png'), grey.astype(np.uint16) * 257)
    write(odd / 'flat.png', np.full((9, 9, 3), 100, np.uint8))
    histogram = tmp_path / 'h.png'
    status, output = check(call, clean, '--histogram', histogram)
    assert (status, listed(output)) == (0, [])
    (warning,) = listed(output, 'Warnings')
    assert warning == (
        'train: 100% of the images of left and right resemble the other '
        'class most when they are flipped: train without flips '
        '(augmentation=symbols)'
    )
    for line in (
        '  third  9 ' + '█' * 40,
        '  left   6 ' + '█' * 26 + '▋',
        'images: 27 decoded',
        f'  smallest: 9 x 9, train: {odd}/flat.png',
        f'  largest: 300 x 40, train: {odd}/turned.jpg',
        '  formats: 26 PNG, 1 JPEG',
        '  channels: 26 RGB, 1 grey of 16 bits',
        '  bits: 26 with 8, 1 with 16',
        '  turned by EXIF: 1',
        f'  of one colour: 1, such as train: {odd}/flat.png',
    ):
        assert line in output.splitlines()
    assert Image.open(histogram).size[0] > 600
