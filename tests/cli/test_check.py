"""The tool that checks data sets, run as a user runs it."""

import os
import sys

import pytest
from mmpretrain.datasets import FashionMNIST
from PIL import Image, ImageOps

from bcl_mm.datasets import LongTailDataset
from tests.conftest import ROOT
from tests.trees import (
    write_cifar,
    write_classes,
    write_fashion_mnist,
    write_inaturalist,
    write_lists,
)

TOOL = ROOT / 'tools' / 'check_dataset.py'
IMAGENET = 'configs/bcl_resnext50_imagenet_lt.py'


@pytest.fixture
def check(call):
    """Run the tool in this process; returns exit status and output."""

    def check_config(*arguments):
        status, output, errors = call('check_dataset', *arguments)
        # MMEngine's logger keeps the stderr of the first test.
        return status, output or errors

    return check_config


def listed(output, title='Problems'):
    """Lines of a list at the end of the report."""
    _, _, rest = output.partition(f'\n{title} (')
    if not rest:
        return []
    number, _, lines = rest.partition('):\n')
    lines = lines.split('\n\n')[0].strip().splitlines()
    assert len(lines) == int(number.replace(',', ''))
    return lines


def write_config(path, **loaders):
    """A config of datasets alone."""
    text = ''.join(
        f'{name}_dataloader = dict(dataset={dataset!r})\n'
        for name, dataset in loaders.items()
    )
    path.write_text(text)
    return path


def folder(root, split):
    return dict(
        type='mmpretrain.CustomDataset',
        data_root=str(root),
        data_prefix=split,
        with_label=True,
        pipeline=[dict(type='none.such')],  # which is not needed
    )


@pytest.fixture
def folders(tmp_path):
    """A tree of a folder per class: cats, dogs, elks, 6 / 4 / 2 of them."""
    write_lists(tmp_path / 'source')
    for split in ('train', 'val'):
        for i, name in enumerate(('cat', 'dog', 'elk')):
            path = tmp_path / split / name
            path.mkdir(parents=True)
            pattern = f'train/n0144076{4 + i}/{split}_*'
            for image in (tmp_path / 'source').glob(pattern):
                image.rename((path / image.name).with_suffix('.jpg'))
    return tmp_path


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


def test_imagenet_lt_with_flat_test_images(run, tmp_path):
    write_lists(tmp_path)
    for path in tmp_path.glob('val/*/*.JPEG'):
        path.rename(tmp_path / 'val' / path.name)
    gone = tmp_path / 'train' / 'n01440764' / 'train_0_3.JPEG'
    gone.unlink()
    moved = tmp_path / 'val' / 'test_2_1.JPEG'
    moved.unlink()
    options = '--cfg-options', f'data_root={tmp_path}'
    done = run(sys.executable, TOOL, IMAGENET, *options, ok=False)
    assert done.returncode == 1
    assert 'train: 12 images, 3 classes, labels 0 to 2' in done.stdout
    listed_as = tmp_path / 'val' / 'n01440766' / moved.name
    assert listed(done.stdout) == [
        f'train: {gone} is missing',
        f'test: {listed_as} is missing',
        'train: there are 3 classes, but 1,000 are published',
        'train: there are 12 images, but 115,846 are published',
        'train: there are 6 images in the largest class, but 1,280 are '
        'published',
        'train: there are 2 images in the smallest class, but 5 are published',
        'val: there are 3 classes, but 1,000 are published',
        'val: there are 6 images, but 20,000 are published',
        'test: there are 3 classes, but 1,000 are published',
        'test: there are 6 images, but 50,000 are published',
        'train: there are 3 classes, but model.head.num_classes is 1000',
    ]


def test_places_lt_and_a_list_that_is_missing(check, tmp_path):
    write_lists(tmp_path, per_class=(3, 2))
    for split in ('train', 'val'):
        (tmp_path / f'ImageNet_LT_{split}.txt').rename(
            tmp_path / f'Places_LT_{split}.txt'
        )
    places = dict(type='bcl_mm.PlacesLT', data_root=str(tmp_path))
    config = write_config(
        tmp_path / 'config.py',
        **{
            split: dict(places, ann_file=f'Places_LT_{split}.txt')
            for split in ('train', 'val', 'test')
        },
    )
    code, output = check(config)
    problems = listed(output)
    assert code == 1
    assert 'val: 4 images, 2 classes' in output
    assert "Places_LT_test.txt' does not exist. Places-LT needs" in problems[0]
    assert problems[1:] == [
        'train: there are 2 classes, but 365 are published',
        'train: there are 5 images, but 62,500 are published',
        'train: there are 3 images in the largest class, but 4,980 are '
        'published',
        'train: there are 2 images in the smallest class, but 5 are published',
        'val: there are 2 classes, but 365 are published',
        'val: there are 4 images, but 7,300 are published',
    ]


@pytest.mark.parametrize('kind', ['json', 'list'])
def test_inaturalist(check, tmp_path, kind):
    write_inaturalist(tmp_path)
    lists = dict(train='train2018.json', val='val2018.json')
    if kind == 'list':
        lists = dict(
            train='iNaturalist18_train.txt', val='iNaturalist18_val.txt'
        )
    gone = tmp_path / 'train_val2018' / 'Aves' / '1' / 'val_3.jpg'
    gone.unlink()
    data = dict(type='bcl_mm.INaturalist2018', data_root=str(tmp_path))
    code, output = check(
        write_config(
            tmp_path / 'config.py',
            **{split: dict(data, ann_file=lists[split]) for split in lists},
        )
    )
    assert code == 1
    assert listed(output) == [
        f'val: {gone} is missing',
        'train: there are 3 classes, but 8,142 are published',
        'train: there are 12 images, but 437,513 are published',
        'val: there are 3 classes, but 8,142 are published',
        'val: there are 6 images, but 24,426 are published',
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
        left_out = 'are not images and are left out (1 .db), '
        left_out += 'such as class 00/Thumbs.db'
        notes.insert(1, f'{root}: 1 files {left_out}')
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


@pytest.mark.parametrize(
    ('reader', 'ann_file', 'number', 'num_classes', 'name'),
    [
        (
            'INaturalist2018',
            'iNaturalist18_val.txt',
            24_426,
            8142,
            'train_val2018/Aves/{label}/{i}.jpg',
        ),
        (
            'ImageNetLT',
            'ImageNet_LT_val.txt',
            20_000,
            1000,
            'train/n{label:08d}/{i}.jpg',
        ),
    ],
)
def test_lists_of_full_length(
    check, tmp_path, reader, ann_file, number, num_classes, name
):
    write_lists(tmp_path / 'source', size=16)
    images = sorted((tmp_path / 'source').glob('**/*.JPEG'))
    lines, made = [], set()
    for i in range(number):
        label = i % num_classes
        path = tmp_path / name.format(label=label, i=i)
        if path.parent not in made:
            path.parent.mkdir(parents=True)
            made.add(path.parent)
        os.link(images[i % len(images)], path)
        lines.append(f'{path.relative_to(tmp_path)} {label}')
    (tmp_path / ann_file).write_text('\n'.join(lines))
    config = write_config(
        tmp_path / 'config.py',
        val=dict(
            type=f'bcl_mm.{reader}',
            data_root=str(tmp_path),
            ann_file=ann_file,
        ),
    )
    assert check(config, '--fast')[0] == 0
    path.unlink()
    code, output = check(config, '--fast')
    assert (code, listed(output)) == (1, [f'val: {path} is missing'])


def test_cifar_lt(check, tmp_path, monkeypatch):
    write_cifar(tmp_path, monkeypatch, 100)
    code, output = check(
        'configs/bcl_resnet32_cifar100_lt.py',
        '--cfg-options',
        f'data_root={tmp_path}',
        'train_dataloader.dataset.imbalance_factor=4',
    )
    assert code == 1
    assert 'train: 172 images, 100 classes' in output
    assert listed(output) == [
        'val: there are 100 images, but 10,000 are published'
    ]


def test_fashion_mnist_without_test_mode(check, tmp_path):
    write_fashion_mnist(tmp_path)
    arguments = (
        'configs/ce_resnet8_fashion_mnist_lt.py',
        '--cfg-options',
        f'data_root={tmp_path}',
        'train_dataloader.dataset.imbalance_factor=10',
        'test_dataloader.dataset.test_mode=False',
    )
    code, output = check(*arguments)
    assert code == 1
    assert listed(output) == [
        'test: there are 3,000 images, but 10,000 are published',
    ]
    train = FashionMNIST(str(tmp_path), download=False)
    subset = len(LongTailDataset(train, 10, max_per_class=1000, held_out=100))
    leak = 'images of training and testing'
    assert f'\n... and {subset - 10:,} more ({leak}); --all' in output
    _, output = check(*arguments, '--all')
    warnings = listed(output, 'Warnings')
    leaks = [w for w in warnings if 'is the same image as test: ' in w]
    leaks = [w for w in leaks if w.startswith('train')]
    assert len(leaks) == subset
    assert leaks[0].startswith('train: image 0 (')


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
