"""Checks of arguments: errors that name argument, rule and value."""

from __future__ import annotations

import math
from typing import Any, Optional

import numpy as np


def _shown(value: Any) -> str:
    text = repr(value)
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
        value: What was given. Tensors are refused: to look at one may mean
            to wait for the device.
        above: Bound that ``value`` must exceed. Defaults to None.
        at_least: Smallest value that is allowed. Defaults to None.
        below: Bound that ``value`` must not reach. Defaults to None.
        at_most: Largest value that is allowed. Defaults to None.
        whole: Whether it must be an integer. Defaults to False.

    Raises:
        TypeError: It is no number (a bool is none), or must be whole.
        ValueError: It is NaN, infinite or out of its range.
    """
    is_whole = isinstance(value, (int, np.integer))
    is_number = is_whole or isinstance(value, (float, np.floating))
    if isinstance(value, bool) or not (is_whole if whole else is_number):
        kind = 'a whole number' if whole else 'a number'
        raise TypeError(f'{name} must be {kind}, got {_shown(value)}')
    if not is_whole and not math.isfinite(value):
        raise ValueError(f'{name} must be finite, got {value}')
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
    raise ValueError(f'{name} must be {rule}, got {value}')


def check_flag(name: str, value: Any) -> None:
    """Raise a TypeError unless ``value`` is a bool: ``'no'`` is true.

    Args:
        name: What the user calls the argument.
        value: What was given.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f'{name} must be True or False, got {_shown(value)}')
