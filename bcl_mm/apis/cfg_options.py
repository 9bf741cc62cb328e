"""Settings of the command line: KEY=VALUE as Python values."""

from __future__ import annotations

import contextlib
import os
import re
from typing import Any, Dict, List, Optional, Sequence

from bcl_mm.utils.errors import InputValueError

# Settings that are paths or other text, by their names or the ends of these.
_PATHS = re.compile(
    r'(.*[._])?(checkpoint|load_from|pretrained|first_stage|(data|img)_path'
    r'|root|dir|file|prefix|exclude|data_prefix\..+|column|group_regex)'
)


def _split(text: str) -> Optional[List[str]]:
    """Parts of a text between its outer commas.

    None if its brackets or quotes do not match.
    """
    parts, opened, quote = [''], '', ''
    for char in text:
        if quote:
            quote = '' if char == quote else quote
        elif char in '\'"' and parts[-1].rstrip()[-1:] in ('', *'([,'):
            quote = char
        elif char in '([':
            opened += char
        elif char in ')]':
            if opened[-1:] + char not in ('()', '[]'):
                return None
            opened = opened[:-1]
        elif char == ',' and not opened:
            parts.append('')
            continue
        parts[-1] += char
    if opened or quote:
        return None
    if not parts[-1].strip():  # of nothing, or after a last comma
        parts.pop()
    return parts


def _parse_value(text: str) -> Any:
    word = text.strip()
    if re.fullmatch(r"""'[^']*'|"[^"]*\"""", word):
        return word[1:-1]
    kind = {'[]': list, '()': tuple}.get(word[:1] + word[-1:])
    parts = _split(word[1:-1]) if kind else None
    if kind is not None and parts is not None:
        return kind(_parse_value(part.strip()) for part in parts)
    for number in (int, float):
        with contextlib.suppress(ValueError):
            return number(word)
    if word.lower() in ('true', 'false'):
        return word.lower() == 'true'
    if word == 'None':
        return None
    values = (
        [_parse_value(p) for p in _split(word) or ()] if ',' in word else ()
    )
    is_text = not values or any(isinstance(value, str) for value in values)
    return text if is_text else values


def parse_options(options: Sequence[str]) -> Dict[str, Any]:
    """Settings of ``--cfg-options``.

    A value is, in this order,

    - text as it is between quotes (``'...'`` or ``"..."``);
    - a list or tuple in brackets, ``[a,b]`` or ``(1, [2, 3])``, of values
      between commas; spaces around them do not count;
    - a number, ``True`` or ``False`` (in any case), or ``None``;
    - a list of these, between commas (``1,2``);
    - text, as it was typed: with its spaces and commas.

    A ``+`` before the name is kept: it adds a setting that nothing knows.

    A path (``checkpoint``, ``load_from``, ``pretrained``, and what ends in
    ``_root``, ``_dir``, ``_file`` or ``_prefix``), a ``..._column`` and
    ``group_regex`` are never a number or a list: a folder may be called
    ``2024`` or ``[old]``. A ``~`` at its start is
    the home folder; the shell does not expand it behind an equals sign.

    Args:
        options: ``KEY=VALUE`` each; the value may contain more ``=``.

    Raises:
        InputValueError: One is not of this form.
    """
    parsed = {}
    for option in options:
        key, equals, text = option.partition('=')
        if not (key and equals):
            raise InputValueError(
                f'--cfg-options must be KEY=VALUE, got {option!r}'
            )
        value = _parse_value(text)
        if _PATHS.fullmatch(key.removeprefix('+')):
            if not isinstance(value, (str, bool, type(None))):
                value = text
            if isinstance(value, str):
                value = os.path.expanduser(value)
        parsed[key] = value
    return parsed
