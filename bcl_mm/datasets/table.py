"""Datasets that keep the paths and labels of many images compactly."""

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
from mmengine.dataset import force_full_init
from mmpretrain.datasets import BaseDataset

from bcl_mm.datasets.annotations import Row
from bcl_mm.datasets.links import FilesOfTree
from bcl_mm.datasets.options import check_options
from bcl_mm.datasets.problems import Problems
from bcl_mm.utils.errors import MissingFileError
from bcl_mm.utils.node_memory import once_a_node


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


class TableDataset(BaseDataset):
    """A dataset whose images are rows of an :class:`ImageTable`.

    A subclass gives them in :meth:`tabulate`.

    Args:
        check_files: Whether to check that all images exist, and that a list
            has each once. Defaults to True.
        collect_problems: Whether to step over what is wrong with the data
            and can be left out (:attr:`problems` then tells it, and the data
            set has the rest), instead of raising it. What leaves nothing to
            look at is still an error; its message then tells the problems,
            too, each on a line. Defaults to False.
        **kwargs: Arguments of mmpretrain's ``BaseDataset``;
            ``serialize_data`` is ignored.

    Raises:
        InputError: Such an argument is wrong (see :func:`check_options`).
    """

    def __init__(
        self,
        check_files: bool = True,
        collect_problems: bool = False,
        **kwargs: Any,
    ) -> None:
        flags = dict(check_files=check_files)
        flags.update(collect_problems=collect_problems)
        check_options({**kwargs, **flags})
        self.check_files = check_files
        self._problems = Problems(collect_problems)
        super().__init__(**kwargs)

    def tabulate(self) -> Tuple[ImageTable, Sequence[str]]:
        """Images, and the C names of the classes."""
        raise NotImplementedError

    @property
    def problems(self) -> List[str]:
        """What is wrong with the data and was stepped over, in sentences."""
        return self._problems.found

    def _at(self, images: ImageTable, index: int) -> str:
        """Where an image is listed, for a message."""
        line = images.row(index)[2]
        return f'{self.ann_file}{f":{line}" if line else ""}'

    def without_missing(
        self, images: ImageTable, missing: List[int]
    ) -> ImageTable:
        """Images that are there, among those of ``ann_file``.

        Args:
            images: All of them.
            missing: What :meth:`find_missing` gives.

        Raises:
            MissingFileError: Images are missing, unless problems are
                collected or ``check_files`` is False.
        """
        if not missing or not self.check_files:
            return images
        sentences: Iterator[str] = (
            f'{self._at(images, i)}: image '
            f'{osp.join(images.folder, images.row(i)[0])!r} does not exist'
            for i in missing
        )
        if not self._problems.collect:  # often all are: the folder is wrong
            sentence = (
                f'{next(sentences)} ({len(missing)} of {len(images)} images '
                'are missing; bcl-mm check lists them)'
            )
            sentences = iter([sentence])
        self._problems.add(*sentences, kind=MissingFileError)
        return images.without(missing)

    def find_missing(self, images: ImageTable) -> Tuple[ImageTable, List[int]]:
        """Find the images of ``ann_file`` that do not exist.

        Args:
            images: All of them.

        Returns:
            The images without those that are listed twice, and the indices
            of those that are missing.

        Raises:
            InputValueError: An image is listed twice, unless problems are
                collected or ``check_files`` is False.
        """
        if not self.check_files:
            return images, images.missing()
        by_folder, files = images.by_folder(), FilesOfTree()
        repeated = images.repeated(by_folder)
        if repeated:
            self._problems.add(
                *(
                    f'{self._at(images, i)}: an image must be listed once, '
                    f'but {images.row(i)[0]!r} is also '
                    + (f'in line {line}' if line else 'an earlier one')
                    + ': remove one'
                    for i, line in (
                        (i, images.row(first)[2]) for i, first in repeated
                    )
                )
            )
            images = images.without(i for i, _ in repeated)
            by_folder = images.by_folder()
        missing = images.missing(by_folder, files)
        doubles = dict(files.doubles())
        if doubles:
            self._problems.add(*doubles.values())
            links = [
                i
                for i, path in enumerate(images.paths())
                if osp.join(images.folder, path) in doubles
            ]
            images = images.without(links)
            missing = images.missing()
        return images, missing

    def _state(self) -> Dict[str, Any]:
        """What reading may depend on, or change."""
        state = dict(vars(self))
        del state['pipeline']
        return state

    def _key(self) -> Tuple[Any, ...]:
        """Recognises what is read, in all processes of a training."""
        key = None
        with suppress(OSError, ValueError):
            status = os.stat(self.ann_file)
            key = status.st_ino, status.st_size, status.st_mtime_ns
        return type(self), os.getcwd(), key, self._state()

    def _read(self) -> Tuple[Dict[str, Any], ImageTable, Sequence[str]]:
        """What reading has changed, the images, and the classes."""
        with self._problems.before_errors():
            images, classes = self.tabulate()
        return self._state(), images, classes

    def load_data_list(self) -> ImageTable:
        """Images; also sets the class names, unless they were given."""
        state, images, classes = once_a_node(self._key(), self._read)
        self.__dict__.update(state)
        self._metainfo.setdefault('classes', tuple(classes))
        # The table does what serialised samples are for, and is smaller.
        self.serialize_data = False
        return images

    def _get_unserialized_subset(
        self, indices: Union[Sequence[int], int]
    ) -> Sequence[dict]:
        if isinstance(indices, Sequence) and self._has_table():
            return self.data_list[indices]  # not MMEngine's list of dicts
        return super()._get_unserialized_subset(indices)

    def _copy_without_annotation(self, memo: Optional[dict] = None) -> Any:
        # MMEngine shares one memo among all calls, in which the id of a
        # deleted object may belong to a new one.
        return super()._copy_without_annotation({} if memo is None else memo)

    @force_full_init
    def get_gt_labels(self) -> np.ndarray:
        """(N,) int64 labels."""
        if self._has_table():
            return self.data_list.labels.astype(np.int64)
        return super().get_gt_labels()

    def _has_table(self) -> bool:
        # A subclass's filter_data() may have replaced it by a list.
        return isinstance(self.data_list, ImageTable)
