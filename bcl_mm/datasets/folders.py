"""Finding the images of a folder, and the parts of a custom data set."""

from __future__ import annotations

import os
import os.path as osp
from collections import Counter
from typing import Dict, List, Optional, Sequence, Tuple

from bcl_mm.classes import printable
from bcl_mm.datasets.class_names import check_names
from bcl_mm.datasets.columns import UNNAMED, Columns
from bcl_mm.datasets.csv_lists import (
    PARTS,
    Entry,
    is_csv_list,
    is_table_name,
)
from bcl_mm.datasets.links import FilesOfTree, identity_of
from bcl_mm.datasets.problems import Problems
from bcl_mm.datasets.transforms.loading import (
    OTHER_IMAGE_ENDINGS,
    is_image_name,
)
from bcl_mm.utils.errors import InputValueError, MissingFileError, counted
from bcl_mm.utils.files import telling_failed_reads


def _entries(folder: str) -> List[os.DirEntry]:
    """Entries of a folder that are not hidden, sorted by name."""
    with telling_failed_reads(repr(folder)), os.scandir(folder) as entries:
        found = [e for e in entries if not e.name.startswith('.')]
    return sorted(found, key=lambda entry: entry.name)


def class_folders(folder: str) -> List[str]:
    """Names of the folders in a folder, sorted, without hidden ones."""
    return [entry.name for entry in _entries(folder) if entry.is_dir()]


def find_images(
    folder: str,
    files: Optional[FilesOfTree] = None,
    problems: Optional[Problems] = None,
) -> Tuple[List[str], List[str]]:
    """Find the files below a folder, at any depth, that are not hidden.

    Links are followed. Each folder is read once, so that links cannot lead
    in a circle.

    Args:
        folder: The folder to search.
        files: What was found in folders that belong to others; the folders
            and images that are found are added. Defaults to None: nothing.
        problems: Gets the links to folders that belong to others, which are
            left out. Defaults to None: such a link is an error.

    Returns:
        Sorted paths, relative to the folder, of the images and of all other
        files. Images are regular files with an ending of ``IMAGE_ENDINGS``,
        and broken links with one, so that they are reported as missing.

    Raises:
        InputFileError: A folder cannot be read.
        InputValueError: A link leads to a folder that belongs to another.
    """
    images, others = [], []
    problems = problems or Problems()
    owners = {} if files is None else files.owners
    earlier = set(owners)

    def search(path: str, prefix: str) -> None:
        entries = _entries(path)
        identity = identity_of(path)
        if identity in earlier:
            link, target = path, owners[identity]
            if osp.islink(target) and not osp.islink(path):
                link, target = target, link  # the link was read first
            problems.add(
                f'an image must be in one class, but {link!r} is a link to '
                f'{target!r}: remove the link'
            )
        if identity in owners:
            return
        owners[identity] = path
        for entry in entries:
            relative = prefix + entry.name
            if entry.is_dir():
                search(entry.path, f'{relative}/')
            elif is_image_name(entry.name) and (
                entry.is_file() or not osp.exists(entry.path)
            ):
                images.append(relative)
                if files is not None:
                    files.add(entry)
            else:  # FIFOs and devices, too
                others.append(relative)

    search(folder, '')
    return sorted(images), sorted(others)


def _images_in(folder: str) -> List[str]:
    """Names of the images that lie in a folder directly."""
    images = [e for e in _entries(folder) if is_image_name(e.name)]
    return [image.name for image in images if image.is_file()]


def describe_left_out(paths: Sequence[str]) -> str:
    """A sentence about files, one or more, that are not read as images."""
    is_other = [p.lower().endswith(OTHER_IMAGE_ENDINGS) for p in paths]
    parts = []
    for wanted, noun, what, remedy in (
        (False, 'file', 'of no image format', ''),
        (True, 'image', 'of a format that is not read', ': convert to PNG'),
    ):
        found = [p for p, other in zip(paths, is_other) if other == wanted]
        if not found:
            continue
        endings = Counter(osp.splitext(path)[1] for path in found)
        listed = [
            f'{number:,} {printable(ending) or "without ending"}'
            for ending, number in sorted(endings.items())
        ]
        parts.append(
            f'{counted(len(found), noun)} {what} ({", ".join(listed)}), such '
            f'as {printable(found[0])}{remedy}'
        )
    return f'left out: {"; ".join(parts)}'


def read_tree(
    folder: str, problems: Optional[Problems] = None
) -> Tuple[List[Entry], List[str]]:
    """Read a tree of class folders.

    Args:
        folder: Its root. Each folder in it is a class, which has all images
            below that folder, at any depth.
        problems: Gets the links that make a folder belong to two classes, or
            an image occur twice, which are left out. Defaults to None: such
            a link is an error.

    Returns:
        The images, class by class, with paths relative to ``folder``; and
        sentences about files that are left out.

    Raises:
        InputFileError: A folder cannot be read.
        InputValueError: There is such a link.
    """
    rows, left_out = [], []
    problems = problems or Problems()
    files = FilesOfTree(owners={identity_of(folder): folder})
    for name in class_folders(folder):
        images, others = find_images(osp.join(folder, name), files, problems)
        rows += [Entry(f'{name}/{path}', name) for path in images]
        left_out += [f'{name}/{path}' for path in others]
    # Images in it belong to no class.
    del files.owners[identity_of(folder)]
    doubles = dict(files.doubles())
    problems.add(*doubles.values())
    if doubles:
        rows = [row for row in rows if osp.join(folder, row[0]) not in doubles]
    notes = [describe_left_out(left_out)] if left_out else []
    outside = _images_in(folder)
    if outside:
        notes.append(
            f'left out: {counted(len(outside), "image")} outside the class '
            f'folders, such as {printable(outside[0])}'
        )
    return rows, notes


def classes_in(
    folder: str, problems: Optional[Problems] = None
) -> Tuple[str, ...]:
    """Names of the classes of a tree, without a search for images.

    Args:
        folder: Its root.
        problems: Gets pairs of names for one class (see
            :func:`check_names`), and a class that is the only one. Defaults
            to None: each is an error.

    Raises:
        InputValueError: There is such a name, or there are no class folders;
            the message says what is there instead.
    """
    problems = problems or Problems()
    names = class_folders(folder)
    check_names(names, folder, problems)
    if len(names) > 1:
        return tuple(names)
    rule = f'{folder!r} must hold at least two class folders'
    images = _images_in(folder)
    if images:
        raise InputValueError(
            f'{rule}, but it holds {counted(len(images), "image")}, such as '
            f'{printable(images[0])}: put each into the folder of its class, '
            'or list them in a CSV file of path,label rows'
        )
    if not names:
        raise InputValueError(f'{rule} or a CSV list, got neither')
    problems.add(
        f'{rule}, got only {names[0]!r}: is that folder the data_root?'
    )
    return tuple(names)


def _is_part(name: str, part: str) -> bool:
    return osp.splitext(name)[0].lower() in PARTS[part]


def _find_part(
    root: str, part: str, prefix: str, columns: Columns
) -> List[str]:
    """Names in ``root`` of a part's lists or, without one, of its trees."""
    entries = [e for e in _entries(root) if _is_part(e.name, part)]
    folder = osp.join(root, prefix)

    def lists(by_known_names: bool) -> List[str]:
        return [
            e.name
            for e in entries
            if is_csv_list(e.path, folder, columns, by_known_names)
        ]

    # A folder without folders may be a class that is called 'train'.
    trees = [e.name for e in entries if e.is_dir() and class_folders(e.path)]
    return lists(False) or trees or lists(True)


def _refuse_partial_data_set(root: str, prefix: str) -> None:
    """Raise a ValueError if a folder holds parts, or is one itself."""
    whole = osp.abspath(root)
    above = osp.dirname(whole)
    if osp.basename(whole).lower() in PARTS['train']:
        beside = _find_part(above, 'val', prefix, UNNAMED)
        if beside:
            raise InputValueError(
                f'data_root {root!r} is the training part, and {beside[0]} '
                'lies beside it: give the folder that holds both, '
                f'data_root={above}'
            )
    folders = class_folders(root)
    parts = [n for n in folders if any(_is_part(n, p) for p in PARTS)]
    # One of them may be a class, called 'train', among others.
    if parts and len(folders) - len(parts) < 2:
        classes_in(osp.join(root, parts[-1]))


def _find_whole(root: str, prefix: str, columns: Columns) -> str:
    """The one list or, without one, the one tree that holds all images."""
    paths = [entry.path for entry in _entries(root)]
    tables = [path for path in paths if is_table_name(path)]
    folder = osp.join(root, prefix)
    is_tree = len(class_folders(root)) > 1
    lists = [t for t in tables if is_csv_list(t, folder, columns)]
    if not (lists or is_tree):
        lists = [t for t in tables if is_csv_list(t, folder, columns, True)]
    if len(lists) > 1:
        raise InputValueError(
            f'data_root {root!r} holds the lists '
            f'{", ".join(map(osp.basename, lists))}: call them train.csv, '
            'val.csv and test.csv, or give one of them as data_root'
        )
    if len(tables) == 1 and not is_tree:
        lists = tables  # reading it says what is wrong with it
    if lists:
        return lists[0]
    _refuse_partial_data_set(root, prefix)
    return root


def find_parts(
    root: str, prefix: str, needs_train: bool, columns: Columns
) -> Dict[str, str]:
    """Find the parts of a data set.

    Args:
        root: A folder, or a CSV list.
        prefix: Folder in ``root`` that the paths of lists are relative to.
        needs_train: Whether there must be a training part.
        columns: Names of the columns of lists, by which they are recognised.

    Returns:
        Paths of the ``train``, ``val`` and ``test`` parts that exist, each a
        CSV list or a tree of class folders; or of ``all``, which is still to
        be split.

    Raises:
        MissingFileError: ``root`` does not exist.
        InputFileError: A folder cannot be read.
        InputValueError: It holds no data set, or more than one.
    """
    if osp.isfile(root):
        if not is_table_name(root):
            raise InputValueError(
                'data_root must be a folder or a list (.csv or .tsv), got '
                f'{root!r}'
            )
        return dict(all=root)
    if not osp.isdir(root):
        raise MissingFileError(f'data_root {root!r} does not exist')
    parts = {}
    for part in PARTS:
        names = _find_part(root, part, prefix, columns)
        if len(names) > 1:
            raise InputValueError(
                f'data_root {root!r} must have one {part} part, got '
                f'{" and ".join(names)}'
            )
        if names:
            parts[part] = osp.join(root, names[0])
    if not parts:
        return dict(all=_find_whole(root, prefix, columns))
    if 'train' in parts and 'val' not in parts:
        for name in class_folders(root):
            if _is_part(name, 'val'):
                classes_in(osp.join(root, name))  # says what is wrong
    elif 'train' not in parts and needs_train:
        name = osp.basename(next(iter(parts.values())))
        raise InputValueError(
            f'data_root {root!r} has {name}, but no training part: name its '
            'folder train, with a folder for each class in it, or its list '
            'train.csv'
        )
    return parts
