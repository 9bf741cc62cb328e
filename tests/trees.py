"""Small data sets in the real layouts, made of real images."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import torch.nn.functional as F
from mmpretrain.datasets import CIFAR10, CIFAR100
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images
from torch import from_numpy

from bcl_mm.datasets.annotations import read_list


def write_lists(root: Path, per_class=(6, 4, 2), size=64) -> None:
    """Write crops of real photographs in ImageNet-LT's layout."""
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


def write_inaturalist(root: Path, per_class=(6, 4, 2)) -> None:
    """Write a tree in iNaturalist 2018's layout, with JSON and lists."""
    write_lists(root / 'source', per_class)
    for split, json_name, list_name in (
        ('train', 'train2018.json', 'iNaturalist18_train.txt'),
        ('val', 'val2018.json', 'iNaturalist18_val.txt'),
    ):
        source = root / 'source' / f'ImageNet_LT_{split}.txt'
        entries = list(read_list(str(source)))
        content = dict(images=[], annotations=[], categories=[])
        for i, (path, label, _) in enumerate(entries):
            name = f'train_val2018/Aves/{label}/{split}_{i}.jpg'
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            os.link(root / 'source' / path, root / name)
            content['images'].append(dict(id=100 + i, file_name=name))
            # Not in the order of the images, as COCO does not promise it.
            content['annotations'].insert(
                0, dict(id=i, image_id=100 + i, category_id=label)
            )
        for label in range(len(per_class)):
            content['categories'].insert(0, dict(id=label, name=f'b{label}'))
        (root / json_name).write_text(json.dumps(content))
        lines = [
            f'{image["file_name"]} {label}'
            for image, (_, label, _) in zip(content['images'], entries)
        ]
        (root / list_name).write_text('\n'.join(lines))


def write_classes(root: Path, per_class, names=None) -> None:
    """Write class folders of digits: grey and colour, of all sizes."""
    digits = load_digits()
    random = np.random.RandomState(0)
    for label, count in enumerate(per_class):
        folder = root / (names[label] if names else f'class {label:02}')
        folder.mkdir(parents=True, exist_ok=True)
        pool = digits.images[digits.target == label % 10]
        for i in range(count):
            pixels = (pool[i % len(pool)] * (255 / 16)).astype(np.uint8)
            image = Image.fromarray(pixels)
            image = image.resize(tuple(random.randint(6, 60, 2).tolist()))
            name = f'{i}.png' if i % 2 else f'{i}.JPG'
            image.convert('L' if i % 3 else 'RGB').save(folder / name)


def write_parts(root: Path) -> None:
    """Write 50 classes and a fold's list, as OpenClipart-LT has them."""
    digits = load_digits()
    folder = root / 'images'
    folder.mkdir(parents=True, exist_ok=True)
    rows = ['path,label,group,part']
    for i, digit in enumerate(digits.images[:200]):
        pixels = (digit * (255 / 16)).astype(np.uint8)
        image = Image.fromarray(pixels).convert('RGB').resize((32, 32))
        image.save(folder / f'{i}.png')
        part = ('train', 'train', 'val', 'test')[i // 50]
        rows.append(f'images/{i}.png,class {i % 50:02},{i},{part}')
    (root / 'fold_0.csv').write_text('\n'.join(rows) + '\n')


def write_fashion_mnist(root: Path) -> None:
    """Write real grey images, digits, in Fashion-MNIST's four files."""
    digits = load_digits()
    images = from_numpy(digits.images).float()[:, None] * (255 / 16)
    images = F.interpolate(images, (28, 28), mode='bilinear')
    images = images[:, 0].round().byte().numpy()
    root.mkdir(parents=True, exist_ok=True)
    for split, part in dict(
        train=slice(0, 1500), t10k=slice(1500, 1797)
    ).items():
        pixels, labels = images[part], digits.target[part].astype(np.uint8)
        if split == 'train':  # as many again, shifted: some are held out
            pixels = np.concatenate([pixels, np.roll(pixels, 1, axis=2)])
            labels = np.tile(labels, 2)
        header = struct.pack('>iiii', 2051, *pixels.shape)
        path = root / f'{split}-images-idx3-ubyte'
        path.write_bytes(header + pixels.tobytes())
        header = struct.pack('>ii', 2049, len(labels))
        path = root / f'{split}-labels-idx1-ubyte'
        path.write_bytes(header + labels.tobytes())


def write_cifar(root: Path, monkeypatch, num_classes: int) -> None:
    """Write crops of photographs in CIFAR-10's or -100's pickled files."""
    reader, key = {
        10: (CIFAR10, 'labels'),
        100: (CIFAR100, 'fine_labels'),
    }[num_classes]
    folder = root / reader.base_folder
    folder.mkdir(parents=True)
    photo = load_sample_images().images[0]
    random = np.random.RandomState(0)

    def write(name: str, content: dict) -> str:
        (folder / name).write_bytes(pickle.dumps(content))
        return hashlib.md5((folder / name).read_bytes()).hexdigest()

    for split, per_class in dict(train=4, test=1).items():
        labels = np.repeat(np.arange(num_classes), per_class)
        tops = random.randint(photo.shape[0] - 32, size=len(labels))
        crops = [photo[top : top + 32, :32].transpose(2, 0, 1) for top in tops]
        content = {'data': np.stack(crops).reshape(len(labels), -1)}
        content[key] = labels.tolist()
        checksum = write(split, content)
        monkeypatch.setattr(reader, f'{split}_list', [[split, checksum]])
    names = [f'class {i}' for i in range(num_classes)]
    meta = dict(reader.meta, filename='meta')
    meta['md5'] = write('meta', {meta['key']: names})
    monkeypatch.setattr(reader, 'meta', meta)


def random_image(seed: int, size=(48, 64)) -> np.ndarray:
    """Smooth noise, (H, W, 3) uint8: no two seeds look alike."""
    noise = np.random.RandomState(seed).randint(0, 256, (6, 8, 3))
    image = Image.fromarray(noise.astype(np.uint8))
    return np.array(image.resize(size[::-1], Image.Resampling.BICUBIC))
