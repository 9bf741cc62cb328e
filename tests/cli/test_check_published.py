"""check_dataset.py on the lists that others have published."""

import os
import sys

import pytest
from mmpretrain.datasets import FashionMNIST

from bcl_mm.datasets import LongTailDataset
from tests.cli.checks import IMAGENET, TOOL, listed, write_config
from tests.trees import (
    write_cifar,
    write_fashion_mnist,
    write_inaturalist,
    write_lists,
)


def test_imagenet_lt_with_flat_test_images(run_warm, tmp_path):
    write_lists(tmp_path)
    for path in tmp_path.glob('val/*/*.JPEG'):
        path.rename(tmp_path / 'val' / path.name)
    gone = tmp_path / 'train' / 'n01440764' / 'train_0_3.JPEG'
    gone.unlink()
    moved = tmp_path / 'val' / 'test_2_1.JPEG'
    moved.unlink()
    options = '--cfg-options', f'data_root={tmp_path}'
    done = run_warm(sys.executable, TOOL, IMAGENET, *options, ok=False)
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
