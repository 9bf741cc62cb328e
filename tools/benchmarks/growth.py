"""What grows with images, classes and processes: time and memory."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Callable, List, Tuple

import numpy as np
import torch
import torch.nn.functional as F

from bcl_mm.datasets import ImageList
from bcl_mm.datasets.samplers import ClassBalancedSampler
from bcl_mm.models.losses import balanced_contrastive_loss
from benchmarks.common import Curve, Row, Settings, rows_of

IMAGES = [10_000, 100_000, 1_000_000, 10_000_000]
CLASSES = [10, 1_000, 100_000, 1_000_000]
QUICK_IMAGES, QUICK_CLASSES = [1_000], [1_000]
# Classes of the images; rows and dimensions of the loss.
NUM_CLASSES, ROWS, DIM = 1_000, 64, 128


class Labels:
    """A data set of long-tailed labels."""

    def __init__(self, number: int) -> None:
        share = 1 / np.arange(1, NUM_CLASSES + 1)
        random = np.random.RandomState(0)
        share /= share.sum()
        self.labels = random.choice(NUM_CLASSES, number, p=share)

    def get_gt_labels(self) -> np.ndarray:
        """(N,) labels."""
        return self.labels


def write_list(path: Path, labels: np.ndarray) -> None:
    """Write lines as long as iNaturalist's."""
    with open(path, 'w') as file:
        for i, label in enumerate(labels):
            file.write(f'train_val2018/Aves/{label:04}/{i:032}.jpg {label}\n')


def cpu_seconds(function: Callable[[], Any]) -> float:
    """CPU time of this process."""
    start = time.process_time()
    function()
    return time.process_time() - start


def reader(path: str) -> Callable[[], ImageList]:
    """A function that reads a list, without a look at the files."""
    return partial(ImageList, path, check_files=False)


def timed_read(read: Callable[[], ImageList]) -> Tuple[float, float]:
    """CPU seconds of reading a list, and MB of the blocks that it keeps."""
    start = time.process_time()
    table = read().data_list
    seconds = time.process_time() - start
    size = len(table._paths) + sum(column.nbytes for column in table._columns)
    return seconds, size / 2**20


def loss_step(num_classes: int) -> Callable[[], None]:
    """Forward and backward of classifier and loss, for two views."""
    random = torch.Generator().manual_seed(0)
    weight = torch.randn(num_classes, DIM, generator=random)
    weight = F.normalize(weight).requires_grad_()
    rows = torch.randn(2 * ROWS, DIM, generator=random)
    labels = torch.randint(num_classes, (ROWS,), generator=random)

    def step() -> None:
        weight.grad = None
        features = F.normalize(rows).requires_grad_()
        logits = features[:ROWS] @ weight.T
        loss = F.cross_entropy(logits, labels)
        con = balanced_contrastive_loss(features, labels.repeat(2), weight)
        (loss + con).backward()

    return step


def run(settings: Settings) -> Tuple[List[Row], List[Curve]]:
    """One row a size: lists and samplers, then classes."""
    rows: List[Row] = []

    def add(name: str, unit: str, values: List[float]) -> None:
        rows.extend(rows_of(name, {name: values}, name, unit=unit))

    images = QUICK_IMAGES if settings.quick else IMAGES
    classes = QUICK_CLASSES if settings.quick else CLASSES
    repeats = range(min(3, settings.repeats))
    with TemporaryDirectory() as folder:
        for number in images:
            data, path = Labels(number), Path(folder, 'list.txt')
            write_list(path, data.labels)
            read = reader(str(path))
            name = f'{number:,} images'
            times, sizes = zip(*(timed_read(read) for _ in repeats))
            add(f'{name}, list', 's', list(times))
            add(f'{name}, list kept', 'MB', list(sizes))
            peak = settings.peak_memory(reader, (str(path),))
            add(f'{name}, list peak', 'MB', peak)
            sampler = ClassBalancedSampler(data, seed=0)
            epoch = partial(sum, sampler)
            add(f'{name}, epoch', 's', [cpu_seconds(epoch) for _ in repeats])
    for number in classes:
        step = loss_step(number)
        step()
        name = f'{number:,} classes, step'
        add(name, 's', [cpu_seconds(step) for _ in repeats])
        del step
        memory = settings.peak_memory(loss_step, (number,), (10,))
        add(f'{name}, extra memory', 'MB', memory)
    return rows, []
