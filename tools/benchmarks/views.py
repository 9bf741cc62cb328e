"""A sample's three views beside the usual recipe, and decoding alone."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence, Tuple

import cv2
import mmpretrain  # noqa: F401  (registers what the configs name)
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from PIL import Image
from sklearn.datasets import load_sample_images
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms as T
from torchvision.io import decode_jpeg

from bcl_mm import config_path
from benchmarks.common import Curve, Row, Settings, interleave

LEAVES = {
    'ImageNet-LT': 'bcl_resnext50_imagenet_lt',
    'CIFAR-100-LT': 'bcl_resnet32_cifar100_lt',
    'Fashion-MNIST-LT': 'bcl_resnet8_fashion_mnist_lt',
}
# Most of the usual recipe's time, most of the fastest decoder's.
OF_RECIPE, OF_RECIPE_SMALL, OF_DECODING = 0.33, 0.5, 5
JPEG_SIZE = (375, 500)
# Distinct crops of the photographs, and samples in each timed call.
NUM_IMAGES = 12
NUM_SMALL = 120


@dataclass
class Samples(Dataset):
    """Sources and what makes a sample of one; ``repeat`` times over."""

    sources: Sequence[Any]
    make: Callable[[Any], Any]
    repeat: int = 1

    def __len__(self) -> int:
        return len(self.sources) * self.repeat

    def __getitem__(self, index: int) -> Any:
        return self.make(self.sources[index % len(self.sources)])

    def all(self) -> None:
        """Make each sample once."""
        for source in self.sources:
            self.make(source)


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
        images.append(
            photo.resize(size[::-1], Image.Resampling.LANCZOS, box=box)
        )
    return images


def write_jpegs(folder: Path, count: int, size: Tuple[int, int]) -> List[str]:
    """Write photographs as JPEG files; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for i, image in enumerate(photographs(count, size)):
        paths.append(str(folder / f'{i}.jpg'))
        image.save(paths[-1], quality=90)
    return paths


def our_views(name: str) -> Callable[[Any], Dict[str, Any]]:
    """The pipeline ``three_views`` of a data set's config."""
    cfg = Config.fromfile(config_path(LEAVES[name]))
    pipeline = Compose(cfg.three_views)
    if name == 'ImageNet-LT':
        return lambda path: pipeline(dict(img_path=path, gt_label=0))
    return lambda img: pipeline(dict(img=img, gt_label=0))


def usual_views(name: str) -> Callable[[Any], Tuple[List[Any], int]]:
    """The same recipe in PIL and torchvision.

    torchvision's RandAugment has the identity in its list and no Invert and
    SolarizeAdd, and applies all that it draws. Here each of its operations
    is applied with probability 0.5 and is bilinear or bicubic at random, as
    in the recipe, so that both do the same amount of work.
    """
    rand_augment = T.RandomApply(
        [
            T.RandomChoice(
                [
                    T.RandAugment(1, 30, 31, T.InterpolationMode.BILINEAR),
                    T.RandAugment(1, 30, 31, T.InterpolationMode.BICUBIC),
                ]
            )
        ],
        p=0.5,
    )
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

    def make(source: Any) -> Tuple[List[Any], int]:
        if isinstance(source, str):
            with Image.open(source) as image:
                loaded = image.convert('RGB')
        else:
            loaded = Image.fromarray(source.squeeze())
        return [view(loaded) for view in views], 0

    return make


def decoders(paths: Sequence[str]) -> Dict[str, Callable[[], None]]:
    """What turns all of the files' bytes, in memory, into pixels."""
    contents = [np.fromfile(path, np.uint8) for path in paths]

    def pillow(path: str) -> None:
        with Image.open(path) as image:
            image.load()

    candidates = {
        'decoding with torchvision': Samples(
            [torch.from_numpy(content) for content in contents], decode_jpeg
        ),
        'decoding with cv2': Samples(
            contents, lambda content: cv2.imdecode(content, cv2.IMREAD_COLOR)
        ),
        'decoding with PIL': Samples(paths, pillow),
    }
    try:
        candidates['decoding with torchvision'][0]
    except RuntimeError:  # built without JPEG
        del candidates['decoding with torchvision']
    return {name: decode.all for name, decode in candidates.items()}


def compare(
    name: str,
    sources: Sequence[Any],
    settings: Settings,
    **others: Callable[[], None],
) -> Dict[str, List[float]]:
    """Milliseconds a sample of ours, of the recipe and of ``others``."""
    candidates = {
        'views': Samples(sources, our_views(name)).all,
        'PIL + torchvision': Samples(sources, usual_views(name)).all,
        **others,
    }
    times = interleave(candidates, settings.repeats, torch.device('cpu'))
    return {
        key: [value / len(sources) for value in values]
        for key, values in times.items()
    }


def run(settings: Settings) -> Tuple[List[Row], List[Curve]]:
    """Ratios at the sizes of the data sets; curves over size and workers."""
    cv2.setNumThreads(0)  # as MMEngine's Runner does: one thread a worker
    np.random.seed(0)
    torch.manual_seed(0)
    count = 2 if settings.quick else NUM_IMAGES
    with tempfile.TemporaryDirectory() as folder:
        paths = write_jpegs(Path(folder, 'images'), count, JPEG_SIZE)
        rows = _jpeg_rows(paths, settings) + _small_rows(settings)
        curves = [
            _over_size(Path(folder, 'sizes'), settings),
            _over_workers(paths, settings),
        ]
    return rows, curves


def _jpeg_rows(paths: List[str], settings: Settings) -> List[Row]:
    times = compare('ImageNet-LT', paths, settings, **decoders(paths))
    decoding = {
        name: values
        for name, values in times.items()
        if name.startswith('decoding')
    }
    fastest = min(decoding, key=lambda name: np.median(decoding[name]))
    height, width = JPEG_SIZE
    title = f'ImageNet-LT, three views of a {width}x{height} JPEG'
    rows = [
        Row(title, times['views'], baseline, times[baseline], limit)
        for baseline, limit in (
            ('PIL + torchvision', OF_RECIPE),
            (fastest, OF_DECODING),
        )
    ]
    return rows + [Row(name, values) for name, values in decoding.items()]


def _small_rows(settings: Settings) -> List[Row]:
    count = 2 if settings.quick else NUM_SMALL
    rows = []
    for name, side in (('CIFAR-100-LT', 32), ('Fashion-MNIST-LT', 28)):
        images = photographs(count, (side, side))
        if name == 'Fashion-MNIST-LT':
            arrays = [
                np.array(image.convert('L'))[..., None] for image in images
            ]
        else:
            arrays = [np.array(image) for image in images]
        times = compare(name, arrays, settings)
        rows.append(
            Row(
                f'{name}, three views of {side}x{side}',
                times['views'],
                'PIL + torchvision',
                times['PIL + torchvision'],
                OF_RECIPE_SMALL,
            )
        )
    return rows


def _over_size(folder: Path, settings: Settings) -> Curve:
    widths = [125, 250] if settings.quick else [125, 250, 500, 1000, 2000]
    settings = Settings(max(1, settings.repeats // 3), settings.device)
    lines: Dict[str, List[float]] = {}
    for width in widths:
        size = (width * 3 // 4, width)
        paths = write_jpegs(folder / str(width), 2, size)
        times = compare('ImageNet-LT', paths, settings, **decoders(paths))
        for name, values in times.items():
            lines.setdefault(name, []).append(float(np.median(values)))
    return Curve('over_size', 'width of the JPEG', 'ms', widths, lines)


def _over_workers(paths: List[str], settings: Settings) -> Curve:
    workers = [0, 1] if settings.quick else [0, 1, 2]
    repeat = 2 if settings.quick else 40
    recipes = {
        'views': our_views('ImageNet-LT'),
        'PIL + torchvision': usual_views('ImageNet-LT'),
    }
    lines: Dict[str, List[float]] = {name: [] for name in recipes}
    for number in workers:
        for name, make in recipes.items():
            loader = DataLoader(
                Samples(paths, make, repeat),
                batch_size=len(paths),
                num_workers=number,
                collate_fn=_only_inputs,
            )
            batches = iter(loader)
            next(batches)  # the workers have started
            start = time.perf_counter()
            done = sum(len(batch[0]) for batch in batches)
            lines[name].append(done / (time.perf_counter() - start))
    return Curve('over_workers', 'data workers', 'samples/s', workers, lines)


def _only_inputs(samples: List[Any]) -> List[torch.Tensor]:
    views = [
        sample['inputs'] if isinstance(sample, dict) else sample[0]
        for sample in samples
    ]
    return [torch.stack(view) for view in zip(*views)]
