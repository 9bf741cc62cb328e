"""Paths and labels of many images in two blocks of memory."""

from __future__ import annotations

import os
import os.path as osp
from array import array
from collections import defaultdict
from collections.abc import Sequence
from copy import copy
from typing import Any, Dict, Iterable, Iterator, List, Set, Tuple, Union

import numpy as np


class ImageTable(Sequence):
    """The list of dicts that MMEngine's datasets hold, without the dicts.

    ``table[i]`` makes a new ``dict(img_path=..., gt_label=...)``; a slice or
    a sequence of indices gives a table, which shares the paths. There is no
    Python object for an image, and so forked data workers share the memory:
    even reading an object writes to its reference count.

    Args:
        folder: What relative paths are relative to.
        rows: (path, label, line of the list or 0) for each image.
    """

    def __init__(
        self, folder: str, rows: Iterable[Tuple[str, int, int]]
    ) -> None:
        self.folder = folder
        paths = bytearray()
        ends, labels, lines = array('q', [0]), array('q'), array('q')
        for path, label, line in rows:
            # JSON can hold what is no text (a lone surrogate).
            paths += path.encode('utf-8', 'surrogatepass')
            ends.append(len(paths))
            labels.append(label)
            lines.append(line)
        self._paths = bytes(paths)
        # (N, 4): start and end of the path, label, line
        self._columns = np.stack([ends[:-1], ends[1:], labels, lines], axis=1)

    @property
    def labels(self) -> np.ndarray:
        """(N,) int64 labels, to be read only."""
        return self._columns[:, 2]

    def row(self, index: int) -> Tuple[str, int, int]:
        """Path as it was given, label and line of an image."""
        start, end, label, line = self._columns[index].tolist()
        path = self._paths[start:end].decode('utf-8', 'surrogatepass')
        return path, label, line

    def paths(self) -> Iterator[str]:
        """Paths as they were given."""
        starts, ends = map(memoryview, self._columns.T[:2])
        for start, end in zip(starts, ends):
            yield self._paths[start:end].decode('utf-8', 'surrogatepass')

    def __len__(self) -> int:
        return len(self._columns)

    def __getitem__(
        self, index: Union[int, slice, Sequence]
    ) -> Union[Dict[str, Any], ImageTable]:
        if not isinstance(index, (slice, Sequence)):
            path, label, _ = self.row(index)
            return dict(img_path=osp.join(self.folder, path), gt_label=label)
        if not isinstance(index, slice):
            index = np.asarray(index, dtype=np.int64)
        part = copy(self)
        part._columns = self._columns[index]
        return part

    def missing(self) -> List[int]:
        """Indices of the images that do not exist, in ascending order.

        Each folder is listed once, which takes half the time of a look at
        each file, and on a network far less.
        """
        unseen: Dict[str, Set[str]] = defaultdict(set)
        for path in self.paths():
            folder, slash, name = path.rpartition('/')
            unseen[folder + slash].add(name)
        for folder, names in unseen.items():
            try:
                with os.scandir(osp.join(self.folder, folder)) as entries:
                    names.difference_update(
                        entry.name
                        for entry in entries
                        if entry.name in names and entry.is_file()
                    )
            except (OSError, ValueError):
                pass  # no such folder, or one that must not be listed
        # A listing may spell a name in another way than the list does.
        absent = {
            path
            for folder, names in unseen.items()
            for path in (folder + name for name in names)
            if not osp.isfile(osp.join(self.folder, path))
        }
        if not absent:
            return []
        return [i for i, path in enumerate(self.paths()) if path in absent]
