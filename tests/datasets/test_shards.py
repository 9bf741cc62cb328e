"""Shards that WebDataset's own writer has written."""

from collections import Counter

import cv2
import numpy as np
import pytest
import webdataset
from PIL import Image
from torch.utils.data import DataLoader

from bcl_mm.classes import ClassInfo
from bcl_mm.datasets import ShardImages, shards
from bcl_mm.registry import DATASETS, TRANSFORMS

LOAD = dict(type='LoadImageFromFile', _scope_='bcl_mm')


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    """Images of several kinds, as files."""
    root = tmp_path_factory.mktemp('images')
    pixels = np.random.RandomState(0).randint(0, 256, (20, 15, 3), np.uint8)
    image = Image.fromarray(pixels)
    turned = image.getexif()
    turned[0x0112] = 6
    image.save(root / 'turned.jpg', exif=turned)
    image.convert('CMYK').save(root / 'cmyk.jpg')
    image.convert('L').save(root / 'grey.png')
    image.convert('P').save(root / 'palette.png')
    image.save(root / 'large.tif')
    image.save(root / 'web.webp', lossless=True)
    content = (root / 'turned.jpg').read_bytes()
    (root / 'cut.jpg').write_bytes(content[: len(content) // 2])
    (root / 'empty.png').touch()
    (root / 'text.png').write_text('no image')
    return sorted(root.iterdir())


@pytest.fixture(scope='module')
def numbered(tmp_path_factory):
    """Six shards of three images, whose labels are their numbers."""
    root = tmp_path_factory.mktemp('shards')
    encoded = cv2.imencode('.png', np.zeros((2, 2, 3), np.uint8))[1].tobytes()
    with webdataset.ShardWriter(
        str(root / '%04d.tar'), maxcount=3, verbose=0
    ) as writer:
        for i in range(18):
            writer.write({'__key__': f'{i:04}', 'png': encoded, 'cls': i})
    return str(root / '{0000..0005}.tar')


def write(path, **samples):
    with webdataset.TarWriter(str(path)) as writer:
        for key, sample in samples.items():
            writer.write({'__key__': key, **sample})
    return str(path)


def labels_of(dataset):
    return [sample['gt_label'] for sample in dataset]


def test_images_are_what_their_files_are(images, tmp_path):
    load = TRANSFORMS.build(dict(LOAD, max_pixels=400))
    for path in images:
        sample = {path.suffix[1:]: path.read_bytes(), 'cls': 3}
        shard = write(tmp_path / 'one.tar', **{path.stem: sample})
        dataset = ShardImages(shard, 1, [dict(LOAD, max_pixels=400)])
        try:
            expected = load(dict(img_path=str(path)))
        except ValueError as error:
            with pytest.raises(type(error)) as caught:
                list(dataset)
            name = f'{shard}/{path.name}'
            assert str(caught.value) == str(error).replace(str(path), name)
            continue
        (results,) = dataset
        assert (results['img'] == expected['img']).all()
        assert results['ori_shape'] == expected['ori_shape']
        assert results['gt_label'] == 3
        assert 'img_bytes' not in results


def test_a_file_of_too_many_bytes_is_refused(images, tmp_path):
    sample = dict(jpg=images[0].read_bytes() + bytes(2**24), cls=0)
    dataset = ShardImages(write(tmp_path / 'a.tar', b=sample), 1, [LOAD])
    dataset.pipeline.transforms[0].max_pixels = 10
    with pytest.raises(
        ValueError, match=r'a\.tar/b\.jpg.* has .* bytes, more'
    ):
        list(dataset)


@pytest.mark.parametrize('num_workers', [0, 2])
def test_processes_and_workers_share_the_shards(
    num_workers, numbered, monkeypatch
):
    found = []
    for rank in range(3):
        monkeypatch.setattr(
            shards,
            'get_dist_info',
            lambda: (rank, 3),  # noqa: B023
        )
        dataset = ShardImages(numbered, 18)
        assert len(dataset) == 6
        loader = DataLoader(
            dataset, None, num_workers=num_workers, collate_fn=None
        )
        found.extend(labels_of(loader))
    assert Counter(found) == Counter(range(18))


def test_the_order_depends_on_seed_and_epoch(numbered):
    dataset = ShardImages(numbered, 18, seed=1)
    first, second = labels_of(dataset), labels_of(dataset)
    assert sorted(first) == sorted(second) == list(range(18))
    assert first != second
    dataset.set_epoch(1)
    assert labels_of(dataset) == second
    assert labels_of(ShardImages(numbered, 18, seed=2)) != first
    plain = ShardImages(numbered, 18, buffer_size=0)
    assert labels_of(plain) == labels_of(plain) == list(range(18))


def test_config_and_classes(numbered):
    config = dict(type='bcl_mm.ShardImages', shards=[numbered], num_images=2)
    dataset = DATASETS.build(dict(config, classes=['a', 'b']))
    assert dataset.metainfo == dict(classes=('a', 'b'))
    with pytest.raises(TypeError, match='ShardImages has no labels'):
        ClassInfo.from_dataset(dataset)


def test_too_few_shards(numbered, monkeypatch):
    monkeypatch.setattr(shards, 'get_dist_info', lambda: (0, 7))
    with pytest.raises(ValueError, match='6 shards are too few for 7 proc'):
        list(ShardImages(numbered, 18))


def test_missing_and_damaged_shards(numbered, tmp_path):
    missing = str(tmp_path / 'nothing-{0..2}.tar')
    with pytest.raises(FileNotFoundError, match=r'nothing-0\.tar.*not exist'):
        ShardImages(missing, 1)
    path = tmp_path / 'cut.tar'
    sample = dict(png=np.random.RandomState(0).bytes(40_000), cls=0)
    path.write_bytes(
        open(write(path, a=sample), 'rb').read()[:20_000]  # noqa: SIM115
    )
    with pytest.raises(OSError, match=r'shards cannot be read: .*cut\.tar'):
        list(ShardImages(str(path), 1))


@pytest.mark.parametrize(
    ('sample', 'message'),
    [
        (dict(png=b'x'), r"sample 'a': it must have one image and a label"),
        (dict(cls=3), r"got \['cls'\] and label b'3'"),
        (dict(png=b'x', cls=b'cat'), "got .* and label b'cat'"),
        (dict(png=b'x', jpg=b'x', cls=1), 'must have one image'),
    ],
)
def test_samples_of_another_kind(sample, message, tmp_path):
    shard = write(tmp_path / 'odd.tar', a=sample)
    with pytest.raises(ValueError, match=message):
        list(ShardImages(shard, 1))
