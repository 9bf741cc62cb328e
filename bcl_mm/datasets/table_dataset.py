"""Datasets whose images are rows of a table."""

from __future__ import annotations

import os
import os.path as osp
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Dict, Iterator, List, Optional, Tuple, Union

import numpy as np
from mmengine.dataset import force_full_init
from mmpretrain.datasets import BaseDataset

from bcl_mm.datasets.links import FilesOfTree
from bcl_mm.datasets.options import check_options
from bcl_mm.datasets.problems import Problems
from bcl_mm.datasets.table import ImageTable
from bcl_mm.utils.errors import MissingFileError
from bcl_mm.utils.node_memory import once_a_node


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
        """The list of an image, and its line there, for a message."""
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
