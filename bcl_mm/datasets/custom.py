"""Custom data sets, in the usual layouts."""

from __future__ import annotations

import os.path as osp
from collections import defaultdict
from hashlib import blake2b
from typing import Any, Dict, Iterator, List, Sequence, Set, Tuple

import numpy as np

from bcl_mm.classes import printable
from bcl_mm.datasets.annotations import Row
from bcl_mm.datasets.csv_lists import PARTS, read_csv, sorted_names
from bcl_mm.datasets.folders import classes_in, find_parts, read_tree
from bcl_mm.datasets.table import ImageTable, TableDataset
from bcl_mm.registry import DATASETS
from bcl_mm.utils.errors import InputTypeError, InputValueError, check_number


def choose_val(
    paths: Sequence[str], val_fraction: float, split_seed: int
) -> Set[str]:
    """Choose the images of a class that are for validation.

    Images are ranked by a hash of seed and path. The choice depends neither
    on their order nor on other classes, and an added image moves at most one
    other image to another part.

    Args:
        paths: Paths of the class's images, two or more.
        val_fraction: The part of them to choose, in (0, 1). At least one is
            chosen, and one is left.
        split_seed: Seed of the choice.
    """

    def rank(path: str) -> bytes:
        text = f'{split_seed}/{path}'.encode('utf-8', 'surrogatepass')
        return blake2b(text, digest_size=8).digest()

    number = min(max(1, round(len(paths) * val_fraction)), len(paths) - 1)
    return set(sorted(paths, key=rank)[:number])


@DATASETS.register_module()
class CustomImages(TableDataset):
    """Custom images: class folders or CSV lists, split if necessary.

    ``data_root`` is read as the first of these that fits:

    - it is a CSV file: a list of all images, which is split;
    - it holds ``train.csv`` or ``train/``: the training part. ``val`` (or
      ``valid``, ``validation``) and ``test``, ``.csv`` or folders, are the
      others; without ``val`` the training part is split;
    - it holds one CSV list: that of all images, which is split;
    - it holds class folders: one tree, which is split.

    In a tree, each folder is a class, which has all images below that folder
    (:func:`~bcl_mm.datasets.folders.find_images`). A list has ``path,label``
    rows (:func:`~bcl_mm.datasets.csv_lists.read_csv`), with paths that are
    absolute or relative to the list's folder. A CSV table without columns
    ``path`` and ``label`` or a row of an image is not a list, and is ignored.

    The classes are those of the training part, in the order of their names
    (as text; by value if all labels of a list are numbers). The other parts
    have the same classes: a label means the same class in all parts.

    Args:
        data_root: A folder or a CSV file.
        split: ``'train'``, ``'val'`` or ``'test'``. Defaults to ``'train'``.
        val_fraction: The part of each class that validation gets if the
            data are split, in (0, 1); at least one image, and at least one
            is left for training. Defaults to 0.2.
        split_seed: Seed of that split, >= 0. Defaults to 0.
        data_prefix: Folder that the paths of lists are relative to, itself
            relative to the list's. Defaults to ``''``.
        **kwargs: Arguments of :class:`TableDataset` (``check_files``, for
            lists) and of mmpretrain's ``BaseDataset``. ``classes`` replaces
            the classes of the training part, which then need not exist for
            another split.

    Attributes:
        notes: What was found and what was left out, in sentences.

    Raises:
        InputTypeError: An argument is not a number, or not text.
        ValueError: An argument is out of its range; there are no or several
            data sets; a class has no image, or too few to be split; the
            split has a class that the training part lacks; a list is
            malformed. The message names folder, list or class.
        MissingFileError: ``data_root``, or an image of a list, does not
            exist.
        InputFileError: A folder or a list cannot be read.
    """

    def __init__(
        self,
        data_root: str,
        split: str = 'train',
        val_fraction: float = 0.2,
        split_seed: int = 0,
        data_prefix: str = '',
        **kwargs: Any,
    ) -> None:
        if split not in PARTS:
            raise InputValueError(
                f"split must be 'train', 'val' or 'test', got {split!r}"
            )
        check_number('val_fraction', val_fraction, above=0, below=1)
        check_number('split_seed', split_seed, at_least=0, whole=True)
        texts = dict(data_root=data_root, data_prefix=data_prefix)
        for name, value in texts.items():
            if not isinstance(value, str):
                raise InputTypeError(f'{name} must be text, got {value!r}')
        self.split = split
        self.val_fraction = val_fraction
        self.split_seed = split_seed
        self.prefix = data_prefix
        self.notes: List[str] = []
        super().__init__(ann_file='', data_root=data_root, **kwargs)

    def tabulate(self) -> Tuple[ImageTable, Sequence[str]]:
        """Images of the split, and the names of the classes."""
        given = self._metainfo.get('classes')
        root = osp.expanduser(self.data_root)
        needs_train = self.split == 'train' or given is None
        parts = find_parts(root, self.prefix, needs_train)
        train = parts.get('train') or parts.get('all')
        is_split = bool(train and 'val' not in parts)
        use_train = is_split and self.split != 'test'
        own = train if use_train else parts.get(self.split)
        if own is None:
            raise InputValueError(
                f'data_root {root!r} has no {self.split} part: it needs '
                f'{self.split}/, with class folders, or {self.split}.csv'
            )
        is_list = osp.isfile(own)
        if is_list:
            self.ann_file = own  # for messages
        names = given or self._class_names(train)
        rows = self._read(own, names)
        self.notes.insert(0, f'{self.split} is {own}')
        if len(set(map(str.casefold, names))) < len(names):
            self.notes.append('names of classes differ only in case')
        folder = osp.join(osp.dirname(own), self.prefix) if is_list else own
        if is_list and self.check_files:
            # Before the split, whose parts must not share a file either.
            images = ImageTable(folder, rows)
            images = self.without_missing(*self.find_missing(images))
            if len(images) < len(rows):
                rows = list(map(images.row, range(len(images))))
        if own == train:
            # Another part of a concatenation may have the others of the
            # given classes; ClassInfoHook counts them all.
            numbers = range(1 if given else 0, 2 if is_split else 1)
            self._problems.add(*_too_few(own, rows, names, numbers))
            if is_split:
                rows = self._rows_of_split(rows)
                self.notes[0] += (
                    f', of which validation gets {self.val_fraction:g} '
                    '(val_fraction) of each class'
                )
        return ImageTable(folder, rows), names

    def _read(self, path: str, names: Sequence[str]) -> List[Row]:
        """Images of a list or a tree, with labels."""
        if osp.isfile(path):
            images = read_csv(path, self.prefix, self._problems)
        else:
            images, left_out = read_tree(path, self._problems)
            self.notes += [f'{path}: {note}' for note in left_out]
        label_of = {name: label for label, name in enumerate(names)}
        unknown = {name for _, name, _ in images} - set(label_of)
        if unknown:
            unknown = sorted_names(unknown, path, self._problems)
            shown = ', '.join(map(repr, unknown[:8]))
            self._problems.add(
                f'{path} must have no other classes than the training part '
                f'(or classes=[...]), but it has {shown}'
                f'{" ..." if len(unknown) > 8 else ""}'
            )
            images = [image for image in images if image[1] in label_of]
        if not images:
            raise InputValueError(f'{path} holds no image')
        return [(path, label_of[name], line) for path, name, line in images]

    def _class_names(self, path: str) -> Sequence[str]:
        """Names of the classes of a list or a tree, two or more."""
        if not osp.isfile(path):
            return classes_in(path, self._problems)
        rows = read_csv(path, self.prefix, self._problems)
        labels = (name for _, name, _ in rows)
        names = sorted_names(labels, path, self._problems)
        if len(names) == 1:
            self._problems.add(
                f'{path} must have at least two classes, got only {names[0]!r}'
            )
        return names

    def _rows_of_split(self, rows: List[Row]) -> List[Row]:
        """Images of this split, among those of training and validation."""
        members: Dict[int, List[str]] = defaultdict(list)
        for path, label, _ in rows:
            members[label].append(path)
        chosen = set()
        for paths in members.values():
            chosen |= choose_val(paths, self.val_fraction, self.split_seed)
        is_val = self.split == 'val'
        return [row for row in rows if (row[0] in chosen) == is_val]


def _too_few(
    path: str, rows: List[Row], names: Sequence[str], numbers: Sequence[int]
) -> Iterator[str]:
    """Find classes that have such a number of images."""
    counts = np.bincount([label for _, label, _ in rows], None, len(names))
    rules = (
        'every class needs a training image, but there is none of',
        'to be split into training and validation, every class needs two '
        'images (add some, remove the class, or make train/ and val/ '
        'yourself), but there is only one of',
    )
    for number in numbers:
        few = [name for name, n in zip(names, counts) if n == number]
        if few:  # name all of them: the user must fix each
            listed = ', '.join(map(printable, few))
            yield f'{path}: {rules[number]} {listed}'
