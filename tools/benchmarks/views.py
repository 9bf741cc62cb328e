"""A sample's three views beside the usual recipe, and decoding alone."""

from __future__ import annotations

import tempfile
import time
from collections import deque
from functools import partial
from pathlib import Path
from typing import Any, Callable, List, Sequence, Tuple

import cv2
import mmpretrain  # noqa: F401  (registers its components)
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from PIL import Image
from sklearn.datasets import load_sample_images
from torch.utils.data import DataLoader
from torchvision import transforms as T
from torchvision.io import decode_jpeg

from bcl_mm import config_path
from benchmarks.common import Candidates, Curve, Row, Settings, Times, rows_of
from benchmarks.peers import ANTIALIASED, LINEAR, views_of

LEAVES = {
    'ImageNet-LT': 'bcl_resnext50_imagenet_lt',
    'CIFAR-100-LT': 'bcl_resnet32_cifar100_lt',
    'Fashion-MNIST-LT': 'bcl_resnet8_fashion_mnist_lt',
}
USUAL = 'PIL + torchvision'
# Maximum ratios to the usual recipe, and to the fastest decoder.
MAX_OF_USUAL, MAX_OF_USUAL_SMALL, MAX_OF_DECODING = 0.33, 0.5, 5
JPEG_SIZE, LARGE_SIZE = (375, 500), (1000, 1500)
PEERS = 'torchvision v2', ANTIALIASED, LINEAR
# Distinct crops of the photographs in each timed call.
NUM_IMAGES, NUM_SMALL = 12, 120


def make_all(
    make: Callable[[Any], Any], sources: Sequence[Any]
) -> Callable[[], Any]:
    """A function that makes a sample of each source, and keeps none."""
    return lambda: deque(map(make, sources), maxlen=0)


def photographs(count: int, size: Tuple[int, int]) -> List[Image.Image]:
    """Distinct crops of real photographs, resized to (height, width)."""
    rng = np.random.RandomState(0)
    photos = load_sample_images().images
    images = []
    for i in range(count):
        photo = Image.fromarray(photos[i % len(photos)])
        height = rng.randint(300, photo.height + 1)
        width = min(photo.width, round(height * size[1] / size[0]))
        left = rng.randint(photo.width - width + 1)
        top = rng.randint(photo.height - height + 1)
        box = (left, top, left + width, top + height)
        images.append(photo.resize(size[::-1], Image.LANCZOS, box))
    return images


def write_jpegs(folder: Path, count: int, size: Tuple[int, int]) -> List[str]:
    """Write photographs as JPEG files, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for i, image in enumerate(photographs(count, size)):
        paths.append(str(folder / f'{i}.jpg'))
        image.save(paths[-1], quality=90)
    return paths


def our_views(name: str) -> Callable[[Any], List[Any]]:
    """The pipeline ``three_views`` of a data set's config."""
    cfg = Config.fromfile(config_path(LEAVES[name]))
    pipeline = Compose(cfg.three_views)
    key = 'img_path' if name == 'ImageNet-LT' else 'img'
    return lambda source: pipeline({key: source, 'gt_label': 0})['inputs']


def usual_views(name: str) -> Callable[[Any], List[Any]]:
    """The same recipe in PIL and torchvision.

    torchvision's RandAugment includes the identity, lacks Invert and
    SolarizeAdd, and applies every operation that it draws. Here each of its
    operations has probability 0.5 and is bilinear or bicubic at random, as
    in the recipe, so that both sides do the same amount of work.
    """
    modes = T.InterpolationMode.BILINEAR, T.InterpolationMode.BICUBIC
    operations = [T.RandAugment(1, 30, 31, mode) for mode in modes]
    rand_augment = T.RandomApply([T.RandomChoice(operations)], p=0.5)
    flip = T.RandomHorizontalFlip()
    colour = [
        T.RandomApply([T.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
        T.RandomGrayscale(p=0.2),
    ]
    if name == 'ImageNet-LT':
        crop = T.RandomResizedCrop(224, (0.08, 1.0))
        jitter = T.ColorJitter(0.4, 0.4, 0.4)
        first = [crop, flip, jitter, rand_augment, rand_augment]
        other = [crop, flip, *colour]
        last: List[Any] = []
    elif name == 'CIFAR-100-LT':
        policy = T.AutoAugmentPolicy.CIFAR10
        first = [T.RandomCrop(32, 4), flip, T.AutoAugment(policy)]
        other = [T.RandomResizedCrop(32, (0.2, 1.0)), flip, *colour]
        last = [T.RandomErasing(1, (16**2 / 32**2,) * 2, (1, 1))]
    else:
        first = [T.RandomCrop(28, 3), flip]
        grey_jitter = T.RandomApply([T.ColorJitter(0.4, 0.4)], p=0.8)
        other = [T.RandomResizedCrop(28, (0.3, 1.0)), flip, grey_jitter]
        last = [T.RandomErasing(1, (10**2 / 28**2,) * 2, (1, 1))]
    channels = 1 if name == 'Fashion-MNIST-LT' else 3
    pack = [T.ToTensor(), T.Normalize([0.45] * channels, [0.22] * channels)]
    views = [T.Compose([*first, *pack, *last])]
    views += [T.Compose([*other, *pack])] * 2

    def make(source: Any) -> List[Any]:
        if isinstance(source, str):
            with Image.open(source) as image:
                loaded = image.convert('RGB')
        else:
            loaded = Image.fromarray(source.squeeze())
        return [view(loaded) for view in views]

    return make


def decoders(paths: Sequence[str]) -> Candidates:
    """Functions that decode all files, whose bytes are in memory."""
    contents = [np.fromfile(path, np.uint8) for path in paths]
    tensors = [torch.from_numpy(content) for content in contents]

    with_cv2 = partial(cv2.imdecode, flags=cv2.IMREAD_COLOR)

    def with_pil(path: str) -> None:
        with Image.open(path) as image:
            image.load()

    candidates = {
        'decoding with torchvision': make_all(decode_jpeg, tensors),
        'decoding with cv2': make_all(with_cv2, contents),
        'decoding with PIL': make_all(with_pil, paths),
    }
    try:
        decode_jpeg(tensors[0])
    except RuntimeError:  # built without JPEG
        del candidates['decoding with torchvision']
    return candidates


def both_views(name: str, sources: Sequence[Any]) -> Candidates:
    """Our pipeline and the usual recipe, over all sources."""
    return {
        'views': make_all(our_views(name), sources),
        USUAL: make_all(usual_views(name), sources),
    }


def run(settings: Settings) -> Tuple[List[Row], List[Curve]]:
    """Ratios at the sizes of the data sets; curves over size and workers."""
    cv2.setNumThreads(0)  # as MMEngine's Runner does: one thread a worker
    np.random.seed(0)
    torch.manual_seed(0)
    settings = Settings(settings.repeats, torch.device('cpu'), settings.quick)
    count = 2 if settings.quick else NUM_IMAGES
    with tempfile.TemporaryDirectory() as folder:
        paths = write_jpegs(Path(folder, 'images'), count, JPEG_SIZE)
        rows = _jpeg_rows(paths, JPEG_SIZE, settings)
        large = write_jpegs(Path(folder, 'large'), count, LARGE_SIZE)
        rows += _jpeg_rows(large, LARGE_SIZE, settings)
        rows += _memory_rows(large, settings) + _small_rows(settings)
        over_size = _over_size(Path(folder, 'sizes'), settings)
        return rows, [over_size, _over_workers(paths, settings)]


def _jpeg_rows(
    paths: List[str], size: Tuple[int, int], settings: Settings
) -> List[Row]:
    decoding = decoders(paths)
    candidates = {**both_views('ImageNet-LT', paths), **decoding}
    peers = {name: views_of(name) for name in PEERS}
    peers = {n: make_all(make, paths) for n, make in peers.items() if make}
    times = settings.time({**candidates, **peers}, units=len(paths))
    fastest = min(decoding, key=lambda name: np.median(times[name]))
    height, width = size
    title = f'ImageNet-LT, three views of a {width}x{height} JPEG'
    limits = {**dict.fromkeys(peers), USUAL: MAX_OF_USUAL}
    limits[fastest] = MAX_OF_DECODING
    rows = rows_of(title, times, 'views', limits)
    for name in decoding:
        rows += rows_of(f'{name}, {width}x{height}', times, name)
    return rows


def _all_views(name: str, paths: List[str]) -> Callable[[], Any]:
    of_config = name == 'views'
    make = our_views('ImageNet-LT') if of_config else views_of(name)
    return make_all(make, paths)


def _memory_rows(paths: List[str], settings: Settings) -> List[Row]:
    """Extra memory of a process that makes views, beyond its imports."""
    if settings.quick:
        print('The memory of views is left out by --quick')
        return []
    names = ['views', *filter(views_of, PEERS)]
    memory = {
        name: settings.peak_memory(_all_views, (name, paths)) for name in names
    }
    title = 'extra memory, three views of 1500x1000 JPEGs'
    return rows_of(title, memory, 'views', dict.fromkeys(names[1:]), unit='MB')


def _small_rows(settings: Settings) -> List[Row]:
    count = 2 if settings.quick else NUM_SMALL
    rows = []
    for name, side in (('CIFAR-100-LT', 32), ('Fashion-MNIST-LT', 28)):
        images = photographs(count, (side, side))
        arrays = [np.array(image) for image in images]
        if name == 'Fashion-MNIST-LT':
            arrays = [np.array(i.convert('L'))[..., None] for i in images]
        times = settings.time(both_views(name, arrays), units=count)
        title = f'{name}, three views of {side}x{side}'
        rows += rows_of(title, times, 'views', {USUAL: MAX_OF_USUAL_SMALL})
    return rows


def _over_size(folder: Path, settings: Settings) -> Curve:
    def candidates(width: int) -> Candidates:
        size = (width * 3 // 4, width)
        paths = write_jpegs(folder / str(width), 2, size)
        return {**both_views('ImageNet-LT', paths), **decoders(paths)}

    widths = [125, 250] if settings.quick else [125, 250, 500, 1000, 2000]
    axis = 'over_size', 'width of the JPEG', widths
    return settings.curve(*axis, candidates, units=2)


def _make_batch(make: Callable, sources: Sequence[Any]) -> List[torch.Tensor]:
    return [torch.stack(view) for view in zip(*map(make, sources))]


def _over_workers(paths: List[str], settings: Settings) -> Curve:
    workers, repeat = ([0, 1], 2) if settings.quick else ([0, 1, 2], 40)
    makers = our_views('ImageNet-LT'), usual_views('ImageNet-LT')
    lines: Times = {'views': [], USUAL: []}
    for number in workers:
        for name, make in zip(lines, makers):
            options = dict(batch_size=len(paths), num_workers=number)
            collate = partial(_make_batch, make)
            loader = DataLoader(paths * repeat, **options, collate_fn=collate)
            batches = iter(loader)
            next(batches)  # the workers have started
            start = time.perf_counter()
            done = sum(len(views[0]) for views in batches)
            lines[name].append(done / (time.perf_counter() - start))
    return Curve('over_workers', 'data workers', 'samples/s', workers, lines)
