"""Errors that users cause, and checks of their arguments."""

from __future__ import annotations

import difflib
import errno
import math
import re
import traceback
import unicodedata
from numbers import Integral, Real
from pathlib import PurePath
from typing import Any, Iterable, Optional


class InputError(Exception):
    """An error that the user can fix; its message says all.

    The commands print it as one sentence. Every other error keeps its
    traceback.

    Example:
        >>> from bcl_mm.classes import shot_groups
        >>> try:
        ...     shot_groups([200, 5], many=-1)
        ... except InputError as error:
        ...     print(error)
        many must be >= 0, got -1
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


class NonFiniteError(InputError, FloatingPointError):
    """A loss, gradient or weight is NaN or infinite."""


class LaunchError(InputError, RuntimeError):
    """The processes of a training did not find each other."""


# The user's disk: full, over its quota, read-only, or a limit on file sizes.
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
_SHARED = '</torch_.*(No space left on device|File too large)'


def as_input_error(
    error: BaseException, where: str = 'a file'
) -> Optional[InputError]:
    """The error, if the user can fix it, as one that is told in a sentence.

    Args:
        error: What was raised.
        where: What could not be written, if the error does not name the
            file. Defaults to ``'a file'``.

    Returns:
        An InputError: the error itself, or that of a full or read-only disk;
        None for any other error.
    """
    if isinstance(error, InputError):
        return error
    if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
        path = error.filename or where
        return InputFileError(f'{path} cannot be written: {error.strerror}')
    message = str(error)
    if isinstance(error, OSError) and 'usable temporary dir' in message:
        return InputFileError(
            f'{error.strerror}: free some space, or set TMPDIR to a folder '
            'that can be written'
        )
    # Batches of data workers.
    if isinstance(error, RuntimeError) and re.search(_SHARED, message):
        return InputFileError(
            'shared memory (/dev/shm) cannot hold the batches of the data '
            'workers: give it more space, or set num_workers=0'
        )
    return None


# In a traceback: file, line number and code.
_PLACE = re.compile(r'File "(.+)", line (\d+), in .+\n +(.*)')


def place_of(error: BaseException) -> str:
    """Place of an error, ``runs.py, line 3: raise KeyError``; or ''."""
    # A data worker's error has its own traceback in its message.
    entries = traceback.format_tb(error.__traceback__)
    for text in (str(error), *reversed(entries)):
        places = _PLACE.findall(text)
        if places:
            file, number, code = places[-1]
            return f'{PurePath(file).name}, line {number}: {code}'
    return ''


def described(error: BaseException) -> str:
    """Type and message of an error that is not ours, in one line.

    An error without a message is described by its place and the code there.
    More than 500 characters are cut.
    """
    kind, text = type(error).__name__, str(error).strip()
    if 'in DataLoader worker' in text:  # the end of its traceback
        *_, end = re.split(_PLACE, text)
        found = re.search(
            r'^[\w.]+(?::(.*))?\Z', end, re.MULTILINE | re.DOTALL
        )
        text = (found[1] or '') if found else text
    text = ' '.join(text.split())
    if not text:
        place = place_of(error)
        return f'{kind} in {place}' if place else f'{kind} without a message'
    return f'{kind}: {text[:500]}' + (' ...' if len(text) > 500 else '')


def visible(text: str) -> str:
    """Text for a terminal: control characters are escaped, but line breaks.

    File names may hold any character, and codes that a terminal obeys.
    """
    return ''.join(
        char
        if char.isprintable()
        or char == '\n'
        or unicodedata.category(char) == 'Zs'
        else char.encode('unicode_escape').decode()
        for char in text
    )


def counted(number: int, noun: str) -> str:
    """A number with its noun: ``1 class``, ``2,000 images``."""
    if number == 1:
        return f'1 {noun}'
    return f'{number:,} {noun}{"es" if noun.endswith("s") else "s"}'


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


def check_regex(name: str, value: Any) -> None:
    """Raise an error unless ``value`` is a regular expression, or None.

    Args:
        name: What the user calls the argument.
        value: What was given.

    Raises:
        InputTypeError: It is not text.
        InputValueError: It is not a regular expression.
    """
    if not isinstance(value, (str, type(None))):
        raise InputTypeError(f'{name} must be text, got {shown(value)}')
    try:
        re.compile(value or '')
    except re.error as error:
        raise InputValueError(
            f'{name} must be a regular expression, got {value!r}: {error}'
        ) from error


def similar_names(name: str, known: Iterable[str]) -> str:
    """Part of a message: known names that resemble an unknown one."""
    matches = difflib.get_close_matches(name, known)
    return f'; similar are {", ".join(matches)}' if matches else ''
