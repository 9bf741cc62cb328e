"""A table that keeps the paths and labels of many images compactly."""

from __future__ import annotations

import os
import os.path as osp
from array import array
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from copy import copy
from typing import (
    Any,
    Dict,
    Iterable,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Set,
    Tuple,
    Union,
    overload,
)

import numpy as np

from bcl_mm.datasets.annotations import Row
from bcl_mm.datasets.links import FilesOfTree


def _normal(path: str, folder: str) -> str:
    """One spelling of a path, relative to the folder if it is below it."""
    if path.startswith('/'):
        path = path.removeprefix(osp.join(osp.abspath(folder), ''))
    if '//' in path or '/.' in path or path.startswith(('.', '/')):
        path = osp.normpath(path)
    return path


def _compact(values: np.ndarray) -> np.ndarray:
    """Integers >= 0 in the smallest type that holds them."""
    return values.astype(np.min_scalar_type(values.max(initial=0)))


class _Columns(NamedTuple):
    """(N,) of each image: start and length of its path, label, line."""

    starts: np.ndarray
    sizes: np.ndarray
    labels: np.ndarray
    lines: np.ndarray


class ImageTable(Sequence[Dict[str, Any]]):
    """Replaces the list of dicts that MMEngine's datasets hold.

    ``table[i]`` makes a new ``dict(img_path=..., gt_label=...)``; a slice or
    a sequence of indices gives a table that shares the paths. All rows are
    in a few blocks of memory, the paths and at most 20 bytes an image,
    without a Python object for each image. So forked data workers share them;
    even reading an object would write to its reference count.

    Args:
        folder: The folder that relative paths are relative to.
        rows: (path, label, line of the list or 0) for each image.
    """

    def __init__(self, folder: str, rows: Iterable[Row]) -> None:
        self.folder = folder
        paths = bytearray()
        ends, labels, lines = array('Q', [0]), array('I'), array('I')
        for path, label, line in rows:
            # JSON may contain lone surrogates, which UTF-8 cannot encode.
            paths += path.encode('utf-8', 'surrogatepass')
            ends.append(len(paths))
            labels.append(label)
            lines.append(line)
        # Without a copy; an empty one is no buffer.
        self._paths = np.frombuffer(paths or b'\0', np.uint8)
        starts, sizes = np.asarray(ends)[:-1], np.diff(ends)
        columns = starts, sizes, np.asarray(labels), np.asarray(lines)
        self._columns = _Columns(*map(_compact, columns))

    @property
    def labels(self) -> np.ndarray:
        """(N,) labels, of an unsigned type that holds them."""
        return self._columns.labels

    def row(self, index: int) -> Row:
        """Path of an image as it was given, its label and its line."""
        start, size, label, line = (c.item(index) for c in self._columns)
        path = self._paths[start : start + size].tobytes()
        return path.decode('utf-8', 'surrogatepass'), label, line

    def paths(self) -> Iterator[str]:
        """Paths as they were given."""
        paths = self._paths.data
        columns = self._columns
        for start, size in zip(columns.starts.data, columns.sizes.data):
            yield str(paths[start : start + size], 'utf-8', 'surrogatepass')

    def __len__(self) -> int:
        return len(self.labels)

    @overload
    def __getitem__(self, index: int) -> Dict[str, Any]: ...

    @overload
    def __getitem__(
        self, index: Union[slice, Sequence[int]]
    ) -> ImageTable: ...

    def __getitem__(
        self, index: Union[int, slice, Sequence[int]]
    ) -> Union[Dict[str, Any], ImageTable]:
        if not isinstance(index, (slice, Sequence)):
            path, label, _ = self.row(index)
            return dict(img_path=osp.join(self.folder, path), gt_label=label)
        is_slice = isinstance(index, slice)
        chosen = index if is_slice else np.asarray(index, dtype=np.int64)
        part = copy(self)
        part._columns = _Columns(*(c[chosen] for c in self._columns))
        return part

    def by_folder(self) -> Dict[str, Set[str]]:
        """Names of the images in each folder, as it is written."""
        names_in: Dict[str, Set[str]] = defaultdict(set)
        for path in self.paths():
            folder, slash, name = path.rpartition('/')
            names_in[folder + slash].add(name)
        return names_in

    def repeated(
        self, by_folder: Optional[Dict[str, Set[str]]] = None
    ) -> List[Tuple[int, int]]:
        """Indices of images that came before, and those of the first ones.

        A path may be written in several ways.

        Args:
            by_folder: What :meth:`by_folder` gives. Defaults to None.
        """
        names_in = self.by_folder() if by_folder is None else by_folder
        # Without reading all paths again, in almost every list.
        folders = {_normal(f'{name}x', self.folder) for name in names_in}
        number = sum(map(len, names_in.values()))
        if number == len(self) and len(folders) == len(names_in):
            return []
        first: Dict[str, int] = {}
        firsts = (
            first.setdefault(_normal(path, self.folder), i)
            for i, path in enumerate(self.paths())
        )
        return [(i, other) for i, other in enumerate(firsts) if other != i]

    def without(self, indices: Iterable[int]) -> ImageTable:
        """The table without these rows."""
        keep = np.ones(len(self), dtype=bool)
        keep[list(indices)] = False
        return self if keep.all() else self[np.flatnonzero(keep).tolist()]

    def missing(
        self,
        by_folder: Optional[Dict[str, Set[str]]] = None,
        files: Optional[FilesOfTree] = None,
    ) -> List[int]:
        """Indices of the images that do not exist, in ascending order.

        It lists each folder once, which takes half the time of a check of
        each file, and far less on a network.

        Args:
            by_folder: What :meth:`by_folder` gives, which is changed.
                Defaults to None.
            files: Gets the images that are no symbolic links. Defaults to
                None.
        """
        unseen = self.by_folder() if by_folder is None else by_folder
        for folder, names in unseen.items():
            # The folder may be missing or must not be listed.
            path = osp.join(self.folder, folder)
            with suppress(OSError, ValueError), os.scandir(path) as entries:
                listed = [e for e in entries if e.name in names]
                names -= {e.name for e in listed if e.is_file()}
                if files is not None:
                    # A list may be made of links, slow to follow.
                    for entry in listed:
                        if not entry.is_symlink():
                            files.add(entry)
        # A file system may spell a name differently from the list.
        left = {folder + n for folder, names in unseen.items() for n in names}
        absent = {p for p in left if not osp.isfile(osp.join(self.folder, p))}
        if not absent:
            return []
        return [i for i, path in enumerate(self.paths()) if path in absent]
