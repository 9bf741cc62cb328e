"""Data sets given by lists of images: ``path label`` lines, or JSON."""

from __future__ import annotations

import os.path as osp
from collections import Counter
from typing import Any, List, Optional, Sequence, Tuple

import numpy as np
from mmpretrain.datasets.categories import IMAGENET_CATEGORIES

from bcl_mm.datasets.annotations import read_coco, read_list
from bcl_mm.datasets.table import ImageTable
from bcl_mm.datasets.table_dataset import TableDataset
from bcl_mm.registry import DATASETS
from bcl_mm.utils.errors import MissingFileError


@DATASETS.register_module()
class ImageList(TableDataset):
    r"""Images and labels from a list of ``relative/path label`` lines.

    The number of classes is the largest label + 1. They are named after the
    folders of their images; a class without a folder of its own is named by
    its label.

    Args:
        ann_file: The list, absolute or relative to ``data_root``.
        data_root: The folder that the list's paths are relative to. Defaults
            to None: the class's ``DATA_ROOT``, the working folder here.
        **kwargs: Arguments of :class:`TableDataset` (``check_files``) and of
            mmpretrain's ``BaseDataset``.

    Raises:
        MissingFileError: ``data_root`` or the list does not exist (the
            message says how to get them), or images are missing (the message
            counts them and gives file and line of the first).
        InputValueError: A line is not ``path label``, or there is none, or an
            image is listed twice.

    Example:
        >>> from pathlib import Path
        >>> lines = 'cat/1.jpg 0\ncat/2.jpg 0\ndog/1.jpg 1'
        >>> Path('train.txt').write_text(lines)
        35
        >>> images = ImageList('train.txt', check_files=False)
        >>> images.metainfo['classes'], images.get_gt_labels().tolist()
        (('cat', 'dog'), [0, 0, 1])
    """

    DATA_ROOT = ''
    HINT = (
        'ann_file is a list of "path label" lines, the paths relative to '
        'data_root: give it with --cfg-options data_root=PATH'
    )

    def __init__(
        self, ann_file: str, data_root: Optional[str] = None, **kwargs: Any
    ) -> None:
        root = self.DATA_ROOT if data_root is None else data_root
        super().__init__(ann_file=ann_file, data_root=root, **kwargs)

    @staticmethod
    def class_name(folders: Sequence[str]) -> str:
        """Name of a class from the folders of one of its images."""
        return folders[-1] if folders else ''

    def read(self) -> Tuple[ImageTable, Sequence[str]]:
        """Images as they are listed, and the names of the classes."""
        rows = read_list(self.ann_file, self._problems)
        images = ImageTable(self.data_root, rows)
        labels, firsts = np.unique(images.labels, return_index=True)
        folders = [images.row(i)[0].split('/')[:-1] for i in firsts]
        names = list(map(self.class_name, folders))
        classes = [str(label) for label in range(int(labels[-1]) + 1)]
        times = Counter(names)
        for label, name in zip(labels, names):
            # A folder of several classes, such as a flat val/, is not a name.
            if name and times[name] == 1:
                classes[label] = name
        return images, classes

    def locate(self, images: ImageTable) -> Tuple[ImageTable, List[int]]:
        """Images where they are on disk, and the indices of missing ones.

        An image that is listed twice is left out the second time.
        Without ``check_files``, it need not look for missing ones.
        """
        return self.find_missing(images) if self.check_files else (images, [])

    def tabulate(self) -> Tuple[ImageTable, Sequence[str]]:
        """Images of the list, and the names of the classes."""
        lacks = ''
        if not osp.isdir(self.data_root or '.'):
            lacks = f'data_root {self.data_root!r}'
        elif not osp.isfile(self.ann_file):
            lacks = f'ann_file {self.ann_file!r}'
        if lacks:
            raise MissingFileError(f'{lacks} does not exist. {self.HINT}')
        images, classes = self.read()
        return self.without_missing(*self.locate(images)), classes


@DATASETS.register_module()
class ImageNetLT(ImageList):
    """ImageNet-LT (Liu et al., CVPR 2019), from its standard lists.

    ``ImageNet_LT_{train,val,test}.txt`` hold ``relative/path label`` lines,
    the paths relative to ImageNet's root. The 50,000 test images may lie in
    class folders, as the list says, or flat under ``val/``. If all 1000
    classes occur, they get ImageNet's names. Arguments and errors are those
    of :class:`ImageList`.

    Example:
        >>> ImageNetLT('ImageNet_LT_train.txt')  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        bcl_mm.utils.errors.MissingFileError: data_root 'data/imagenet' does...
    """

    DATA_ROOT = 'data/imagenet'
    HINT = (
        "ImageNet-LT needs ImageNet's train/ and val/ (image-net.org, ILSVRC "
        '2012) and the lists ImageNet_LT_{train,val,test}.txt (the '
        'OpenLongTailRecognition project links them) in one folder: '
        'data/imagenet, or --cfg-options data_root=PATH'
    )

    def locate(self, images: ImageTable) -> Tuple[ImageTable, List[int]]:
        """Images in class folders or flat, and the missing ones."""
        images, missing = self.find_missing(images)
        flat = {}
        for i in missing:
            folder, name = osp.split(images.row(i)[0])
            path = osp.join(osp.dirname(folder), name)
            if osp.isfile(osp.join(self.data_root, path)):
                flat[i] = path
        if flat:
            rows = enumerate(map(images.row, range(len(images))))
            moved = ((flat.get(i, path), *rest) for i, (path, *rest) in rows)
            images = ImageTable(self.data_root, moved)
        return images, [i for i in missing if i not in flat]

    def read(self) -> Tuple[ImageTable, Sequence[str]]:
        """Images as they are listed, and the names of the classes."""
        images, names = super().read()
        is_whole = len(names) == len(IMAGENET_CATEGORIES)
        return images, IMAGENET_CATEGORIES if is_whole else names


@DATASETS.register_module()
class PlacesLT(ImageList):
    """Places-LT (Liu et al., CVPR 2019), from its standard lists.

    ``Places_LT_{train,val,test}.txt`` hold ``relative/path label`` lines of
    Places365's small images: ``data_256/a/airfield/00000001.jpg``, class
    ``airfield``. Arguments and errors are those of :class:`ImageList`.

    Example:
        >>> PlacesLT.class_name(['data_256', 'a', 'arena', 'hockey'])
        'arena/hockey'
    """

    DATA_ROOT = 'data/places'
    HINT = (
        "Places-LT needs Places365-Standard's small images "
        '(places2.csail.mit.edu: data_256/ and val_256/) and the lists '
        'Places_LT_{train,val,test}.txt (the OpenLongTailRecognition project '
        'links them) in one folder: data/places, or --cfg-options '
        'data_root=PATH'
    )

    @staticmethod
    def class_name(folders: Sequence[str]) -> str:
        """``airfield``, or ``arena/hockey``, without split and initial."""
        name = folders[1:]
        return '/'.join(name[1:] if name and len(name[0]) == 1 else name)


@DATASETS.register_module()
class INaturalist2018(ImageList):
    """iNaturalist 2018, from the competition's JSON or from lists.

    ``train2018.json`` and ``val2018.json`` are in COCO's format (see
    :func:`read_coco`) and name the classes; any other annotation is a list
    of ``relative/path label`` lines, whose labels are the category ids.
    Arguments and errors are those of :class:`ImageList`.

    Example:
        >>> INaturalist2018('train2018.json')  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        bcl_mm.utils.errors.MissingFileError: data_root 'data/inaturalist201...
    """

    DATA_ROOT = 'data/inaturalist2018'
    HINT = (
        'iNaturalist 2018 needs train_val2018/ and the annotations '
        'train2018.json and val2018.json (github.com/visipedia/inat_comp, '
        '2018) in one folder: data/inaturalist2018, or --cfg-options '
        'data_root=PATH'
    )

    def read(self) -> Tuple[ImageTable, Sequence[str]]:
        """Images as they are listed, and the names of the classes."""
        if self.ann_file.lower().endswith('.json'):
            entries, names = read_coco(self.ann_file)
            return ImageTable(self.data_root, entries), names
        return super().read()
