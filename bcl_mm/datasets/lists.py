"""Data sets given by lists of images: ``path label`` lines, or JSON."""

from __future__ import annotations

import os.path as osp
from collections import Counter
from typing import Any, Dict, List, Sequence, Tuple

from mmpretrain.datasets import BaseDataset
from mmpretrain.datasets.categories import IMAGENET_CATEGORIES

from bcl_mm.datasets.annotations import read_coco, read_list
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
        **kwargs: Arguments of mmpretrain's ``BaseDataset``.

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

    def find(self, path: str) -> str:
        """Where an image of the list lies, or should lie."""
        return osp.join(self.data_root, path)

    @staticmethod
    def class_name(folders: Sequence[str]) -> str:
        """Name of a class from the folders of one of its images."""
        return folders[-1] if folders else ''

    def read(self) -> Tuple[List[Tuple[str, int, int]], Sequence[str]]:
        """(path, label, line or 0) for each image, and the class names."""
        entries = read_list(self.ann_file)
        paths: Dict[int, str] = {}
        for path, label, _ in entries:
            paths.setdefault(label, path)
        names = {
            label: self.class_name(path.split('/')[:-1])
            for label, path in paths.items()
        }
        times = Counter(names.values())
        # A folder of several classes, such as a flat val/, names none.
        return entries, [
            names[label]
            if names.get(label) and times[names[label]] == 1
            else str(label)
            for label in range(max(names) + 1)
        ]

    def load_data_list(self) -> List[dict]:
        """Paths and labels of the list."""
        for kind, path, is_there in (
            ('data_root', self.data_root or '.', osp.isdir),
            ('ann_file', self.ann_file, osp.isfile),
        ):
            if not is_there(path):
                raise FileNotFoundError(
                    f'{kind} {path!r} does not exist. {self.HINT}'
                )
        entries, classes = self.read()
        data_list = [
            dict(img_path=self.find(path), gt_label=label)
            for path, label, _ in entries
        ]
        if self.check_files:
            self._check_files(data_list, entries)
        self._metainfo.setdefault('classes', tuple(classes))
        return data_list

    def _check_files(
        self, data_list: List[dict], entries: List[Tuple[str, int, int]]
    ) -> None:
        missing = [
            i
            for i, info in enumerate(data_list)
            if not osp.isfile(info['img_path'])
        ]
        if missing:
            line = entries[missing[0]][2]
            raise FileNotFoundError(
                f'{self.ann_file}{f":{line}" if line else ""}: there is no '
                f'image {data_list[missing[0]]["img_path"]!r} '
                f'({len(missing)} of {len(entries)} images are missing; '
                'tools/check_dataset.py lists them)'
            )


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

    def find(self, path: str) -> str:
        """Where an image of the list lies, or should lie."""
        full = osp.join(self.data_root, path)
        if osp.isfile(full):
            return full
        folder, name = osp.split(path)
        flat = osp.join(self.data_root, osp.dirname(folder), name)
        return flat if osp.isfile(flat) else full

    def read(self) -> Tuple[List[Tuple[str, int, int]], Sequence[str]]:
        """(path, label, line) for each image, and the class names."""
        entries, names = super().read()
        if len(names) == len(IMAGENET_CATEGORIES):
            names = IMAGENET_CATEGORIES
        return entries, names


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

    def read(self) -> Tuple[List[Tuple[str, int, int]], Sequence[str]]:
        """(path, label, line or 0) for each image, and the class names."""
        if self.ann_file.lower().endswith('.json'):
            return read_coco(self.ann_file)
        return super().read()
