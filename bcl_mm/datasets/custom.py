"""Custom data sets, in the usual layouts."""

from __future__ import annotations

import os.path as osp
from collections import defaultdict
from typing import Any, Dict, List, Optional, Sequence, Set, Tuple, Union

from bcl_mm.datasets.class_names import (
    check_spaces,
    warn_of_similar_names,
)
from bcl_mm.datasets.columns import Columns
from bcl_mm.datasets.csv_lists import PARTS, Entry
from bcl_mm.datasets.groups import GroupRule
from bcl_mm.datasets.identical import find_identical
from bcl_mm.datasets.parts import Part, Parts, listed, too_few
from bcl_mm.datasets.splitting import choose_units, choose_val, join
from bcl_mm.datasets.table import ImageTable
from bcl_mm.datasets.table_dataset import TableDataset
from bcl_mm.registry import DATASETS
from bcl_mm.utils.errors import (
    InputTypeError,
    InputValueError,
    check_number,
    counted,
)


@DATASETS.register_module()
class CustomImages(TableDataset):
    r"""Custom images: class folders or CSV lists, split if necessary.

    ``data_root`` is read as the first of these that fits:

    - it is a CSV file: a list of all images, which is split;
    - it holds ``train.csv`` or ``train/``: the training part. ``val`` (or
      ``valid``, ``validation``) and ``test``, ``.csv`` or folders, are the
      others; without ``val`` the training part is split;
    - it holds one CSV list: that of all images, which is split;
    - it holds class folders: one tree, which is split.

    In a tree, each folder is a class, which has all images below that folder
    (:func:`~bcl_mm.datasets.folders.find_images`). A list has a path and a
    label in each row (:func:`~bcl_mm.datasets.csv_lists.read_csv`), with
    paths that are absolute or relative to the list's folder. A CSV table
    beside class folders is a list if it has columns ``path`` and ``label``
    (or those that the options name) or a row of an image.

    The classes are those of the training part, in the order of their names
    (as text; by value if all labels of a list are numbers). The other parts
    have the same classes: a label means the same class in all parts.

    The split chooses validation images class by class
    (:func:`~bcl_mm.datasets.splitting.choose_val`). Images of one group, and
    files with the same content, even in different classes, stay together
    (:func:`~bcl_mm.datasets.splitting.choose_units`).

    Args:
        data_root: A folder or a CSV file.
        split: ``'train'``, ``'val'`` or ``'test'``. Defaults to ``'train'``.
        val_fraction: The part of each class that validation gets if the
            data are split, in (0, 1); at least one image, and at least one
            is left for training. Defaults to 0.2.
        split_seed: Seed of that split, >= 0. Defaults to 0.
        data_prefix: Folder that the paths of lists are relative to, itself
            relative to the list's. Defaults to ``''``.
        path_column: The column of a list that has the paths. Defaults to
            None: it is recognised by its name.
        label_column: The column that has the labels. Defaults to None: it is
            recognised by its name.
        group_column: The column that has the group of each image, such as a
            patient. Defaults to None.
        split_column: The column that says of each image whether it is for
            training, validation or testing. Defaults to None.
        group_regex: Regular expression that finds the group in the path of
            an image (see :class:`~bcl_mm.datasets.groups.GroupRule`).
            Defaults to None.
        group_by_folder: Whether the group is the sub-folder of the class
            folder, or the folder of an image of a list. Defaults to False.
        min_images: Classes with fewer images in the training part, before a
            split, are left out. Defaults to 0.
        ignore_classes: Names of classes that are left out, or one name.
            Defaults to none.
        exclude: CSV file of images that are left out, as ``bcl-mm check
            --fix-list`` writes it (see
            :func:`~bcl_mm.datasets.exclusions.read_exclusions`). Defaults to
            None.
        **kwargs: Arguments of :class:`TableDataset` (``check_files``, for
            lists, and ``collect_problems``) and of mmpretrain's
            ``BaseDataset``. ``classes`` replaces the classes of the training
            part, which then need not exist for another split.

    Attributes:
        notes: What was found and what was left out, in sentences.
        problems: What is wrong but keeps not from training; with
            ``collect_problems``, all that is wrong.
        tells_empty_classes: Whether classes without a training image are
            among them.
        has_test_part: Whether the data have a test part beside this split.

    Raises:
        InputTypeError: An argument is not a number, or not text.
        ValueError: An argument is out of its range; there are no or several
            data sets; a class has no image, or too few to be split; the
            split has a class that the training part lacks; a list is
            malformed. The message names folder, list or class.
        MissingFileError: ``data_root``, or an image of a list, does not
            exist.
        InputFileError: A folder or a list cannot be read.

    Example:
        >>> from pathlib import Path
        >>> rows = [f'{i}.jpg,{"owl" if i < 4 else "fox"}' for i in range(6)]
        >>> Path('all.csv').write_text('\n'.join(['path,label', *rows]))
        70
        >>> for split in ('train', 'val'):
        ...     images = CustomImages('all.csv', split, check_files=False)
        ...     print(split, len(images), images.metainfo['classes'])
        train 4 ('fox', 'owl')
        val 2 ('fox', 'owl')
    """

    def __init__(
        self,
        data_root: str,
        split: str = 'train',
        val_fraction: float = 0.2,
        split_seed: int = 0,
        data_prefix: str = '',
        path_column: Optional[str] = None,
        label_column: Optional[str] = None,
        group_column: Optional[str] = None,
        split_column: Optional[str] = None,
        group_regex: Optional[str] = None,
        group_by_folder: bool = False,
        min_images: int = 0,
        ignore_classes: Union[None, str, Sequence[Any]] = None,
        exclude: Optional[str] = None,
        **kwargs: Any,
    ) -> None:
        if split not in PARTS:
            raise InputValueError(
                f"split must be 'train', 'val' or 'test', got {split!r}"
            )
        check_number('val_fraction', val_fraction, above=0, below=1)
        check_number('split_seed', split_seed, at_least=0, whole=True)
        check_number('min_images', min_images, at_least=0, whole=True)
        texts = dict(data_root=data_root, data_prefix=data_prefix)
        if exclude is not None:
            texts.update(exclude=exclude)
        columns = Columns(
            path_column, label_column, group_column, split_column
        )
        texts.update(
            {f'{k}_column': v for k, v in columns._asdict().items() if v}
        )
        for name, value in texts.items():
            if not isinstance(value, str):
                raise InputTypeError(f'{name} must be text, got {value!r}')
        self.split = split
        self.val_fraction = val_fraction
        self.split_seed = split_seed
        self.prefix = data_prefix
        self.columns = columns
        self.grouping = GroupRule(group_column, group_regex, group_by_folder)
        self.grouping.check()
        self.min_images = min_images
        if ignore_classes is None:
            ignore_classes = []
        elif not isinstance(ignore_classes, (list, tuple)):
            ignore_classes = [ignore_classes]
        self.ignore_classes = list(map(str, ignore_classes))
        self.exclude = exclude
        self.notes: List[str] = []
        self.tells_empty_classes = self.has_test_part = False
        super().__init__(ann_file='', data_root=data_root, **kwargs)

    def tabulate(self) -> Tuple[ImageTable, Sequence[str]]:
        """Images of the split, and the names of the classes."""
        given = self._metainfo.get('classes')
        root = osp.expanduser(self.data_root)
        needs_train = self.split == 'train' or not given
        parts = Parts(
            root,
            self.prefix,
            self.columns,
            needs_train,
            self._problems,
            self.exclude,
        )
        train = parts.train
        is_split = parts.is_split
        self.has_test_part = 'test' in parts.of and self.split != 'test'
        use_train = is_split and self.split != 'test'
        own = train if use_train else parts.of.get(self.split)
        if own is None:
            raise InputValueError(
                f'data_root {root!r} has no {self.split} part: it needs '
                f'{self.split}/, with class folders, or {self.split}.csv'
            )
        if own.is_list:
            self.ann_file = own.path  # for messages
        left_out = parts.left_out(
            self.min_images, self.ignore_classes, given or ()
        )
        if given or train is None:  # without classes, there is a train
            names = given
        else:
            names = [n for n in parts.class_names(train) if n not in left_out]
            if not train.is_list:
                check_spaces(names, train.path, self._problems)
            warn_of_similar_names(names, str(train), self._problems)
            if len(names) < 2 and (left_out or train.is_list):
                self._problems.add(
                    f'{train} must have at least two classes, got '
                    + (f'only {names[0]!r}' if names else 'none')
                )
        entries = parts.known_entries(own, names, left_out)
        folder = parts.folder(own)
        self.notes = [f'{self.split} is {own}', *parts.notes]
        if own.is_list:
            entries = self._existing(folder, entries)
        groups, notes = self.grouping.groups_of(entries, str(own))
        self.notes += notes
        if own == train:
            # Another part of a concatenation may have the others of the
            # given classes; ClassInfoHook counts them all.
            numbers = range(1 if given else 0, 2 if is_split else 1)
            self.tells_empty_classes = not given
            needed = [name for name in names if name not in left_out]
            self._problems.add(*too_few(own, entries, needed, numbers))
            if is_split:
                self.notes[0] += (
                    f', of which validation gets {self.val_fraction:g} '
                    '(val_fraction) of each class'
                )
                entries = self._split(own, folder, entries, groups)
        elif train and any(self.grouping):
            known = parts.known_entries(train, names, left_out)
            trained, _ = self.grouping.groups_of(known, str(train))
            self._warn_of_shared(own, set(groups) & set(trained) - {''})
        label_of = {name: label for label, name in enumerate(names)}
        rows = ((e.path, label_of[e.name], e.line) for e in entries)
        return ImageTable(folder, rows), names

    def _existing(self, folder: str, entries: List[Entry]) -> List[Entry]:
        """Images of a list that are there, each once."""
        if not self.check_files:
            return entries
        # Before the split, whose parts must not share a file either.
        images = ImageTable(folder, ((e.path, 0, e.line) for e in entries))
        there = self.without_missing(*self.find_missing(images))
        if len(there) == len(images):
            return entries
        lines = {there.row(i)[2] for i in range(len(there))}
        return [entry for entry in entries if entry.line in lines]

    def _warn_of_shared(self, own: Part, shared: Set[str]) -> None:
        """Tell groups that another part shares with the training part."""
        if shared:
            self._problems.warn(
                f'{own} shares {counted(len(shared), "group")} with the '
                f'training part: {listed(sorted(shared))} '
                f'({self.grouping.options[0]}): what is measured there is too '
                'good'
            )

    def _split(
        self,
        own: Part,
        folder: str,
        entries: List[Entry],
        groups: Sequence[str],
    ) -> List[Entry]:
        """Images of this split, among those of training and validation."""
        members: Dict[str, List[int]] = defaultdict(list)
        for i, group in enumerate(groups):
            if group:
                members[group].append(i)
        paths = [entry.path for entry in entries]
        same = find_identical([osp.join(folder, path) for path in paths])
        if same:
            number = sum(map(len, same))
            self.notes.append(
                f'{own}: {number:,} images are the same as another one, bit '
                'for bit: the split keeps them together'
            )
        units = join(len(entries), [*members.values(), *same])
        labels = [entry.name for entry in entries]
        options = self.val_fraction, self.split_seed
        if len(units) == len(entries):
            of_class: Dict[str, List[str]] = defaultdict(list)
            for path, name in zip(paths, labels):
                of_class[name].append(path)
            chosen = set()
            for its_paths in of_class.values():
                chosen |= choose_val(its_paths, *options)
            is_val = [path in chosen for path in paths]
        else:
            indices = choose_units(units, paths, labels, *options)
            is_val = [i in indices for i in range(len(entries))]
            self._note_lacks(own, labels, is_val)
        wanted = self.split == 'val'
        return [e for e, is_own in zip(entries, is_val) if is_own == wanted]

    def _note_lacks(
        self, own: Part, labels: Sequence[str], is_val: Sequence[bool]
    ) -> None:
        """Note the classes without a validation image.

        Raises:
            InputValueError: No class has one.
        """
        present = {name for name, is_in in zip(labels, is_val) if is_in}
        if not present:
            raise InputValueError(
                f'{own}: no image is left for validation: in each class, all '
                'images are of one group or the same'
            )
        lacks = [name for name in dict.fromkeys(labels) if name not in present]
        if lacks:
            self.notes.append(
                f'{own}: validation has no image of {listed(lacks)}: without '
                'them training would have no group of these classes'
            )
