import json
from pathlib import Path

import pytest

from bcl_mm.datasets import ImageList, ImageNetLT, INaturalist2018, PlacesLT
from bcl_mm.datasets.annotations import read_coco, read_list
from tests.trees import write_inaturalist, write_lists


@pytest.fixture
def tree(tmp_path):
    write_lists(tmp_path)
    return tmp_path


def test_reads_the_list(tree):
    dataset = ImageNetLT('ImageNet_LT_train.txt', data_root=str(tree))
    assert len(dataset) == 12
    assert dataset.get_gt_labels().tolist() == [0] * 6 + [1] * 4 + [2] * 2
    info = dataset.get_data_info(0)
    assert Path(info['img_path']).is_file()
    assert dataset.metainfo['classes'] == (
        'n01440764',
        'n01440765',
        'n01440766',
    )


def test_flat_test_images(tree):
    for path in tree.glob('val/*/*.JPEG'):
        path.rename(tree / 'val' / path.name)
    dataset = ImageNetLT('ImageNet_LT_test.txt', data_root=str(tree))
    paths = [dataset.get_data_info(i)['img_path'] for i in range(6)]
    assert all(Path(path).parent == tree / 'val' for path in paths)


def test_missing_image_names_list_and_line(tree):
    lines = (tree / 'ImageNet_LT_train.txt').read_text().splitlines()
    lines.insert(2, 'train/n01440764/nothing.JPEG 0')
    lines.append('train/n01440764/neither.JPEG 0')
    (tree / 'list.txt').write_text('\n'.join(lines))
    message = (
        r"list\.txt:3: image '.*nothing\.JPEG' does not exist \(2 of 14 "
        'images are missing'
    )
    with pytest.raises(FileNotFoundError, match=message):
        ImageNetLT('list.txt', data_root=str(tree))
    dataset = ImageNetLT('list.txt', data_root=str(tree), check_files=False)
    missing = [
        path
        for path in (
            info['img_path'] for info in map(dataset.get_data_info, range(14))
        )
        if not Path(path).exists()
    ]
    assert missing == [
        str(tree / 'train' / 'n01440764' / 'nothing.JPEG'),
        str(tree / 'train' / 'n01440764' / 'neither.JPEG'),
    ]


@pytest.mark.parametrize(
    'line',
    [
        'train/x.JPEG',
        'train/x.JPEG one',
        'train/x.JPEG -1',
        'x 1.5',
        'x 10000000',
        'x ٣',
    ],
)
def test_line_without_label_names_file_and_line(tmp_path, line):
    path = tmp_path / 'list.txt'
    path.write_text(f'train/a.JPEG 0\n\n{line}\n', encoding='utf-8')
    with pytest.raises(ValueError, match=r'list\.txt:3: a line must be "path'):
        list(read_list(str(path)))


def test_list_details(tmp_path):
    path = tmp_path / 'list.txt'
    path.write_bytes('a b/é.JPEG 3\r\nc.JPEG\t4\r\n'.encode())
    assert list(read_list(str(path))) == [
        ('a b/é.JPEG', 3, 1),
        ('c.JPEG', 4, 2),
    ]
    path.write_bytes(b'\xef\xbb\xbfa.JPEG 3\n')
    assert list(read_list(str(path))) == [('a.JPEG', 3, 1)]
    path.write_bytes('é.JPEG 3\n'.encode('latin-1'))
    with pytest.raises(ValueError, match=r'list.txt:1: .* be UTF-8 text'):
        list(read_list(str(path)))
    path.write_text('\n\n')
    with pytest.raises(ValueError, match='the list has no line'):
        list(read_list(str(path)))


def test_classes_are_named_after_their_own_folders(tree):
    lines = ['val/a.JPEG 0', 'val/b.JPEG 1', 'x/bird/c.JPEG 2', 'd.JPEG 4']
    (tree / 'flat.txt').write_text('\n'.join(lines))
    for reader in (ImageList, ImageNetLT):
        dataset = reader('flat.txt', data_root=str(tree), check_files=False)
        assert dataset.metainfo['classes'] == ('0', '1', 'bird', '3', '4')
    named = ImageList(
        'flat.txt', str(tree), check_files=False, classes=list('abcde')
    )
    assert named.metainfo['classes'] == tuple('abcde')
    lines = [f'val/n{i}/x.JPEG {i}' for i in range(1000)]
    (tree / 'all.txt').write_text('\n'.join(lines))
    dataset = ImageNetLT('all.txt', str(tree), check_files=False)
    assert dataset.metainfo['classes'][0].startswith('tench')


def test_places_lt(tree):
    images = sorted(tree.glob('train/*/*.JPEG'))
    lines = []
    for name in (
        'data_256/a/airfield/1.jpg 0',
        'data_256/a/arena/hockey/1.jpg 1',
        'data_256/f/field/hockey/1.jpg 2',
        'train/zen_garden/1.jpg 3',  # from the other archive
    ):
        path = tree / name.split()[0]
        path.parent.mkdir(parents=True)
        path.symlink_to(images.pop())
        lines.append(name)
    (tree / 'Places_LT_train.txt').write_text('\n'.join(lines))
    dataset = PlacesLT('Places_LT_train.txt', data_root=str(tree))
    assert dataset.get_gt_labels().tolist() == [0, 1, 2, 3]
    assert dataset.metainfo['classes'] == (
        'airfield',
        'arena/hockey',
        'field/hockey',
        'zen_garden',
    )
    (tree / 'Places_LT_test.txt').write_text('val_256/1.jpg 0\n')
    dataset = PlacesLT('Places_LT_test.txt', str(tree), check_files=False)
    assert dataset.metainfo['classes'] == ('0',)


def test_inaturalist_json_and_lists_agree(tmp_path):
    write_inaturalist(tmp_path)
    for split, number in dict(train=12, val=6).items():
        datasets = [
            INaturalist2018(name, data_root=str(tmp_path))
            for name in (f'{split}2018.json', f'iNaturalist18_{split}.txt')
        ]
        for dataset, names in zip(
            datasets, (('b0', 'b1', 'b2'), tuple('012'))
        ):
            assert len(dataset) == number
            assert dataset.metainfo['classes'] == names
        for i in range(number):
            ours, theirs = (dataset.get_data_info(i) for dataset in datasets)
            assert ours == theirs
            assert f'/Aves/{ours["gt_label"]}/' in ours['img_path']
    (tmp_path / 'train_val2018' / 'Aves' / '0' / 'train_1.jpg').unlink()
    message = (
        r"train2018.json: image '.*train_1.jpg' does not exist \(1 of 12 "
    )
    with pytest.raises(FileNotFoundError, match=message):
        INaturalist2018('train2018.json', data_root=str(tmp_path))


def test_labels_are_positions_of_the_sorted_category_ids(tmp_path):
    content = coco()
    content['categories'] = [
        dict(id=30, name='c'),
        dict(id=4, name='a'),
        dict(id=5, name='b'),
    ]
    content['annotations'][0]['category_id'] = 30
    path = tmp_path / 'x.json'
    path.write_text(json.dumps(content))
    entries, names = read_coco(str(path))
    assert entries == [('a.jpg', 2, 0), ('b.jpg', 1, 0)]
    assert names == ('a', 'b', 'c')


def coco():
    """One image of each of the categories 4 and 5."""
    return dict(
        images=[dict(id=1, file_name='a.jpg'), dict(id=2, file_name='b.jpg')],
        annotations=[
            dict(image_id=1, category_id=4),
            dict(image_id=2, category_id=5),
        ],
        categories=[dict(id=4, name='a'), dict(id=5, name='b')],
    )


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda c: c.pop('categories'), "must have a list 'categories'"),
        (
            lambda c: c['images'][1].pop('file_name'),
            r"'images' must have id \(int\), file_name \(str\), got {'id': 2}",
        ),
        (
            lambda c: c['annotations'][1].update(image_id=7),
            'but it has no image 7',
        ),
        (
            lambda c: c['annotations'][1].update(category_id=7),
            'but it has no category 7',
        ),
        (
            lambda c: c['annotations'].pop(),
            r'one annotation, but image 2 \(b.jpg\) has none',
        ),
        (
            lambda c: c['annotations'].append(c['annotations'][0]),
            r'one annotation, but image 1 \(a.jpg\) has more',
        ),
        (
            lambda c: c['images'].append(c['images'][1]),
            "each of 'images' must have its own id, but 2 occurs more",
        ),
        (
            lambda c: (c['images'].clear(), c['annotations'].clear()),
            'lists no image',
        ),
    ],
)
def test_malformed_json_names_file_and_value(tmp_path, change, message):
    content = coco()
    change(content)
    path = tmp_path / 'x.json'
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf'x\.json.*{message}'):
        read_coco(str(path))


@pytest.mark.parametrize('text', [b'{', b'\xff\xfe', b'path 1\n'])
def test_what_is_no_json(tmp_path, text):
    path = tmp_path / 'x.json'
    path.write_bytes(text)
    with pytest.raises(ValueError, match=r'x\.json must be JSON: '):
        INaturalist2018('x.json', data_root=str(tmp_path))


@pytest.mark.parametrize(
    ('reader', 'hint'),
    [
        (ImageList, 'ann_file is a list of "path label" lines'),
        (PlacesLT, "Places-LT needs Places365-Standard's"),
        (INaturalist2018, 'iNaturalist 2018 needs train_val2018/'),
    ],
)
def test_hints(reader, hint):
    with pytest.raises(FileNotFoundError, match=f'does not exist. {hint}'):
        reader('nothing.txt', data_root='/nowhere')


def test_missing_folder_says_how_to_get_the_data(tree):
    message = "data_root '/nowhere' does not exist. ImageNet-LT needs"
    with pytest.raises(FileNotFoundError, match=message):
        ImageNetLT('ImageNet_LT_train.txt', data_root='/nowhere')
    with pytest.raises(FileNotFoundError, match='ann_file .* does not exist'):
        ImageNetLT('other.txt', data_root=str(tree))
