"""The tool that checks data sets, run as a user runs it."""

import sys

import pytest
from PIL import Image, ImageOps

from tests.cli.checks import IMAGENET, TOOL, folder, listed, write_config
from tests.trees import (
    write_classes,
    write_lists,
)


def break_images(root):
    """Spoil three images of a tree; returns them and what is wrong."""
    empty, text, cut = sorted(root.glob('**/*_0_*.jpg'))[:3]
    empty.write_bytes(b'')
    text.write_text('<html>404</html>')
    cut.write_bytes(cut.read_bytes()[:-500])
    return {
        empty: 'is empty',
        text: 'is not an image',
        cut: 'is cut short',
    }


def test_all_is_well(run):
    done = run(sys.executable, TOOL, 'configs/bcl_resnet8_digits_lt.py')
    assert done.stdout.splitlines() == [
        'Reading train ...',
        'Reading val ...',
        'Reading test ...',
        'train: 331 images, 10 classes, labels 0 to 9',
        '  images per class: 120 to 2, mean 33.1',
        '  imbalance factor: 60.0',
        '  classes: 1 many-shot, 4 medium-shot, 5 few-shot',
        '  0  120 ████████████████████████████████████████',
        '  1   77 █████████████████████████▋',
        '  2   50 ████████████████▋',
        '  3   32 ██████████▋',
        '  4   21 ███████',
        '  5   13 ████▍',
        '  6    8 ██▋',
        '  7    5 █▋',
        '  8    3 █',
        '  9    2 ▋',
        'val: 80 images, 10 classes, labels 0 to 9',
        '  images per class: 8 to 8, mean 8.0',
        'test: 500 images, 10 classes, labels 0 to 9',
        '  images per class: 50 to 50, mean 50.0',
        'images: 911 decoded',
        '  size: 8 x 8 pixels',
        '',
        'No problems.',
    ]


def test_folders_with_broken_files(check, folders, tmp_path):
    config = write_config(
        tmp_path / 'config.py',
        train=dict(
            type='RepeatDataset', times=3, dataset=folder(folders, 'train')
        ),
        val=folder(folders, 'val'),
        test=folder(folders, 'val'),
    )
    code, output = check(config)
    assert (code, listed(output)) == (0, [])
    assert 'train: 12 images, 3 classes, labels 0 to 2' in output
    assert listed(output, 'Notes') == ['test is the same data set as val']

    broken = break_images(folders / 'train')
    code, output = check(config, '--workers', 2)
    problems = listed(output)
    assert code == 1
    for (path, what), problem in zip(broken.items(), problems):
        assert problem.startswith(f'train: {path} {what}')
    assert len(problems) == len(broken)

    code, output = check(config, '--fast')
    assert code == 1
    assert listed(output) == [f'train: {next(iter(broken))} is empty']


def test_a_folder_that_is_missing_shifts_the_labels(check, folders, tmp_path):
    (folders / 'val' / 'cat').rename(folders / 'cats of val')
    (folders / 'train' / 'fox').mkdir()
    config = write_config(
        tmp_path / 'config.py',
        train=folder(folders, 'train'),
        val=folder(folders, 'val'),
    )
    counts = tmp_path / 'counts.csv'
    code, output = check(config, '--counts', counts)
    assert code == 1
    assert listed(output) == [
        'train: there is no image of class 3 (fox)',
        "val: class 0 is 'dog', but in train it is 'cat' (2 classes differ; "
        'a folder that only one of them has shifts the labels of all after '
        'it)',
    ]
    assert counts.read_text().split() == [
        'label,name,train,val',
        '0,cat,6,2',
        '1,dog,4,2',
        '2,elk,2,',
        '3,fox,0,',
    ]


@pytest.mark.parametrize('layout', ['tree', 'list', 'parts'])
def test_own_data(check, tmp_path, layout):
    root = tmp_path / 'data'
    write_classes(root / ('train' if layout == 'parts' else ''), (6, 4, 2))
    notes = [
        f'{split} is {root}, of which validation gets 0.2 (val_fraction) of '
        'each class'
        for split in ('train', 'val')
    ]
    if layout == 'tree':
        (root / 'class 00' / 'Thumbs.db').touch()
        left_out = '1 file of no image format (1 .db), '
        left_out += 'such as class 00/Thumbs.db'
        notes.insert(1, f'{root}: left out: {left_out}')
    elif layout == 'list':
        paths = sorted(path.relative_to(root) for path in root.glob('*/*'))
        rows = [f'{path},{path.parent}' for path in paths]
        (root / 'all.csv').write_text('\n'.join(rows))
        notes = [note.replace(str(root), f'{root}/all.csv') for note in notes]
    else:
        write_classes(root / 'val', (1, 1))
        for path in root.glob('val/*/*'):
            ImageOps.flip(Image.open(path)).save(path)
        notes = [f'{split} is {root / split}' for split in ('train', 'val')]
    options = '--cfg-options', f'data_root={root}'
    code, output = check('configs/bcl_resnet32_custom.py', *options)
    assert (code, listed(output)) == (0, [])
    notes.append('test is the same data set as val')
    if layout == 'parts':
        notes[-1:] += ['val has no image of class 2 (class 02)']
    found = [line for line in listed(output, 'Notes') if '8 x 8' not in line]
    assert found == notes
    number = 12 if layout == 'parts' else 9
    assert f'train: {number} images, 3 classes, labels 0 to 2' in output
    assert ('val: 2' if layout == 'parts' else 'val: 3') in output

    spoilt = next(root.glob('**/class 00/2.JPG'))
    spoilt.write_text('no image')
    code, output = check('configs/bcl_resnet32_custom.py', *options)
    assert code == 1
    (problem,) = listed(output)
    assert problem.endswith(f': {spoilt} is not an image')
    code, output = check(
        'configs/bcl_resnet32_custom.py', *options, 'model.head.num_classes=4'
    )
    assert listed(output)[-1] == (
        'train: there are 3 classes, but model.head.num_classes is 4'
    )
    (root / 'all.csv').unlink(missing_ok=True)
    write_classes(root / ('train' if layout == 'parts' else ''), (1,), ['new'])
    code, output = check('configs/bcl_resnet32_custom.py', *options)
    messages = [line for line in listed(output) if 'only one of new' in line]
    assert len(messages) == (0 if layout == 'parts' else 1)


def test_images_that_are_there_twice(check, tmp_path):
    write_lists(tmp_path, size=16)
    train, val = (
        (tmp_path / f'ImageNet_LT_{split}.txt').read_text().splitlines()
        for split in ('train', 'val')
    )
    (tmp_path / 'train.txt').write_text(
        '\n'.join([*train, train[1], train[2].replace(' 0', ' 1'), val[0]])
    )
    copy = tmp_path / 'train' / 'copy.JPEG'
    copy.write_bytes((tmp_path / train[4].split()[0]).read_bytes())
    (tmp_path / 'val.txt').write_text(
        '\n'.join([*val, 'train/copy.JPEG 0', 'train/none.JPEG 3'])
    )
    data = dict(type='bcl_mm.ImageList', data_root=str(tmp_path))
    config = write_config(
        tmp_path / 'config.py',
        train=dict(
            type='ClassBalancedDataset',
            oversample_thr=0.5,
            dataset=dict(data, ann_file='train.txt'),
        ),
        val=dict(
            type='ConcatDataset',
            datasets=[dict(data, ann_file='val.txt')] * 1,
        ),
    )
    code, output = check(config)
    assert code == 1
    once, twice, both = (
        tmp_path / line.split()[0] for line in (train[1], train[2], val[0])
    )
    cat, dog = '(n01440764)', '(n01440765)'
    source = tmp_path / train[4].split()[0]
    assert listed(output) == [
        f'val: {tmp_path / "train" / "none.JPEG"} is missing',
        'val: labels reach 3, but train has 3 classes',
        f'train: {once} {cat} is listed twice',
        f'train: {twice} {cat} is the same image as train: {twice} {dog}',
        f'train: {source} {cat} is the same image as val: {copy} {cat}',
        f'train: {both} {cat} is the same image as val: {both} {cat}',
    ]
    assert not listed(output, 'Warnings')


def test_what_the_dataset_cannot_tell(check, folders, tmp_path):
    unlabelled = dict(folder(folders, 'train'), with_label=False)
    outside = dict(folder(folders, 'val'), classes=['cat', 'dog', 'elk', 'x'])
    (folders / 'few.txt').write_text('val/cat/a.jpg 0\nval/elk/b.jpg 5\n')
    outside.update(ann_file='few.txt', data_prefix='')
    code, output = check(
        write_config(tmp_path / 'config.py', train=unlabelled, val=outside)
    )
    problems = listed(output)
    assert code == 1
    assert 'train: every image needs a label (gt_label), got' in problems[0]
    assert problems[1:] == [
        'val: labels must be in [0, 4), got 5 at sample 1 (1 of 2 labels are '
        'out of range)'
    ]


def test_usage_errors(check, tmp_path):
    model = tmp_path / 'model.py'
    model.write_text('model = dict()\n')
    broken = tmp_path / 'broken.py'
    broken.write_text('model = dict(\n')
    for arguments, message in (
        (['configs/none.py'], "there is no config 'configs/none.py'"),
        ([model], 'has none of train_dataloader, val_dataloader'),
        ([broken], f'{broken}: '),
        (
            [IMAGENET, '--workers', 0],
            "--workers: must be a whole number >= 1, got '0'",
        ),
        (
            [IMAGENET, '--counts', '/nowhere/x'],
            'folder /nowhere does not',
        ),
    ):
        code, output = check(*arguments)
        assert code == 2
        assert message in output
    code, output = check(IMAGENET, '--cfg-options', 'data_root=nowhere')
    assert code == 1
    assert len(listed(output)) == 3
    assert "train: data_root 'nowhere' of the train_dataloader" in output


def test_a_terminal_without_blocks_gets_other_bars(run, monkeypatch):
    monkeypatch.setenv('PYTHONIOENCODING', 'ascii')
    done = run(
        sys.executable, '-m', 'bcl_mm', 'check', 'bcl_resnet8_digits_lt'
    )
    assert f'\n  0  120 {"#" * 40}\n' in done.stdout
