"""The search for identical images before the split of own data."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import List, Tuple

import numpy as np

from bcl_mm.datasets import identical
from benchmarks.common import Curve, Row, Settings, rows_of

COUNT, QUICK_COUNT = 5_000, 200
BYTES = 60_000  # of a file, on average
ALL = 'a hash of every file'


def write_files(root: Path, sizes: List[int]) -> List[str]:
    """Write files of random bytes; returns their paths."""
    random = np.random.RandomState(0)
    root.mkdir()
    paths = [root / f'{i}.jpg' for i in range(len(sizes))]
    for path, size in zip(paths, sizes):
        path.write_bytes(random.bytes(size))
    return list(map(str, paths))


def search(paths: List[str]) -> None:
    """Search without what an earlier search has found."""
    identical._FOUND.clear()
    identical.find_identical(paths)


def hash_all(paths: List[str]) -> None:
    """What the search would be without a look at the sizes."""
    for path in paths:
        blake2b(Path(path).read_bytes()).digest()


def run(settings: Settings) -> Tuple[List[Row], List[Curve]]:
    """Time among files of different sizes, and of one size."""
    count = QUICK_COUNT if settings.quick else COUNT
    random = np.random.RandomState(0)
    sizes = random.randint(BYTES // 3, BYTES * 5 // 3, count).tolist()
    rows: List[Row] = []
    with TemporaryDirectory() as folder:
        for name, its_sizes in (
            ('sizes of photos', sizes),
            ('one size', [BYTES] * count),
        ):
            paths = write_files(Path(folder, name), its_sizes)
            times = settings.time(
                {
                    name: lambda p=paths: search(p),
                    ALL: lambda p=paths: hash_all(p),
                },
                most_repeats=5,
            )
            rows += rows_of(name, times, name, {ALL: None})
    return rows, []
