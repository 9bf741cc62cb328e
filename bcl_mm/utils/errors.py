"""Errors that users cause, and checks of their arguments."""

from __future__ import annotations

import difflib
import math
from numbers import Integral, Real
from typing import Any, Iterable, Optional


class InputError(Exception):
    """An error that the user can fix; its message says all.

    The commands print it as one sentence. Every other error keeps its
    traceback.
    """


class InputValueError(InputError, ValueError):
    """A setting or a file has a value that is not allowed."""


class InputTypeError(InputError, TypeError):
    """An argument has the wrong type."""


class InputFileError(InputError, OSError):
    """A file or an address cannot be read or written."""


class MissingFileError(InputFileError, FileNotFoundError):
    """A file or a folder does not exist."""


class MissingPackageError(InputError, ImportError):
    """A package that is needed is not installed."""


class LaunchError(InputError, RuntimeError):
    """The processes of a training did not find each other."""


def shown(value: Any) -> str:
    """A value as messages show it, cut after 200 characters."""
    try:
        text = repr(value)
    except ValueError:  # Python's limit of digits
        text = 'an integer of thousands of digits'
    return text if len(text) <= 200 else f'{text[:200]} ...'


def check_number(
    name: str,
    value: Any,
    *,
    above: Optional[float] = None,
    at_least: Optional[float] = None,
    below: Optional[float] = None,
    at_most: Optional[float] = None,
    whole: bool = False,
) -> None:
    """Raise an error unless ``value`` is a finite number in its range.

    Args:
        name: What the user calls the argument.
        value: What was given. Tensors are refused: reading one may be a
            device sync.
        above: Bound that ``value`` must exceed. Defaults to None.
        at_least: Smallest value that is allowed. Defaults to None.
        below: Bound that ``value`` must not reach. Defaults to None.
        at_most: Largest value that is allowed. Defaults to None.
        whole: Whether it must be an integer. Defaults to False.

    Raises:
        InputTypeError: It is not a number (a bool is not one), or not whole.
        InputValueError: It is NaN, infinite or out of range.
    """
    is_whole = isinstance(value, Integral)
    is_number = isinstance(value, Real)
    if isinstance(value, bool) or not (is_whole if whole else is_number):
        kind = 'a whole number' if whole else 'a number'
        raise InputTypeError(f'{name} must be {kind}, got {shown(value)}')
    try:
        is_finite = math.isfinite(value)
    except OverflowError:  # an integer that is no float
        is_finite = False
    if not is_finite:
        number = shown(value) if is_whole else value
        raise InputValueError(f'{name} must be finite, got {number}')
    if (
        (above is None or value > above)
        and (at_least is None or value >= at_least)
        and (below is None or value < below)
        and (at_most is None or value <= at_most)
    ):
        return
    low = f'> {above}' if at_least is None else f'>= {at_least}'
    high = f'< {below}' if at_most is None else f'<= {at_most}'
    if (above, at_least) == (None, None):
        rule = high
    elif (below, at_most) == (None, None):
        rule = low
    else:
        start = f'({above}' if at_least is None else f'[{at_least}'
        end = f'{below})' if at_most is None else f'{at_most}]'
        rule = f'in {start}, {end}'
    raise InputValueError(f'{name} must be {rule}, got {value}')


def check_flag(name: str, value: Any) -> None:
    """Raise an InputTypeError unless ``value`` is a bool (``'no'`` is true).

    Args:
        name: What the user calls the argument.
        value: What was given.
    """
    if type(value).__name__ not in ('bool', 'bool_'):  # numpy's, too
        raise InputTypeError(
            f'{name} must be True or False, got {shown(value)}'
        )


def similar_names(name: str, known: Iterable[str]) -> str:
    """Part of a message: known names that resemble an unknown one."""
    matches = difflib.get_close_matches(name, known)
    return f'; similar are {", ".join(matches)}' if matches else ''
