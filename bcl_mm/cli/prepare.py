"""Prepare a data set: fashion-mnist or openclipart.

Fashion-MNIST's four files go into data/fashion_mnist. They come from Debian's
package dataset-fashion-mnist where it is installed, otherwise they are
downloaded. Complete files are left alone.

OpenClipart-LT, a natural long tail of coloured drawings in five folds, is made
in data/openclipart_lt from Debian's package openclipart-png.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import urllib.request
import zlib
from collections import Counter
from http.client import HTTPException
from pathlib import Path

from bcl_mm.apis.locations import make_folder
from bcl_mm.cli.options import whole_number
from bcl_mm.utils.errors import InputFileError, InputValueError
from bcl_mm.utils.files import write_atomically

DEBIAN = Path('/usr/share/datasets/fashion-mnist')
DRAWINGS = Path('/usr/share/openclipart/png')
# The authors' repository, then MMPretrain's address.
MIRRORS = (
    'https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/',
    'http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/',
)
# Of the decompressed files: a repacked archive is as good as the original.
SHA256 = {
    'train-images-idx3-ubyte': (
        'c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888'
    ),
    'train-labels-idx1-ubyte': (
        'bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9'
    ),
    't10k-images-idx3-ubyte': (
        '5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b'
    ),
    't10k-labels-idx1-ubyte': (
        '0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34'
    ),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the name of the data set, and the folders."""
    add = parser.add_argument
    add('dataset', choices=['fashion-mnist', 'openclipart'])
    add(
        '--source',
        type=Path,
        help="folder of the .gz files, or of the package's drawings (default: "
        'where the Debian packages have them)',
    )
    add('--out', type=Path, help='default: data/NAME')
    add(
        '--size',
        type=whole_number(1),
        help='side of the drawings in pixels (default: 32)',
    )


def fetch(name: str, source: Path) -> bytes:
    """Decompressed content of a file, from a folder or a mirror.

    Raises:
        InputFileError: A file is damaged, or no mirror answers.
    """
    archive = f'{name}.gz'
    local = source / archive
    if local.is_file():
        try:
            return gzip.decompress(local.read_bytes())
        except (OSError, EOFError, zlib.error) as error:
            raise InputFileError(f'{local} cannot be read: {error}') from error
    failures = []
    for mirror in MIRRORS:
        print(f'Downloading {mirror}{archive} ...', flush=True)
        try:
            with urllib.request.urlopen(mirror + archive, timeout=30) as file:
                return gzip.decompress(file.read())
        except (OSError, EOFError, HTTPException, zlib.error) as error:
            failures.append(f'  {mirror}{archive}: {error}')
    raise InputFileError(
        f'{archive} is not in {source} and cannot be downloaded:\n'
        + '\n'.join(failures)
        + '\nOn Debian and Ubuntu: apt-get install dataset-fashion-mnist'
    )


def run(args: argparse.Namespace) -> None:
    """Prepare the folder."""
    is_fashion = args.dataset == 'fashion-mnist'
    if is_fashion and args.size:
        raise InputValueError('--size is for openclipart, not fashion-mnist')
    name = 'fashion_mnist' if is_fashion else 'openclipart_lt'
    out = args.out or Path('data', name)
    make_folder('--out', out)
    if is_fashion:
        _prepare_fashion_mnist(args.source or DEBIAN, out)
    else:
        _prepare_openclipart(args.source or DRAWINGS, out, args.size or 32)


def _prepare_fashion_mnist(source: Path, out: Path) -> None:
    for name, checksum in SHA256.items():
        path = out / name
        if path.is_file() and _sha256(path.read_bytes()) == checksum:
            continue
        content = fetch(name, source)
        if _sha256(content) != checksum:
            raise InputValueError(f'{name} is damaged: its checksum is wrong')
        write_atomically(content, path)
    print(f'Fashion-MNIST is in {out}')


def _prepare_openclipart(source: Path, out: Path, size: int) -> None:
    # Not above: it loads what trains models.
    from bcl_mm.datasets.openclipart import prepare

    parts = Counter(one.part for one in prepare(source, out, size))
    val = parts.pop('val')
    folds = ', '.join(f'{parts[name]:,}' for name in sorted(parts))
    print(f'OpenClipart-LT is in {out}')
    print(f'Images of the folds: {folds}; for validation: {val:,}')


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
