"""Prepare a data set: put Fashion-MNIST's four files into data/fashion_mnist.

They come from Debian's package dataset-fashion-mnist where it is installed,
otherwise they are downloaded. Complete files are left alone.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import urllib.request
import zlib
from pathlib import Path

from bcl_mm.apis.locations import make_folder
from bcl_mm.utils.errors import InputFileError, InputValueError
from bcl_mm.utils.files import write_atomically

DEBIAN = Path('/usr/share/datasets/fashion-mnist')
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
    parser.add_argument('dataset', choices=['fashion-mnist'])
    parser.add_argument(
        '--source', type=Path, default=DEBIAN, help='folder of the .gz files'
    )
    parser.add_argument('--out', type=Path, default=Path('data/fashion_mnist'))


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
        except (OSError, EOFError, zlib.error) as error:
            failures.append(f'  {mirror}{archive}: {error}')
    raise InputFileError(
        f'{archive} is not in {source} and cannot be downloaded:\n'
        + '\n'.join(failures)
        + '\nOn Debian and Ubuntu: apt-get install dataset-fashion-mnist'
    )


def run(args: argparse.Namespace) -> None:
    """Prepare the folder."""
    make_folder('--out', args.out)
    for name, checksum in SHA256.items():
        path = args.out / name
        if path.is_file() and _sha256(path.read_bytes()) == checksum:
            continue
        content = fetch(name, args.source)
        if _sha256(content) != checksum:
            raise InputValueError(f'{name} is damaged: its checksum is wrong')
        write_atomically(content, path)
    print(f'Fashion-MNIST is in {args.out}')


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
