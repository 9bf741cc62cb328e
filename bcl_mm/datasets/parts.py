"""The parts of a custom data set: what they hold, and which classes."""

from __future__ import annotations

import os.path as osp
from collections import Counter
from typing import (
    Any,
    Collection,
    Dict,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Set,
    Tuple,
)

from bcl_mm.classes import printable
from bcl_mm.datasets.class_names import folded, sorted_names
from bcl_mm.datasets.columns import Columns
from bcl_mm.datasets.csv_lists import PARTS, Entry, read_csv
from bcl_mm.datasets.exclusions import read_exclusions
from bcl_mm.datasets.folders import classes_in, find_parts, read_tree
from bcl_mm.datasets.problems import Problems
from bcl_mm.utils.errors import InputValueError, counted, similar_names

_MOST = 20  # names in a message


class Part(NamedTuple):
    """A part of a data set.

    Attributes:
        path: A CSV list, or a folder of class folders.
        name: The part of that list by its column; empty if it is the part.
    """

    path: str
    name: str = ''

    @property
    def is_list(self) -> bool:
        """Whether it is a list, and no folder."""
        return osp.isfile(self.path)

    def __str__(self) -> str:
        return f'{self.path}, part {self.name}' if self.name else self.path


def listed(names: Sequence[str]) -> str:
    """Names in a message: twenty, and how many more."""
    more = len(names) - _MOST
    first = ', '.join(map(printable, names[:_MOST]))
    return f'{first} and {more:,} more' if more > 0 else first


class Parts:
    """The parts of a data set, each of which is read once at most.

    Args:
        root: A folder, or a CSV list.
        prefix: Folder that the paths of lists are relative to.
        columns: Names of the columns of lists.
        needs_train: Whether there must be a training part.
        problems: Gets what is wrong and can be stepped over.
        exclude: CSV list of images that are left out. Defaults to None.

    Attributes:
        of: ``train``, ``val`` and ``test``, those that exist; or ``all``,
            which is still to be split.
        notes: Sentences on what was read.
    """

    def __init__(
        self,
        root: str,
        prefix: str,
        columns: Columns,
        needs_train: bool,
        problems: Problems,
        exclude: Optional[str] = None,
    ) -> None:
        self.root = root
        self.exclude = exclude
        self.prefix = prefix
        self.columns = columns
        self.problems = problems
        self.notes: List[str] = []
        self._read: Dict[str, List[Entry]] = {}
        self._kept: Dict[Part, List[Entry]] = {}
        found = find_parts(root, prefix, needs_train, columns)
        self.of = {name: Part(path) for name, path in found.items()}
        trees = [part for part in self.of.values() if not part.is_list]
        if columns.options and trees:
            raise InputValueError(
                f'{columns.options[0]} needs a CSV list, but data_root '
                f'{root!r} holds class folders: leave it out, or give the '
                'list as data_root'
            )
        if columns.split:
            self._divide()

    @property
    def train(self) -> Optional[Part]:
        """The training part, or what it is split from."""
        return self.of.get('train') or self.of.get('all')

    def _divide(self) -> None:
        """Divide the one list by its split column."""
        if len(self.of) > 1:
            names = ', '.join(osp.basename(p.path) for p in self.of.values())
            raise InputValueError(
                f'split_column divides one list, but data_root {self.root!r} '
                f'has {names}: give one list as data_root, or leave it out'
            )
        (part,) = self.of.values()
        present = {entry.part for entry in self.entries(part)}
        if 'train' not in present:
            raise InputValueError(
                f'{part}: split_column {self.columns.split} gives no image to '
                'the training part'
            )
        self.of = {n: Part(part.path, n) for n in PARTS if n in present}

    @property
    def is_split(self) -> bool:
        """Whether validation gets a share of the training part."""
        return bool(self.train and 'val' not in self.of)

    def folder(self, part: Part) -> str:
        """The folder that the paths of a part's images are relative to."""
        if not part.is_list:
            return part.path
        return osp.join(osp.dirname(part.path), self.prefix)

    def entries(self, part: Part) -> List[Entry]:
        """All images of a part."""
        if part.path not in self._read:
            if part.is_list:
                entries, notes = read_csv(
                    part.path, self.prefix, self.columns, self.problems
                )
            else:
                entries, notes = read_tree(part.path, self.problems)
                notes = [f'{part}: {note}' for note in notes]
            self._read[part.path] = entries
            self.notes += notes
        entries = self._read[part.path]
        if part.name:
            entries = [entry for entry in entries if entry.part == part.name]
        return entries

    def images(self, part: Part) -> List[Entry]:
        """Images of a part that are not excluded.

        Raises:
            InputError: The list that excludes images cannot be read, or is
                of other data.
        """
        if self.exclude is None:
            return self.entries(part)
        if part not in self._kept:
            (name,) = (name for name, of in self.of.items() if of == part)
            shares = part == self.train and self.is_split
            excluded = read_exclusions(self.exclude)
            names = ('train', 'val') if shares else (name,)
            paths = set().union(*(excluded[name] for name in names))
            own = self._by_file(part)
            kept = [entry for p, entry in own if p not in paths]
            number = len(own) - len(kept)
            if paths and not number:
                self._check_exclusions(paths)
            self.notes.append(
                f'{part}: left out by exclude={self.exclude}: '
                f'{counted(number, "image")}'
            )
            self._kept[part] = kept
        return self._kept[part]

    def _by_file(self, part: Part) -> List[Tuple[str, Entry]]:
        """Images of a part, each with its absolute path."""
        folder = osp.abspath(self.folder(part))
        return [
            (osp.normpath(osp.join(folder, entry.path)), entry)
            for entry in self.entries(part)
        ]

    def _check_exclusions(self, paths: Set[str]) -> None:
        """Raise an InputValueError if none of the paths is of these data."""
        home = self.root if osp.isdir(self.root) else osp.dirname(self.root)
        home = osp.abspath(home)
        if any(path.startswith(osp.join(home, '')) for path in paths):
            return
        if any(
            p in paths for of in self.of.values() for p, _ in self._by_file(of)
        ):
            return
        raise InputValueError(
            f'exclude={self.exclude} lists {counted(len(paths), "image")}, '
            f'of which none is in {home}, such as {printable(min(paths))}: is '
            'it the list of other data?'
        )

    def class_names(self, part: Part) -> Tuple[str, ...]:
        """Names of the classes of a part, without a search in folders."""
        if not part.is_list:
            return classes_in(part.path, self.problems)
        labels = (entry.name for entry in self.entries(part))
        return sorted_names(labels, str(part), self.problems)

    def left_out(
        self, min_images: int, ignored: Sequence[str], given: Collection[str]
    ) -> Set[str]:
        """Classes that the options leave out of all parts.

        Args:
            min_images: Images of the training part that a class needs, which
                those of ``given`` need not have.
            ignored: Names of classes.
            given: Names of classes that a checkpoint has.

        Raises:
            InputValueError: There is no such class as is ignored.
        """
        known: Set[str] = set(given)
        parts = [part for part in (self.train, *self.of.values()) if part]
        for part in parts:  # the training part first, and mostly alone
            if not set(ignored) <= known:
                known |= set(self.class_names(part))
        for name in ignored:
            if name not in known:
                raise InputValueError(
                    f'ignore_classes must name classes, but {self.train} has '
                    f'no class {name!r}{similar_names(name, known)} (several '
                    'are a list: [a,b])'
                )
        if ignored:
            told = listed(list(dict.fromkeys(ignored)))
            self.notes.append(f'left out by ignore_classes: {told}')
        few = []
        if min_images and self.train:
            counts = Counter(entry.name for entry in self.images(self.train))
            names = [name for p in parts for name in self.class_names(p)]
            few = [
                name
                for name in dict.fromkeys(names)
                if counts[name] < min_images
                and name not in given
                and name not in ignored
            ]
        if few:
            with_counts = [f'{name} ({counts[name]})' for name in few]
            self.notes.append(
                f'left out by min_images={min_images}: '
                f'{counted(len(few), "class")}, {listed(with_counts)}'
            )
            if len(set(names) - {*ignored, *few}) < 2:
                raise InputValueError(
                    f'min_images={min_images} must leave at least two classes '
                    f'of {self.train}, whose classes have at most '
                    f'{counted(max(counts.values()), "training image")}'
                )
        return {*ignored, *few}

    def known_entries(
        self, part: Part, names: Sequence[str], left_out: Collection[str]
    ) -> List[Entry]:
        """Images of a part, all of them of known classes.

        Args:
            part: The part.
            names: Names of the classes.
            left_out: Names of classes whose images are passed over.

        Raises:
            InputValueError: There are no images.
        """
        entries = self.images(part)
        known = set(names).difference(left_out)
        others = {entry.name for entry in entries} - known
        unknown = others.difference(left_out)
        if unknown:
            spelling = {folded(name): name for name in names}
            shown = [
                f'{name!r} (is {spelling[folded(name)]!r} meant?)'
                if folded(name) in spelling
                else repr(name)
                for name in sorted_names(unknown, str(part), self.problems)
            ]
            self.problems.add(
                f'{part} must have no other classes than the training part '
                '(or classes=[...]), but it has '
                f'{", ".join(shown[:8])}{" ..." if len(shown) > 8 else ""}'
            )
        if others:
            entries = [entry for entry in entries if entry.name in known]
        if not entries:
            raise InputValueError(f'{part} holds no image')
        return entries


def too_few(
    source: Any,
    entries: Sequence[Entry],
    names: Sequence[str],
    numbers: Sequence[int],
) -> Iterator[str]:
    """Find classes that have such a number of images.

    Args:
        source: The part that has them, for the messages.
        entries: Its images.
        names: Names of the classes.
        numbers: 0, or 0 and 1.

    Yields:
        A sentence for each of the numbers.
    """
    counts = Counter(entry.name for entry in entries)
    rules = (
        'every class needs a training image, but there is none of',
        'to be split into training and validation, every class needs two '
        'images (add some, leave the class out with ignore_classes or '
        'min_images=2, or make train/ and val/ yourself), but there is only '
        'one of',
    )
    for number in numbers:
        few = [name for name in names if counts[name] == number]
        if few:  # name all of them: the user must fix each
            every = ', '.join(map(printable, few))
            yield f'{source}: {rules[number]} {every}'
