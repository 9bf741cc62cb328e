"""The split of images into training and validation."""

from __future__ import annotations

from collections import Counter, defaultdict
from hashlib import blake2b
from itertools import combinations, product
from typing import Any, Dict, Hashable, List, Sequence, Set

# The search for better shares is limited: units of a class that are tried, in
# and out of the validation part; moves a class and round; rounds; and changes
# of a class that are weighed (which take some seconds).
_TRIES, _MOVES, _ROUNDS, _WORK = 12, 8, 3, 5_000_000
_EXCHANGED = 3  # units that are exchanged for one
_NEAR = 0.01  # a distance that is near enough
_LEAST = 1e-9  # gain: the rest is rounding


def _rank(path: str, split_seed: int) -> bytes:
    text = f'{split_seed}/{path}'.encode('utf-8', 'surrogatepass')
    return blake2b(text, digest_size=8).digest()


def number_of_val(number: int, val_fraction: float) -> int:
    """Images of a class that validation gets: one or more, but not all."""
    return min(max(1, round(number * val_fraction)), number - 1)


def choose_val(
    paths: Sequence[str], val_fraction: float, split_seed: int
) -> Set[str]:
    """Choose the images of a class that are for validation.

    Images are ranked by a hash of seed and path. The choice depends neither
    on their order nor on other classes, and an added image moves at most one
    other image to another part.

    Args:
        paths: Paths of the class's images, two or more.
        val_fraction: The part of them to choose, in (0, 1). At least one is
            chosen, and one is left.
        split_seed: Seed of the choice.
    """
    number = number_of_val(len(paths), val_fraction)
    ranked = sorted(paths, key=lambda path: _rank(path, split_seed))
    return set(ranked[:number])


def join(number: int, groups: Sequence[Sequence[int]]) -> List[List[int]]:
    """Units that contain each of the groups as a whole.

    Args:
        number: N, the number of images.
        groups: Indices of images that must stay together. An image may be in
            several: these become one unit.

    Returns:
        Ascending indices of each unit, in the order of their first ones;
        each image is in one.
    """
    parent = list(range(number))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for group in groups:
        for i in group[1:]:
            low, high = sorted((root(group[0]), root(i)))
            parent[high] = low
    units: Dict[int, List[int]] = defaultdict(list)
    for i in range(number):
        units[root(i)].append(i)
    return list(units.values())


class _Choice:
    """Units that are chosen, and how far that is from what is wanted."""

    def __init__(
        self, contents: Sequence[Dict[Any, int]], val_fraction: float
    ) -> None:
        self.contents = contents
        self.total: Counter = Counter()
        kinds: Dict[Any, int] = {}
        self.kind = []  # equal for units with the same numbers of images
        for content in contents:
            self.total.update(content)
            key = frozenset(content.items())
            self.kind.append(kinds.setdefault(key, len(kinds)))
        self.wanted = {
            label: number_of_val(n, val_fraction)
            for label, n in self.total.items()
        }
        self.taken = dict.fromkeys(self.total, 0)
        self.chosen: Set[int] = set()
        self.work = 0

    def cost(self, label: Any, change: int = 0) -> float:
        """Distance from the wanted share; infinite if nothing is left.

        A class without validation is worse than any share.
        """
        taken, wanted = self.taken[label] + change, self.wanted[label]
        if taken >= self.total[label]:
            return float('inf')
        lacks = wanted > 0 and taken == 0
        return abs(taken - wanted) / self.total[label] + lacks

    def _change(self, move: Sequence[int]) -> Dict[Any, int]:
        change: Dict[Any, int] = {}
        for unit in move:
            sign = -1 if unit in self.chosen else 1
            for label, number in self.contents[unit].items():
                change[label] = change.get(label, 0) + sign * number
        return change

    def gain(self, move: Sequence[int]) -> float:
        """How much nearer a move comes; it turns units over."""
        change = self._change(move)
        self.work += len(change)
        return sum(
            self.cost(label) - self.cost(label, number)
            for label, number in change.items()
        )

    def apply(self, move: Sequence[int]) -> None:
        """Turn units over."""
        for label, number in self._change(move).items():
            self.taken[label] += number
        self.chosen.symmetric_difference_update(move)

    def fits(self, unit: int) -> bool:
        """Whether a unit is within what is still wanted."""
        return all(
            self.taken[label] + number <= self.wanted[label]
            for label, number in self.contents[unit].items()
        )

    def improve(self, units: Sequence[int]) -> bool:
        """Turn over one of these units, or exchange some, if that is better.

        One is exchanged for up to three others. Of units with the same
        numbers of images, the first ones are tried.
        """
        inside: Dict[int, List[int]] = {}
        outside: Dict[int, List[int]] = {}
        for unit in units:
            tried = inside if unit in self.chosen else outside
            alike = tried.setdefault(self.kind[unit], [])
            if len(alike) < _EXCHANGED and len(tried) <= _TRIES:
                alike.append(unit)
        sides = [
            [unit for alike in tried.values() for unit in alike]
            for tried in (outside, inside)
        ]
        singles = [(unit,) for side in sides for unit in side]
        best = max(singles, key=self.gain)
        if self.gain(best) > _LEAST:
            self.apply(best)
            return True
        for number in range(1, _EXCHANGED + 1):
            most = None if number == 1 else _TRIES
            for ones, others in (sides, sides[::-1]):
                some_of = combinations(others[:most], number)
                for one, some in product(ones[:most], some_of):
                    move = (one, *some)
                    if self.work > _WORK:
                        return False
                    if self.gain(move) > _LEAST:
                        self.apply(move)
                        return True
        return False


def choose_units(
    units: Sequence[Sequence[int]],
    paths: Sequence[str],
    labels: Sequence[Hashable],
    val_fraction: float,
    split_seed: int,
) -> Set[int]:
    """Choose the images for validation, whole units of them.

    Units are ranked by a hash of seed and first path. In that order, those
    are taken that fit into what their classes still want. Then units are
    taken, given back or exchanged if that brings the shares of the classes
    nearer to ``val_fraction``, until they are within 0.01, for some rounds.
    Where each unit is one image, these
    are the choices of :func:`choose_val`.

    Args:
        units: Indices of images that must stay together; each image is in
            one.
        paths: Path of each image.
        labels: Class of each image.
        val_fraction: The part of each class to choose, in (0, 1). In each
            class at least one unit is left.
        split_seed: Seed of the choice.

    Returns:
        Indices of the chosen images.
    """
    rank = [_rank(min(paths[i] for i in unit), split_seed) for unit in units]
    units = [units[i] for i in sorted(range(len(units)), key=rank.__getitem__)]
    choice = _Choice(
        [Counter(labels[i] for i in unit) for unit in units], val_fraction
    )
    units_of: Dict[Any, List[int]] = defaultdict(list)
    for unit, content in enumerate(choice.contents):
        for label in content:
            units_of[label].append(unit)
        if choice.fits(unit):
            choice.apply([unit])
    for _, (label, candidates) in product(range(_ROUNDS), units_of.items()):
        for _ in range(_MOVES):
            is_near = choice.cost(label) < _NEAR or choice.work > _WORK
            if is_near or not choice.improve(candidates):
                break
    return {i for unit in choice.chosen for i in units[unit]}
