"""Identical images, and images that look almost the same."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from operator import attrgetter
from typing import Callable, Dict, Hashable, Iterable, Iterator, List, Sequence

import numpy as np

from bcl_mm.classes import printable
from bcl_mm.datasets.audit import Split
from bcl_mm.datasets.findings import Exclusion, Finding, Findings
from bcl_mm.datasets.mirrored import mirrored_classes
from bcl_mm.datasets.near_duplicates import look_alike, near_pairs
from bcl_mm.utils.errors import counted

_MOST_NAMED = 4  # of a group, in a message


@dataclass(slots=True)
class Member:
    """An image of a split.

    Attributes:
        split: The split.
        index: Its position there.
        class_id: Number of its class, common to all splits.
    """

    split: Split
    index: int
    class_id: int

    def __str__(self) -> str:
        name = self.split.image_name(self.index)
        return f'{self.split.name}: {name} ({printable(self.class_name)})'

    @property
    def path(self) -> str:
        """Path of its file."""
        return self.split.paths[self.index]

    @property
    def class_name(self) -> str:
        """Name of its class."""
        return self.split.class_name(self.index)

    def exclusion(self, reason: str, partner: str = '') -> Exclusion:
        """Entry of the list of images to exclude."""
        name = self.class_name
        return Exclusion(self.path, name, self.split.name, reason, partner)


def common_class_ids(splits: Sequence[Split]) -> List[np.ndarray]:
    """Numbers of the classes of all images that mean the same in all splits.

    Classes are the same if their names are. Where a split has no names,
    labels count.

    Returns:
        (N,) int64 for each split.
    """
    if not all(split.classes for split in splits):
        return [split.labels.astype(np.int64) for split in splits]
    ids: Dict[str, int] = {}
    numbers = []
    for split in splits:
        found, inverse = np.unique(split.labels, return_inverse=True)
        names = map(split.name_of_class, found.tolist())
        of_label = [ids.setdefault(name, len(ids)) for name in names]
        numbers.append(np.array(of_label, np.int64)[inverse])
    return numbers


def find_same_images(splits: Sequence[Split]) -> List[List[Member]]:
    """Groups of two or more images that are the same to training.

    They are one file, or their decoded pixels are equal: what a file adds
    to them (format, compression, metadata) is no difference.
    """
    groups: Dict[object, List[Member]] = defaultdict(list)
    for split, ids in zip(splits, common_class_ids(splits)):
        prints = split.fingerprints
        known = prints['known'].tolist()
        digests = map(tuple, prints['digest'].tolist())
        rows = zip(known, digests, split.paths, ids.tolist())
        for i, (is_known, digest, path, class_id) in enumerate(rows):
            key = digest if is_known else path
            if key:
                groups[key].append(Member(split, i, class_id))
    return [group for group in groups.values() if len(group) > 1]


def check_same_images(splits: Sequence[Split]) -> Findings:
    """What is wrong with identical images, a sentence for each group."""
    found = Findings()
    for group in find_same_images(splits):
        _judge(group, found)
    return found


def _judge(group: List[Member], found: Findings) -> None:
    """Add what is wrong with a group of identical images."""
    # A known data set, or one in memory, is as it is.
    is_given = any(m.split.published or not m.path for m in group)
    severe = found.warnings if is_given else found.problems
    if len({member.class_id for member in group}) > 1:
        kind = 'identical images of different classes'
        severe.append(
            Finding(kind, _sentence(_by(group, attrgetter('class_id'))))
        )
        if not is_given:
            found.exclusions += _conflicting(group)
        return
    names = [member.split.name for member in group]
    if 'train' in names and len(set(names)) > 1:
        kind = 'images of training and testing'
        severe.append(
            Finding(kind, _sentence(_by(group, attrgetter('split.name'))))
        )
    elif group[0].path and len({m.path for m in group}) == 1:
        kind = 'images listed twice'
        severe.append(Finding(kind, f'{group[0]} is listed twice'))
    else:
        kind = 'identical images of one class'
        text = _sentence(_by(group, attrgetter('split.name')))
        found.warnings.append(Finding(kind, text))
    if not is_given:
        found.exclusions += _repeated(group)


def _conflicting(group: List[Member]) -> Iterator[Exclusion]:
    """All images of a group of several classes: any may be wrong."""
    for member in group:
        other = next(m for m in group if m.class_id != member.class_id)
        yield member.exclusion('label conflict', other.path)


def _repeated(group: List[Member]) -> Iterator[Exclusion]:
    """Images of a group of one class but one, which is not for training."""
    tested = [m for m in group if m.split.name != 'train']
    kept: Dict[str, Member] = {}
    for member in group:
        if tested and member.split.name == 'train':
            reason = f'training image in {tested[0].split.name}'
            yield member.exclusion(reason, tested[0].path)
            continue
        first = kept.setdefault(member.split.name, member)
        if first.path != member.path:
            yield member.exclusion('duplicate', first.path)


def _by(
    group: List[Member], key: Callable[[Member], Hashable]
) -> List[Member]:
    """Members, those with another key first."""
    seen = set()
    first: List[Member] = []
    rest: List[Member] = []
    for member in group:
        value = key(member)
        (rest if value in seen else first).append(member)
        seen.add(value)
    return first + rest


def _sentence(group: Iterable[Member]) -> str:
    first, *others = map(str, group)
    named = ' and '.join(others[: _MOST_NAMED - 1])
    more = len(others) - _MOST_NAMED + 1
    end = f' and {more:,} more' if more > 0 else ''
    return f'{first} is the same image as {named}{end}'


def check_near_duplicates(splits: Sequence[Split]) -> Findings:
    """Warn of images that look almost the same.

    They are of different classes, or of training and another split. A
    sentence names an image and one other.
    """
    found = Findings()
    ids = common_class_ids(splits)
    parts = np.repeat(np.arange(len(splits)), list(map(len, ids)))
    positions = np.concatenate([np.arange(len(part)) for part in ids])
    prints = np.concatenate([split.fingerprints for split in splits])
    comparable = prints['comparable']
    small = int((prints['known'] & ~comparable).sum())
    if small:
        text = (
            f'{counted(small, "image")} smaller than 8 x 8 pixels or nearly '
            'of one colour: not searched for near-duplicates'
        )
        found.notes.append(Finding('near-duplicates', text))
    # One of identical images, about which enough is said elsewhere.
    chosen = np.flatnonzero(comparable)
    digests = prints['digest'][chosen]
    chosen = chosen[np.sort(np.unique(digests, axis=0, return_index=True)[1])]
    classes = np.concatenate(ids)[chosen]
    prints, parts, positions = prints[chosen], parts[chosen], positions[chosen]
    is_train = np.array([split.name == 'train' for split in splits])[parts]
    # The first other image of each image, if there is one.
    nobody = len(prints)
    of_other_class = np.full(len(prints), nobody)
    of_training = of_other_class.copy()
    thumbnails = prints['thumbnail']
    hashes = np.ascontiguousarray(prints['hash'])
    for i, j in near_pairs(hashes, classes * len(splits) + parts):
        other = classes[i] != classes[j]
        leak = ~other & (is_train[i] != is_train[j])
        keep = other | leak
        i, j, other = i[keep], j[keep], other[keep]
        near = look_alike(thumbnails[i], thumbnails[j])
        i, j, other = i[near], j[near], other[near]
        np.minimum.at(of_other_class, j[other], i[other])
        np.minimum.at(of_training, j[~other], i[~other])
    for kind, partner in (
        ('near-duplicates of different classes', of_other_class),
        ('near-duplicates of training and testing', of_training),
    ):
        for j in np.flatnonzero(partner < nobody).tolist():
            one, other = (
                Member(splits[parts[k]], positions[k], classes[k])
                for k in (partner[j], j)
            )
            text = f'{one} looks almost like {other}'
            found.warnings.append(Finding(kind, text))
    return found


def check_mirrored_classes(train: Split) -> Findings:
    """Warn of classes that a horizontal flip turns into each other."""
    found = Findings()
    chosen = train.fingerprints['comparable']
    rows, labels = train.fingerprints[chosen], train.labels[chosen]
    for pair in mirrored_classes(rows['hash'], rows['mirrored'], labels):
        names = [
            printable(train.name_of_class(label))
            for label in (pair.first, pair.second)
        ]
        text = (
            f'train: {pair.mirrored_share:.0%} of the images of '
            f'{names[0]} and {names[1]} resemble the other class most when '
            'they are flipped: train without flips (augmentation=symbols)'
        )
        found.warnings.append(Finding('mirrored classes', text))
    return found
