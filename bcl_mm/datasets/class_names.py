"""Names of classes: their order, and two spellings of one."""

from __future__ import annotations

import os
import re
import unicodedata
from decimal import Decimal
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

from bcl_mm.datasets.problems import Problems

_PLAIN_NUMBER = re.compile(r'[+-]?[0-9]+(\.[0-9]*)?')
_NUMBER = re.compile(
    r'[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?'
)


def folded(name: str) -> str:
    """A name without what the eye overlooks: case, and spaces but one."""
    return ' '.join(unicodedata.normalize('NFC', name).casefold().split())


def _pairs(values: Dict[str, Any]) -> List[Tuple[str, str]]:
    """Names, each with an earlier one that has the same value."""
    first: Dict[Any, str] = {}
    return [
        (first[value], name)
        for name, value in values.items()
        if first.setdefault(value, name) != name
    ]


def check_names(
    names: Sequence[str],
    source: str,
    problems: Problems,
    are_values: bool = False,
) -> None:
    """Find names that stand for one class, each once.

    Args:
        names: The names of the classes, each once.
        source: The folder or list that has them, for the messages.
        problems: Gets the pairs that are one text (an accented letter may be
            one character or two: macOS and Linux write file names
            differently), one number or one truth value.
        are_values: Whether 1 and 1.0, or True and true, are one name.
            Defaults to False.
    """
    rule = f'{source}: a class must have one name, but'
    same = {
        (a, b): f'{rule} {ascii(a)} and {ascii(b)} are the same text, {b!r}, '
        'in two Unicode spellings: write it in one way'
        for a, b in _pairs({n: unicodedata.normalize('NFC', n) for n in names})
    }
    kinds: Dict[str, Dict[str, Any]] = {}
    if are_values:
        if all(map(_NUMBER.fullmatch, names)):
            kinds['number'] = {name: Decimal(name) for name in names}
        truths = ('true', 'false')
        kinds['truth value'] = {
            name: name.lower() for name in names if name.lower() in truths
        }
    for kind, values in kinds.items():
        for a, b in _pairs(values):
            same[a, b] = (
                f'{rule} the labels {a} and {b} are the same {kind}: write '
                'it in one way'
            )
    problems.add(*same.values())


def check_spaces(
    names: Sequence[str], folder: str, problems: Problems
) -> None:
    """Find names of class folders that begin or end with a space.

    Args:
        names: The names of the classes that are used.
        folder: The folder that has them.
        problems: Gets the names.
    """
    problems.add(
        *(
            'the name of a class folder must not begin or end with a space, '
            f'got {os.path.join(folder, name)!r}: rename it'
            for name in names
            if name != name.strip()
        )
    )


def warn_of_similar_names(
    names: Sequence[str], source: str, problems: Problems
) -> None:
    """Find names that differ by case or spaces only.

    Args:
        names: The names of the classes that are used, each once.
        source: The folder or list that has them, for the messages.
        problems: Gets the pairs, without an error.
    """
    forms = [unicodedata.normalize('NFC', name) for name in names]
    problems.warn(
        *(
            f'{source}: the classes {a!r} and {b!r} differ only by case or '
            'spaces: if they are one class, give them one name'
            for a, b in _pairs({form: folded(form) for form in forms})
        )
    )


def sorted_names(
    labels: Iterable[str], source: str, problems: Optional[Problems] = None
) -> Tuple[str, ...]:
    """Class names in order, each once: numbers by value, others as text.

    Args:
        labels: Labels of the images.
        source: The list that has them, for messages.
        problems: Gets names for one class, see :func:`check_names`. Defaults
            to None: they are errors.

    Raises:
        InputValueError: There are such names.
    """
    names = sorted(set(labels))
    check_names(names, source, problems or Problems(), are_values=True)
    if all(map(_PLAIN_NUMBER.fullmatch, names)):
        names.sort(key=Decimal)
    return tuple(names)
