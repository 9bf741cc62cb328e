from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from bcl_mm.datasets import ImageNetLT
from bcl_mm.datasets.lists import read_list


def write_lists(root: Path, per_class=(6, 4, 2), size=64) -> None:
    """A tree in ImageNet-LT's layout, of crops of real photographs."""
    photos = load_sample_images().images
    random = np.random.RandomState(0)
    lists = dict(train=[], val=[], test=[])
    for label, count in enumerate(per_class):
        wnid = f'n{1440764 + label:08d}'
        for split, images in dict(train=count, val=2, test=2).items():
            folder = root / ('val' if split == 'test' else 'train') / wnid
            folder.mkdir(parents=True, exist_ok=True)
            for i in range(images):
                photo = photos[label % len(photos)]
                top = random.randint(photo.shape[0] - 2 * size)
                left = random.randint(photo.shape[1] - 2 * size)
                crop = photo[top : top + 2 * size, left : left + 2 * size]
                path = folder / f'{split}_{label}_{i}.JPEG'
                Image.fromarray(crop).resize((size, size)).save(path)
                line = f'{path.relative_to(root)} {label}'
                lists[split].append(line)
    for split, lines in lists.items():
        text = '\n'.join(lines) + '\n'
        (root / f'ImageNet_LT_{split}.txt').write_text(text)


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
    (tree / 'list.txt').write_text('\n'.join(lines))
    message = r'list\.txt:3: there is no image .*nothing\.JPEG'
    with pytest.raises(FileNotFoundError, match=message):
        ImageNetLT('list.txt', data_root=str(tree))


@pytest.mark.parametrize(
    'line',
    [
        'train/x.JPEG',
        'train/x.JPEG one',
        'train/x.JPEG -1',
        'x 1.5',
        'x 1000000',
    ],
)
def test_line_without_label_names_file_and_line(tmp_path, line):
    path = tmp_path / 'list.txt'
    path.write_text(f'train/a.JPEG 0\n\n{line}\n')
    with pytest.raises(ValueError, match=r'list\.txt:3: a line must be "path'):
        read_list(str(path))


def test_list_details(tmp_path):
    path = tmp_path / 'list.txt'
    path.write_bytes('a b/é.JPEG 3\r\nc.JPEG\t4\r\n'.encode())
    assert read_list(str(path)) == [('a b/é.JPEG', 3, 1), ('c.JPEG', 4, 2)]
    path.write_bytes(b'\xef\xbb\xbfa.JPEG 3\n')
    assert read_list(str(path)) == [('a.JPEG', 3, 1)]
    path.write_bytes('é.JPEG 3\n'.encode('latin-1'))
    with pytest.raises(ValueError, match='list.txt must be UTF-8 text'):
        read_list(str(path))
    path.write_text('\n\n')
    with pytest.raises(ValueError, match='the list has no line'):
        read_list(str(path))


def test_missing_folder_says_how_to_get_the_data(tree):
    message = "data_root '/nowhere' does not exist. ImageNet-LT needs"
    with pytest.raises(FileNotFoundError, match=message):
        ImageNetLT('ImageNet_LT_train.txt', data_root='/nowhere')
    with pytest.raises(FileNotFoundError, match='ann_file .* does not exist'):
        ImageNetLT('other.txt', data_root=str(tree))
