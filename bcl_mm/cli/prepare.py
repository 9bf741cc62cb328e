"""Put Fashion-MNIST's four files into data/fashion_mnist.

They come from Debian's package dataset-fashion-mnist where it is installed,
else they are downloaded.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import urllib.request
from pathlib import Path

from mmpretrain.datasets import FashionMNIST

DEBIAN = Path('/usr/share/datasets/fashion-mnist')
# The authors' repository first; MMPretrain's address is the second.
MIRRORS = (
    'https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/',
    FashionMNIST.url_prefix,
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


def fetch(name: str, source: Path) -> bytes:
    """Decompressed content of a file, from a folder or a mirror.

    Raises:
        SystemExit: No mirror answers.
    """
    archive = f'{name}.gz'
    if (source / archive).is_file():
        return gzip.decompress((source / archive).read_bytes())
    failures = []
    for mirror in MIRRORS:
        print(f'Downloading {mirror}{archive} ...', flush=True)
        try:
            with urllib.request.urlopen(mirror + archive, timeout=30) as file:
                return gzip.decompress(file.read())
        except (OSError, EOFError) as error:
            failures.append(f'  {mirror}{archive}: {error}')
    raise SystemExit(
        f'{archive} is neither in {source} nor can it be downloaded:\n'
        + '\n'.join(failures)
        + '\nOn Debian and Ubuntu: apt-get install dataset-fashion-mnist'
    )


def has_file(path: Path, checksum: str) -> bool:
    """Whether a file is there, and whole."""
    return (
        path.is_file()
        and hashlib.sha256(path.read_bytes()).hexdigest() == checksum
    )


def main() -> None:
    """Prepare the folder; files that are whole are left alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--source', type=Path, default=DEBIAN, help='folder of the .gz files'
    )
    parser.add_argument('--out', type=Path, default=Path('data/fashion_mnist'))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for name, checksum in SHA256.items():
        path = args.out / name
        if has_file(path, checksum):
            continue
        partial = path.with_suffix('.partial')
        partial.write_bytes(fetch(name, args.source))
        if not has_file(partial, checksum):
            partial.unlink()
            raise SystemExit(f'{name} is damaged: its checksum is wrong')
        os.replace(partial, path)
    print(f'Fashion-MNIST is in {args.out}')


if __name__ == '__main__':
    main()
