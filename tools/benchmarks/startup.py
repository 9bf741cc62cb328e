"""The time before training starts: imports, and a long list of images."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Callable, List, Tuple

import numpy as np
from mmpretrain.datasets import CustomDataset

import bcl_mm
from bcl_mm.classes import count_classes
from bcl_mm.datasets import INaturalist2018
from benchmarks.common import Curve, Row, Settings, Times, rows_of

# As long as iNaturalist 2018.
SIZE, QUICK_SIZE = (437_513, 8_142), (5_000, 100)
LIST, JSON = 'list.txt', 'train2018.json'
STOCK, UNCHECKED = 'CustomDataset', 'list, files not looked for'

# Run in a fresh process: milliseconds (CPU time) of imports, in turn.
IMPORT_CODE = """
import importlib, sys, time
for names in sys.argv[1:]:
    start = time.process_time()
    for name in names.split(','):
        importlib.import_module(name)
    print(1e3 * (time.process_time() - start))
"""


def write_images(root: Path, count: int, classes: int) -> None:
    """Write a tree, a list and a JSON in iNaturalist 2018's layout.

    Classes are long-tailed, the order is random and the files are empty.
    """
    random = np.random.RandomState(0)
    share = 1 / np.arange(1, classes + 1)
    labels = random.choice(classes, count - classes, p=share / share.sum())
    labels = random.permutation([*range(classes), *labels]).tolist()
    for label in range(classes):
        (root / f'train_val2018/Plantae/{label}').mkdir(parents=True)
    categories = [dict(id=i, name=f'name {i}') for i in range(classes)]
    lines, images, annotations = [], [], []
    for i, label in enumerate(labels):
        name = f'train_val2018/Plantae/{label}/{random.bytes(16).hex()}.jpg'
        open(root / name, 'w').close()
        lines.append(f'{name} {label}\n')
        images.append(dict(id=i, file_name=name))
        annotations.append(dict(id=i, image_id=i, category_id=label))
    (root / LIST).write_text(''.join(lines))
    content = dict(images=images, annotations=annotations)
    (root / JSON).write_text(json.dumps({**content, 'categories': categories}))


def reader(name: str, folder: str) -> Callable[[], Any]:
    """A function that reads the list."""
    reader_class = CustomDataset if name == STOCK else INaturalist2018
    return lambda: reader_class(data_root=folder, ann_file=LIST)


def run(settings: Settings) -> Tuple[List[Row], List[Curve]]:
    """Time and memory of the list; time of the imports."""
    with TemporaryDirectory() as folder:
        write_images(Path(folder), *(QUICK_SIZE if settings.quick else SIZE))
        rows = _time_rows(folder, settings)
        if Path('/proc/self/clear_refs').exists():
            memory = {
                name: settings.peak_memory(reader, (name, folder))
                for name in ('list', STOCK)
            }
            options = dict(unit='MB', max_median=200)
            name = 'list, extra peak memory'
            rows += rows_of(name, memory, 'list', {STOCK: None}, **options)
    return rows + _import_rows(settings), []


def _time_rows(folder: str, settings: Settings) -> List[Row]:
    ours, stock = reader('list', folder)(), reader(STOCK, folder)()
    times = settings.time(
        {
            STOCK: reader(STOCK, folder),
            'list': reader('list', folder),
            UNCHECKED: lambda: INaturalist2018(
                LIST, folder, check_files=False
            ),
            'json.loads': lambda: json.loads(Path(folder, JSON).read_text()),
            'JSON': lambda: INaturalist2018(JSON, folder),
            'labels': ours.get_gt_labels,
            'class counts': lambda: count_classes(ours),
            'labels of CustomDataset': stock.get_gt_labels,
        },
        most_repeats=5,
    )
    rows = []
    for name, baseline, max_ratio, limit in (
        ('list', STOCK, 1, None),  # also finds links to one file
        (UNCHECKED, STOCK, 0.5, None),
        ('JSON', 'json.loads', None, None),
        ('labels', 'labels of CustomDataset', None, 50),
        ('class counts', 'labels of CustomDataset', None, 50),
    ):
        limits = {baseline: max_ratio}
        rows += rows_of(name, times, name, limits, max_median=limit)
    return rows


def _import_rows(settings: Settings) -> List[Row]:
    names = set(bcl_mm.__all__) - {'config_path'}
    modules = [f'bcl_mm.{name}' for name in sorted(names)]
    stages = {
        'import mmpretrain': 'mmpretrain',
        'import bcl_mm': 'bcl_mm',
        # As any training needs.
        "import of mmpretrain's": 'mmpretrain.models,mmpretrain.datasets',
        'import of its modules': ','.join(modules),
    }
    command = sys.executable, '-W', 'ignore', '-c', IMPORT_CODE
    times: Times = {name: [] for name in stages}
    for _ in range(min(5, settings.repeats)):
        printed = subprocess.check_output([*command, *stages.values()])
        for values, number in zip(times.values(), printed.split()):
            values.append(float(number))
    rows, names = [], list(stages)
    for stock, ours in (names[:2], names[2:]):
        rows += rows_of(ours, times, ours, {stock: None}, max_median=200)
    return rows
