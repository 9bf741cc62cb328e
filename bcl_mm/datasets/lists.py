"""Data sets given by lists of images: ``path label`` lines, or JSON."""

from __future__ import annotations

import os.path as osp
from collections import Counter
from typing import Any, List, Optional, Sequence, Tuple, Union

import numpy as np
from mmengine.dataset import force_full_init
from mmpretrain.datasets import BaseDataset
from mmpretrain.datasets.categories import IMAGENET_CATEGORIES

from bcl_mm.datasets.annotations import read_coco, read_list
from bcl_mm.datasets.table import ImageTable
from bcl_mm.registry import DATASETS


@DATASETS.register_module()
class ImageList(BaseDataset):
    """Images and labels from a list of ``relative/path label`` lines.

    The number of classes is the largest label + 1. They are named after the
    folders of their images; a class without a folder of its own is named by
    its label.

    Args:
        ann_file: The list, absolute or relative to ``data_root``.
        data_root: The folder that the list's paths are relative to.
        check_files: Whether a missing image is an error. Without it the
            list is believed. Defaults to True.
        **kwargs: Arguments of mmpretrain's ``BaseDataset``;
            ``serialize_data`` is ignored (see :class:`ImageTable`).

    Raises:
        FileNotFoundError: ``data_root`` or the list does not exist (the
            message says how to get them), or images are missing (the message
            counts them and gives file and line of the first).
        ValueError: A line is not ``path label``, or there is none.
    """

    HINT = (
        'ann_file is a list of "path label" lines, the paths relative to '
        'data_root: give it with --cfg-options data_root=PATH'
    )

    def __init__(
        self,
        ann_file: str,
        data_root: str = '',
        check_files: bool = True,
        **kwargs: Any,
    ) -> None:
        self.check_files = check_files
        super().__init__(ann_file=ann_file, data_root=data_root, **kwargs)

    @staticmethod
    def class_name(folders: Sequence[str]) -> str:
        """Name of a class from the folders of one of its images."""
        return folders[-1] if folders else ''

    def read(self) -> Tuple[ImageTable, Sequence[str]]:
        """The images as they are listed, and the names of the classes."""
        images = ImageTable(self.data_root, read_list(self.ann_file))
        labels, firsts = np.unique(images.labels, return_index=True)
        names = {
            label: self.class_name(images.row(first)[0].split('/')[:-1])
            for label, first in zip(labels.tolist(), firsts.tolist())
        }
        times = Counter(names.values())
        # A folder of several classes, such as a flat val/, names none.
        return images, [
            names[label]
            if names.get(label) and times[names[label]] == 1
            else str(label)
            for label in range(max(names) + 1)
        ]

    def locate(self, images: ImageTable) -> Tuple[ImageTable, List[int]]:
        """The images as they lie on disk, and the indices of the missing.

        None is missing where files are not to be checked.
        """
        return images, images.missing() if self.check_files else []

    def load_data_list(self) -> ImageTable:
        """Paths and labels of the list."""
        for kind, path, is_there in (
            ('data_root', self.data_root or '.', osp.isdir),
            ('ann_file', self.ann_file, osp.isfile),
        ):
            if not is_there(path):
                raise FileNotFoundError(
                    f'{kind} {path!r} does not exist. {self.HINT}'
                )
        images, classes = self.read()
        images, missing = self.locate(images)
        if missing:
            path, _, line = images.row(missing[0])
            raise FileNotFoundError(
                f'{self.ann_file}{f":{line}" if line else ""}: there is no '
                f'image {osp.join(self.data_root, path)!r} '
                f'({len(missing)} of {len(images)} images are missing; '
                'tools/check_dataset.py lists them)'
            )
        self._metainfo.setdefault('classes', tuple(classes))
        # The table is what serialised samples are for, and smaller.
        self.serialize_data = False
        return images

    def _get_unserialized_subset(
        self, indices: Union[Sequence[int], int]
    ) -> Sequence[dict]:
        if isinstance(indices, Sequence) and self._has_table():
            return self.data_list[indices]  # not MMEngine's list of dicts
        return super()._get_unserialized_subset(indices)

    def _copy_without_annotation(self, memo: Optional[dict] = None) -> Any:
        # MMEngine's default is one dict for all calls, in which the id of an
        # object that is gone may stand for another one.
        return super()._copy_without_annotation({} if memo is None else memo)

    @force_full_init
    def get_gt_labels(self) -> np.ndarray:
        """(N,) int64 labels."""
        if self._has_table():
            return self.data_list.labels.copy()
        return super().get_gt_labels()

    def _has_table(self) -> bool:
        # A subclass's filter_data() may have made a list of it.
        return isinstance(self.data_list, ImageTable)


@DATASETS.register_module()
class ImageNetLT(ImageList):
    """ImageNet-LT (Liu et al., CVPR 2019), from its standard lists.

    ``ImageNet_LT_{train,val,test}.txt`` hold ``relative/path label`` lines,
    the paths relative to ImageNet's root. The 50,000 test images may lie in
    class folders, as the list says, or flat under ``val/``. Where all 1000
    classes are there, they are named by ImageNet's words. Arguments and
    errors are those of :class:`ImageList`.
    """

    HINT = (
        "ImageNet-LT needs ImageNet's train/ and val/ (image-net.org, ILSVRC "
        '2012) and the lists ImageNet_LT_{train,val,test}.txt (the '
        'OpenLongTailRecognition project links them) in one folder: '
        'data/imagenet, or --cfg-options data_root=PATH'
    )

    def __init__(
        self, ann_file: str, data_root: str = 'data/imagenet', **kwargs: Any
    ) -> None:
        super().__init__(ann_file=ann_file, data_root=data_root, **kwargs)

    def locate(self, images: ImageTable) -> Tuple[ImageTable, List[int]]:
        """The images in class folders or flat, and the missing ones."""
        missing = images.missing()
        flat = {}
        for i in missing:
            folder, name = osp.split(images.row(i)[0])
            path = osp.join(osp.dirname(folder), name)
            if osp.isfile(osp.join(self.data_root, path)):
                flat[i] = path
        if flat:
            rows = map(images.row, range(len(images)))
            images = ImageTable(
                self.data_root,
                (
                    (flat.get(i, path), label, line)
                    for i, (path, label, line) in enumerate(rows)
                ),
            )
            missing = [i for i in missing if i not in flat]
        return images, missing if self.check_files else []

    def read(self) -> Tuple[ImageTable, Sequence[str]]:
        """The images as they are listed, and the names of the classes."""
        images, names = super().read()
        if len(names) == len(IMAGENET_CATEGORIES):
            names = IMAGENET_CATEGORIES
        return images, names


@DATASETS.register_module()
class PlacesLT(ImageList):
    """Places-LT (Liu et al., CVPR 2019), from its standard lists.

    ``Places_LT_{train,val,test}.txt`` hold ``relative/path label`` lines of
    Places365's small images: ``data_256/a/airfield/00000001.jpg``, class
    ``airfield``. Arguments and errors are those of :class:`ImageList`.
    """

    HINT = (
        "Places-LT needs Places365-Standard's small images "
        '(places2.csail.mit.edu: data_256/ and val_256/) and the lists '
        'Places_LT_{train,val,test}.txt (the OpenLongTailRecognition project '
        'links them) in one folder: data/places, or --cfg-options '
        'data_root=PATH'
    )

    def __init__(
        self, ann_file: str, data_root: str = 'data/places', **kwargs: Any
    ) -> None:
        super().__init__(ann_file=ann_file, data_root=data_root, **kwargs)

    @staticmethod
    def class_name(folders: Sequence[str]) -> str:
        """``airfield``, or ``arena/hockey``, without split and letter."""
        name = folders[1:]
        return '/'.join(name[1:] if name and len(name[0]) == 1 else name)


@DATASETS.register_module()
class INaturalist2018(ImageList):
    """iNaturalist 2018, from the competition's JSON or from lists.

    ``train2018.json`` and ``val2018.json`` are in COCO's format (see
    :func:`read_coco`) and name the classes; any other annotation is a list
    of ``relative/path label`` lines, whose labels are the category ids.
    Arguments and errors are those of :class:`ImageList`.
    """

    HINT = (
        'iNaturalist 2018 needs train_val2018/ and the annotations '
        'train2018.json and val2018.json (github.com/visipedia/inat_comp, '
        '2018) in one folder: data/inaturalist2018, or --cfg-options '
        'data_root=PATH'
    )

    def __init__(
        self,
        ann_file: str,
        data_root: str = 'data/inaturalist2018',
        **kwargs: Any,
    ) -> None:
        super().__init__(ann_file=ann_file, data_root=data_root, **kwargs)

    def read(self) -> Tuple[ImageTable, Sequence[str]]:
        """The images as they are listed, and the names of the classes."""
        if self.ann_file.lower().endswith('.json'):
            entries, names = read_coco(self.ann_file)
            return ImageTable(self.data_root, entries), names
        return super().read()
