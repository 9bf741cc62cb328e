"""Data sets given by lists of ``path label`` lines."""

from __future__ import annotations

import os.path as osp
from pathlib import Path
from typing import Any, List, Tuple

from mmpretrain.datasets import BaseDataset
from mmpretrain.datasets.categories import IMAGENET_CATEGORIES

from bcl_mm.registry import DATASETS


def read_list(ann_file: str) -> List[Tuple[str, int, int]]:
    """Read ``relative/path label`` lines; the path may contain spaces.

    Args:
        ann_file: Path of the text file (UTF-8, at most a million classes).
            Empty lines are skipped.

    Returns:
        (path, label, line number from 1) for each image.

    Raises:
        ValueError: A line has no label, or one that is no whole number in
            range, or there is no line at all. The message gives file and
            line.
    """
    entries = []
    try:
        text = Path(ann_file).read_text(encoding='utf-8-sig')
    except UnicodeDecodeError as error:
        raise ValueError(f'{ann_file} must be UTF-8 text: {error}') from error
    for number, line in enumerate(text.split('\n'), 1):
        fields = line.rsplit(maxsplit=1)
        if not fields:
            continue
        label = fields[-1]
        if len(fields) < 2 or not label.isdecimal() or len(label) > 6:
            raise ValueError(
                f'{ann_file}:{number}: a line must be "path label", the '
                'label a whole number from 0 to 999999, got '
                f'{line.strip()!r}'
            )
        entries.append((fields[0].strip(), int(label), number))
    if not entries:
        raise ValueError(f'{ann_file}: the list has no line "path label"')
    return entries


@DATASETS.register_module()
class ImageNetLT(BaseDataset):
    """ImageNet-LT (Liu et al., CVPR 2019), from its standard lists.

    ``ImageNet_LT_{train,val,test}.txt`` hold ``relative/path label`` lines,
    the paths relative to ImageNet's root. The 50,000 test images may lie in
    class folders, as the list says, or flat under ``val/``. The number of
    classes is the largest label + 1; they are named after the folders of
    their images, and by ImageNet's words where all 1000 are there.

    Args:
        ann_file: The list, absolute or relative to ``data_root``.
        data_root: ImageNet's root, with ``train/`` and ``val/``.
        **kwargs: Arguments of mmpretrain's ``BaseDataset``.

    Raises:
        FileNotFoundError: ``data_root`` or the list does not exist (the
            message says how to get them), or an image is missing (the
            message gives the list's file and line).
        ValueError: A line is not ``path label``, or there is none.
    """

    def __init__(
        self, ann_file: str, data_root: str = 'data/imagenet', **kwargs: Any
    ) -> None:
        super().__init__(ann_file=ann_file, data_root=data_root, **kwargs)

    def _find(self, path: str) -> str:
        """Path of an image of the list, empty if it is missing."""
        full = osp.join(self.data_root, path)
        if osp.isfile(full):
            return full
        folder, name = osp.split(path)
        flat = osp.join(self.data_root, osp.dirname(folder), name)
        return flat if osp.isfile(flat) else ''

    def load_data_list(self) -> List[dict]:
        """Paths and labels of the list."""
        for kind, path, is_there in (
            ('data_root', self.data_root, osp.isdir),
            ('ann_file', self.ann_file, osp.isfile),
        ):
            if not is_there(path):
                raise FileNotFoundError(
                    f'{kind} {path!r} does not exist. ImageNet-LT needs '
                    "ImageNet's train/ and val/ (image-net.org, ILSVRC 2012) "
                    'and the lists ImageNet_LT_{train,val,test}.txt (the '
                    'OpenLongTailRecognition project links them) in one '
                    'folder: data/imagenet, or --cfg-options data_root=PATH'
                )
        entries = read_list(self.ann_file)
        data_list = []
        names = {}
        for path, label, number in entries:
            found = self._find(path)
            if not found:
                raise FileNotFoundError(
                    f'{self.ann_file}:{number}: there is no image '
                    f'{osp.join(self.data_root, path)!r}'
                )
            names.setdefault(label, osp.basename(osp.dirname(path)))
            data_list.append(dict(img_path=found, gt_label=label))
        num_classes = max(names) + 1
        if num_classes == len(IMAGENET_CATEGORIES):
            classes = IMAGENET_CATEGORIES
        else:
            classes = [names.get(i, str(i)) for i in range(num_classes)]
        self._metainfo.setdefault('classes', tuple(classes))
        return data_list
