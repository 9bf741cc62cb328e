"""OpenClipart-LT: a natural long tail, from Debian's openclipart-png."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Dict, Iterator, List, NamedTuple, Sequence, Set, Tuple

from PIL import Image

from bcl_mm.datasets.splitting import join
from bcl_mm.datasets.transforms.loading import (
    CorruptImageError,
    LoadImageFromFile,
)
from bcl_mm.utils.errors import MissingFileError
from bcl_mm.utils.files import CsvWriter, open_atomically, write_atomically
from bcl_mm.utils.progress import show_progress

NUM_FOLDS = 5
# Folders that are no classes.
_LEFT_OUT = 'unsorted', 'special'
_MIN_IMAGES = 12  # of a class
_MAX_IMAGES = 100  # of a class in a part, so 400 in training; of a group
_MAX_PIXELS = 2**24  # of an image; a few have hundreds of millions
# The package cuts names of drawing and author to about 24 letters.
_CUT = 22
_NUMBER = re.compile(r'_(\d\d|r)?$')


class Drawing(NamedTuple):
    """An image of the prepared data set.

    Attributes:
        path: Its path in the package.
        label: Its class, a folder of the package.
        group: First image of its class and author, or series.
        part: ``'0'`` to ``'4'``, the fold that tests it; or ``'val'``.
    """

    path: PurePosixPath
    label: str
    group: str
    part: str


def _rank(text: object) -> bytes:
    return hashlib.sha256(str(text).encode()).digest()


def _words(path: PurePosixPath) -> Tuple[List[str], bool]:
    """Words of a name without digits, and whether it may be cut."""
    name = _NUMBER.sub('', path.stem.lower())
    may_be_cut = name != path.stem.lower() and len(name) >= _CUT
    name = re.sub(r'\d', '', name)
    return [word for word in name.split('_') if word] or [''], may_be_cut


def count_authors(paths: Sequence[PurePosixPath]) -> Set[str]:
    """The last two words of names, those that occur again."""
    counts = Counter('_'.join(_words(path)[0][-2:]) for path in paths)
    return {author for author, number in counts.items() if number > 1}


def series_of(path: PurePosixPath, authors: Set[str]) -> Set[str]:
    """Keys of an image: those of one series share one.

    They are the set that it belongs to, if there is a folder of it.
    Otherwise the end of its name, which is its author or what is numbered;
    and, where that may be cut, all authors that begin so.

    Args:
        path: Its path in the package.
        authors: See :func:`count_authors`.
    """
    if len(path.parts) > 3:
        return {'/'.join(path.parts[:3])}
    words, may_be_cut = _words(path)
    keys = {'_'.join(words[-2:])}
    if len(words[-1]) >= 4:
        keys.add(f'...{words[-1]}')
    if may_be_cut:
        ends = ['_'.join(words[-number:]) for number in (1, 2, 3)]
        ends = [end for end in ends if len(end) >= 3]
        keys |= {a for a in authors if any(a.startswith(e) for e in ends)}
    return keys


def group_images(
    paths: Sequence[PurePosixPath], authors: Set[str]
) -> List[List[PurePosixPath]]:
    """Images of a class in groups that share no key (:func:`series_of`)."""
    members: Dict[str, List[int]] = defaultdict(list)
    for i, path in enumerate(paths):
        for key in series_of(path, authors):
            members[key].append(i)
    units = join(len(paths), list(members.values()))
    return [[paths[i] for i in unit] for unit in units]


def choose_classes(
    same: Sequence[Sequence[PurePosixPath]], authors: Set[str]
) -> Dict[str, List[List[PurePosixPath]]]:
    """Classes with the groups of their images.

    A class is a two-level folder with 12 images in five groups, or else a
    top folder with what its other folders contain. An image in two classes
    is left out.

    Args:
        same: Paths of each image: those of files with the same pixels.
        authors: See :func:`count_authors`.
    """
    small: Set[str] = set()
    while True:
        members: Dict[str, List[PurePosixPath]] = defaultdict(list)
        for paths in same:
            folders = ['/'.join(path.parts[:-1][:2]) for path in paths]
            labels = {f.split('/')[0] if f in small else f for f in folders}
            if len(labels) == 1:
                members[labels.pop()].append(min(paths))
        classes = {
            label: group_images(sorted(members[label]), authors)
            for label in sorted(members)
        }
        too_small = {
            label
            for label, groups in classes.items()
            if len(groups) < NUM_FOLDS or len(members[label]) < _MIN_IMAGES
        }
        if not any('/' in label for label in too_small):
            return {k: v for k, v in classes.items() if k not in too_small}
        small |= too_small


def divide(
    label: str, groups: Sequence[Sequence[PurePosixPath]]
) -> Iterator[Drawing]:
    """Divide a class into the folds and the validation part, by groups.

    The largest group first, each goes to the part with the fewest images.
    What is then the smallest part is for validation, if the class has more
    groups than folds. A group gives at most 100 images, and so does a part.
    """
    number = min(len(groups), NUM_FOLDS + 1)
    parts: List[List[Tuple[str, PurePosixPath]]] = [[] for _ in range(number)]
    for group in sorted(groups, key=lambda g: (-len(g), _rank(g[0]))):
        kept = sorted(group, key=_rank)[:_MAX_IMAGES]
        smallest = min(parts, key=len)
        smallest += [(str(group[0]), path) for path in kept]
    parts.sort(key=len, reverse=True)
    folds = sorted(range(NUM_FOLDS), key=lambda i: _rank(f'{label} {i}'))
    for part, name in zip(parts, [*folds, 'val']):
        chosen = sorted(part, key=lambda item: _rank(item[1]))[:_MAX_IMAGES]
        for name_of_group, path in sorted(chosen):
            yield Drawing(path, label, name_of_group, str(name))


def on_white(content: bytes) -> Image.Image:
    """An image with white in place of what is transparent."""
    with Image.open(BytesIO(content)) as image:
        drawn = image.convert('RGBA')
    white = Image.new('RGBA', drawn.size, 'white')
    white.alpha_composite(drawn)
    return white.convert('RGB')


def fitted(image: Image.Image, size: int) -> Image.Image:
    """The image with its longest side of ``size``, padded with white."""
    scale = size / max(image.size)
    sides = [max(1, round(side * scale)) for side in image.size]
    square = Image.new('RGB', (size, size), 'white')
    left, top = ((size - side) // 2 for side in sides)
    square.paste(image.resize(sides, Image.Resampling.BILINEAR), (left, top))
    return square


def prepare(source: Path, out: Path, size: int = 32) -> List[Drawing]:
    """Write images and the lists of the folds.

    Images with the same pixels are kept once. In each list, the part of an
    image is ``train``, ``val`` (the same images in all folds, which none of
    them tests) or ``test``.

    Args:
        source: Folder ``png`` of the package.
        out: Folder for ``images/`` and ``fold_0.csv`` ... ``fold_4.csv``.
        size: Side of the prepared images in pixels. Defaults to 32.

    Returns:
        The images, class by class.

    Raises:
        MissingFileError: The package is not there.
    """
    paths = sorted(
        PurePosixPath(path.relative_to(source).as_posix())
        for path in source.glob('*/**/*.png')
    )
    paths = [path for path in paths if path.parts[0] not in _LEFT_OUT]
    if not paths:
        raise MissingFileError(
            f'{source} has no drawings: on Debian and Ubuntu, apt-get install '
            'openclipart-png; or give its folder png with --source'
        )
    loader = LoadImageFromFile(max_pixels=_MAX_PIXELS)
    same: Dict[bytes, List[PurePosixPath]] = defaultdict(list)
    small: Dict[PurePosixPath, Image.Image] = {}
    for path in show_progress(paths, len(paths), 'drawings read'):
        try:
            image = on_white(loader.read(str(source / path)))
        except CorruptImageError as error:  # too large
            print(f'left out: {error}')
            continue
        pixels = str(image.size).encode() + image.tobytes()
        same[hashlib.sha256(pixels).digest()].append(path)
        small[path] = fitted(image, size)
    authors = count_authors(paths)
    drawings = [
        drawing
        for label, groups in choose_classes(
            list(same.values()), authors
        ).items()
        for drawing in divide(label, groups)
    ]
    for drawing in drawings:
        file = out / 'images' / drawing.path
        file.parent.mkdir(parents=True, exist_ok=True)
        content = BytesIO()
        small[drawing.path].save(content, 'PNG')
        write_atomically(content.getvalue(), file)
    for fold in range(NUM_FOLDS):
        with open_atomically(out / f'fold_{fold}.csv', newline='') as file:
            writer = CsvWriter(file)
            writer.writerow(['path', 'label', 'group', 'part'])
            for path, label, group, part in drawings:
                if part != 'val':
                    part = 'test' if part == str(fold) else 'train'
                writer.writerow([f'images/{path}', label, group, part])
    return drawings
