"""Where the parts of an unknown data set lie, and the images in them."""

from __future__ import annotations

import os
import os.path as osp
from collections import Counter
from typing import Dict, Iterable, List, Set, Tuple

from bcl_mm.datasets.csv_lists import is_csv_list, is_image_name
from bcl_mm.utils.errors import InputValueError, MissingFileError

# What the parts are called, whatever the case.
PARTS = dict(
    train=('train', 'training'),
    val=('val', 'valid', 'validation'),
    test=('test', 'testing'),
)


def _entries(folder: str) -> List[str]:
    """Names in a folder that are not hidden, sorted."""
    return sorted(n for n in os.listdir(folder) if not n.startswith('.'))


def class_folders(folder: str) -> List[str]:
    """Names of the folders in a folder, sorted."""
    with os.scandir(folder) as entries:
        names = [e.name for e in entries if e.is_dir()]
    return sorted(n for n in names if not n.startswith('.'))


def find_images(folder: str) -> Tuple[List[str], List[str]]:
    """Files below a folder, at any depth, that are not hidden.

    Links are followed, and each folder is read once, so that none leads in a
    circle.

    Returns:
        Sorted paths, relative to the folder, of the images and of the other
        files. An image's link that leads nowhere is an image, too, so that
        it is missed.
    """
    images, others = [], []
    seen: Set[Tuple[int, int]] = set()

    def walk(relative: str) -> None:
        path = osp.join(folder, relative)
        status = os.stat(path)
        if (status.st_dev, status.st_ino) in seen:
            return
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(path) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for entry in found:
            if entry.name.startswith('.'):
                continue
            below = f'{relative}/{entry.name}' if relative else entry.name
            if entry.is_dir():
                walk(below)
            else:
                (images if is_image_name(entry.name) else others).append(below)

    walk('')
    return sorted(images), sorted(others)


def read_tree(
    folder: str,
) -> Tuple[List[Tuple[str, str, int]], List[str]]:
    """Read a tree of class folders.

    Args:
        folder: Its root. Each folder in it is a class, and the images below
            that, at any depth, are the class's.

    Returns:
        (path relative to ``folder``, class name, 0) for each image, class by
        class; and sentences about files that are left out.
    """
    rows, left_out = [], []
    for name in class_folders(folder):
        images, others = find_images(osp.join(folder, name))
        rows += [(f'{name}/{path}', name, 0) for path in images]
        left_out += [f'{name}/{path}' for path in others]
    outside = [n for n in _entries(folder) if is_image_name(n)]
    outside = [n for n in outside if osp.isfile(osp.join(folder, n))]
    notes = []
    if left_out:
        endings = Counter(osp.splitext(path)[1] for path in left_out)
        listed = ', '.join(
            f'{number:,} {ending or "without ending"}'
            for ending, number in sorted(endings.items())
        )
        notes.append(
            f'{len(left_out):,} files are no images, by their names, and are '
            f'left out ({listed}), such as {left_out[0]}'
        )
    if outside:
        notes.append(
            f'{len(outside):,} images lie outside the class folders and are '
            f'left out, such as {outside[0]}'
        )
    return rows, notes


def classes_in(folder: str) -> List[str]:
    """Names of the classes of a tree, which is not searched for images.

    Raises:
        ValueError: There are not two class folders; the message says what is
            there instead.
    """
    names = class_folders(folder)
    rule = f'{folder!r} must hold at least two class folders'
    if len(names) > 1:
        return names
    images = [n for n in _entries(folder) if is_image_name(n)]
    if images:
        raise InputValueError(
            f'{rule}, but {len(images):,} images lie in it directly, such as '
            f'{images[0]}: put each into the folder of its class, or list '
            'them in a CSV file of path,label rows'
        )
    if names:
        raise InputValueError(
            f'{rule}, got only {names[0]!r}: is that folder the data_root?'
        )
    raise InputValueError(f'{rule} or a CSV list, got neither')


def _named(root: str, part: str) -> List[str]:
    """Names in a folder that a part's list or folder may have."""
    names = _entries(root)
    return [n for n in names if osp.splitext(n)[0].lower() in PARTS[part]]


def _lists(root: str, names: Iterable[str], prefix: str) -> List[str]:
    """Those of the names that are CSV lists of images."""
    folder = osp.join(root, prefix)
    return [n for n in names if is_csv_list(osp.join(root, n), folder)]


def _choose(root: str, part: str, prefix: str) -> List[str]:
    """Names of a part's list, or else of its tree, in ``root``."""
    names = _named(root, part)
    trees = [n for n in class_folders(root) if n in names]
    # One that holds images alone may be a class, called 'train'.
    trees = [n for n in trees if class_folders(osp.join(root, n))]
    return _lists(root, names, prefix) or trees


def _refuse_half_a_data_set(root: str, prefix: str) -> None:
    """Raise a ValueError where what looks like a tree of classes is none."""
    whole = osp.abspath(root)
    above = osp.dirname(whole)
    if osp.basename(whole).lower() in PARTS['train']:
        beside = _choose(above, 'val', prefix)
        if beside:
            raise InputValueError(
                f'data_root {root!r} is the training part, and {beside[0]} '
                'lies beside it: give the folder that holds both, '
                f'data_root={above}'
            )
    folders = class_folders(root)
    parts = [n for n in folders for p in PARTS if n in _named(root, p)]
    # One of them may be a class, called 'train', among others.
    if parts and len(folders) - len(parts) < 2:
        classes_in(osp.join(root, parts[-1]))


def _find_whole(root: str, prefix: str) -> str:
    """The one list, or else the one tree, that holds all."""
    tables = [n for n in _entries(root) if n.lower().endswith('.csv')]
    lists = _lists(root, tables, prefix)
    if len(lists) > 1:
        raise InputValueError(
            f'data_root {root!r} holds the lists {", ".join(lists)}: call '
            'them train.csv, val.csv and test.csv, or give one of them as '
            'data_root'
        )
    if len(tables) == 1 and len(class_folders(root)) < 2:
        lists = tables  # reading it says what is wrong with it
    if lists:
        return osp.join(root, lists[0])
    _refuse_half_a_data_set(root, prefix)
    return root


def find_parts(
    root: str, prefix: str = '', needs_train: bool = True
) -> Dict[str, str]:
    """Find the parts of a data set.

    Args:
        root: A folder, or a CSV list.
        prefix: Folder in ``root`` that the paths of lists are relative to.
            Defaults to ``''``.
        needs_train: Whether there must be a training part. Defaults to True.

    Returns:
        Paths of the ``train``, ``val`` and ``test`` parts, each a CSV list
        or a tree of class folders, as far as they are there; or of ``all``,
        which is still to be split.

    Raises:
        FileNotFoundError: ``root`` does not exist.
        ValueError: It holds no data set, or more than one.
    """
    if osp.isfile(root):
        if not root.lower().endswith('.csv'):
            raise InputValueError(
                f'data_root must be a folder or a CSV file, got {root!r}'
            )
        return dict(all=root)
    if not osp.isdir(root):
        raise MissingFileError(f'data_root {root!r} does not exist')
    parts = {}
    for part in PARTS:
        names = _choose(root, part, prefix)
        if len(names) > 1:
            raise InputValueError(
                f'data_root {root!r} must have one {part} part, got '
                f'{" and ".join(names)}'
            )
        if names:
            parts[part] = osp.join(root, names[0])
    if not parts:
        return dict(all=_find_whole(root, prefix))
    if 'train' in parts and 'val' not in parts:
        for name in set(class_folders(root)).intersection(_named(root, 'val')):
            classes_in(osp.join(root, name))  # says what is wrong with it
    elif 'train' not in parts and needs_train:
        name = osp.basename(next(iter(parts.values())))
        raise InputValueError(
            f'data_root {root!r} has {name}, but no training part: name its '
            'folder train, with a folder for each class in it, or its list '
            'train.csv'
        )
    return parts
