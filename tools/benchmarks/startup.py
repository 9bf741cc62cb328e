"""What passes before training starts: imports, and a long list of images."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Callable, Dict, List, Tuple

import numpy as np
from mmpretrain.datasets import CustomDataset

import bcl_mm
from bcl_mm.classes import count_classes
from bcl_mm.datasets import INaturalist2018
from benchmarks.common import Curve, Row, Settings, interleave

# As long as iNaturalist 2018.
IMAGES, CLASSES = 437_513, 8_142
QUICK_IMAGES, QUICK_CLASSES = 5_000, 100
LIST, JSON = 'list.txt', 'train2018.json'
STOCK = 'CustomDataset'

# In a fresh process: milliseconds of imports, one after the other.
IMPORT_CODE = """
import importlib, sys, time
for names in sys.argv[1:]:
    start = time.perf_counter()
    for name in names.split(','):
        importlib.import_module(name)
    print(1e3 * (time.perf_counter() - start))
"""
# In a fresh process: MB that each reader needs at most beyond what is in use
# (which Linux can set its peak back to).
MEMORY_CODE = """
import re, sys
from pathlib import Path
from mmpretrain.datasets import CustomDataset
from bcl_mm.datasets import INaturalist2018
def memory(name):
    status = Path('/proc/self/status').read_text()
    return int(re.search(name + r':\\s*(\\d+) kB', status)[1]) / 1024
kept = []
for reader in INaturalist2018, CustomDataset:
    Path('/proc/self/clear_refs').write_text('5')
    before = memory('VmRSS')
    kept.append(reader(data_root=sys.argv[1], ann_file=sys.argv[2]))
    print(memory('VmHWM') - before)
"""


def write_images(root: Path, images: int, classes: int) -> None:
    """A tree, a list and a JSON in iNaturalist 2018's layout.

    Classes are long-tailed, the order is random and the files are empty.
    """
    random = np.random.RandomState(0)
    share = 1 / np.arange(1, classes + 1)
    labels = random.choice(
        classes, images - classes, p=share / share.sum()
    ).tolist()
    labels = random.permutation([*range(classes), *labels]).tolist()
    for label in range(classes):
        (root / f'train_val2018/Plantae/{label}').mkdir(parents=True)
    names = [
        f'train_val2018/Plantae/{label}/{random.bytes(16).hex()}.jpg'
        for label in labels
    ]
    for name in names:
        open(root / name, 'w').close()
    lines = [f'{name} {label}\n' for name, label in zip(names, labels)]
    (root / LIST).write_text(''.join(lines))
    content = dict(
        images=[dict(id=i, file_name=n) for i, n in enumerate(names)],
        annotations=[
            dict(id=i, image_id=i, category_id=label)
            for i, label in enumerate(labels)
        ],
        categories=[dict(id=i, name=f'name {i}') for i in range(classes)],
    )
    (root / JSON).write_text(json.dumps(content))


def in_new_process(code: str, *arguments: str) -> List[float]:
    """Numbers that a fresh Python prints."""
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', code, *arguments],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return [float(number) for number in done.stdout.split()]


def run(settings: Settings) -> Tuple[List[Row], List[Curve]]:
    """Seconds and memory of the list, and what imports take."""
    with TemporaryDirectory() as folder:
        sizes = (
            (QUICK_IMAGES, QUICK_CLASSES)
            if settings.quick
            else (IMAGES, CLASSES)
        )
        write_images(Path(folder), *sizes)
        rows = _times(folder, settings) + _memory(folder, settings)
    return rows + _imports(settings), []


def _times(folder: str, settings: Settings) -> List[Row]:
    ours = INaturalist2018(LIST, folder)
    stock = CustomDataset(data_root=folder, ann_file=LIST)
    candidates: Dict[str, Callable] = {
        STOCK: lambda: CustomDataset(data_root=folder, ann_file=LIST),
        'list': lambda: INaturalist2018(LIST, folder),
        'list, files not looked for': lambda: INaturalist2018(
            LIST, folder, check_files=False
        ),
        'json.loads': lambda: json.loads(Path(folder, JSON).read_text()),
        'JSON': lambda: INaturalist2018(JSON, folder),
        'labels': ours.get_gt_labels,
        'class counts': lambda: count_classes(ours),
        'labels of CustomDataset': stock.get_gt_labels,
    }
    times = interleave(candidates, min(5, settings.repeats), settings.device)
    return [
        Row(name, times[name], baseline, times[baseline], most=most)
        for name, baseline, most in (
            ('list', STOCK, 1500),
            ('list, files not looked for', STOCK, 1500),
            ('JSON', 'json.loads', None),
            ('labels', 'labels of CustomDataset', 50),
            ('class counts', 'labels of CustomDataset', 50),
        )
    ]


def _memory(folder: str, settings: Settings) -> List[Row]:
    if not Path('/proc/self/clear_refs').exists():
        return []
    peaks = [
        in_new_process(MEMORY_CODE, folder, LIST)
        for _ in range(min(3, settings.repeats))
    ]
    ours, stock = map(list, zip(*peaks))
    return [
        Row(
            'list, extra peak memory',
            ours,
            STOCK,
            stock,
            unit='MB',
            most=150,
        )
    ]


def _imports(settings: Settings) -> List[Row]:
    modules = [f'bcl_mm.{name}' for name in bcl_mm.__all__]
    modules.remove('bcl_mm.config_path')
    stages = (
        'mmpretrain',
        'bcl_mm',
        'mmpretrain.models,mmpretrain.datasets',  # as any training needs
        ','.join(modules),
    )
    times = [
        in_new_process(IMPORT_CODE, *stages)
        for _ in range(min(5, settings.repeats))
    ]
    stock, ours, stock_modules, our_modules = map(list, zip(*times))
    return [
        Row('import bcl_mm', ours, 'import mmpretrain', stock, most=200),
        Row(
            'import of its modules',
            our_modules,
            "import of mmpretrain's",
            stock_modules,
            most=200,
        ),
    ]
