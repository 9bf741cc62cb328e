"""The config of a run as data, ``config.json`` in its folder.

Python configs are programs. A report of somebody's run must not execute what
lies in its folder: it reads this file instead.
"""

from __future__ import annotations

import json
import math
from pathlib import Path, PurePath
from typing import Any, Union

import numpy as np
from mmengine.config import Config
from mmengine.config.lazy import LazyAttr, LazyObject
from mmengine.utils import get_object_from_string, import_modules_from_strings

from bcl_mm.utils.errors import (
    InputFileError,
    InputTypeError,
    InputValueError,
    shown,
)
from bcl_mm.utils.files import write_atomically
from bcl_mm.utils.registered import (
    check_registered,
    find_registered,
    guard_registries,
)

CONFIG_JSON = 'config.json'
# Name of the config that was trained.
_NAME = 'config_name'
# What JSON lacks is a dict of one of these keys.
_TUPLE, _ITEMS = '__tuple__', '__items__'  # a dict whose keys are no text
_NUMBER, _OBJECT = '__number__', '__object__'  # 'nan'; a dotted path
_MARKS = (_TUPLE, _ITEMS, _NUMBER, _OBJECT)


def _path_of(value: Any) -> str:
    """Dotted path of a class or function, '' if it has none."""
    if isinstance(value, (LazyAttr, LazyObject)):
        return f'{value.module}.{value}'
    names = (getattr(value, f'__{n}__', None) for n in ('module', 'qualname'))
    path = '.'.join(map(str, names))
    # Not a lambda, or what a function made.
    return path if get_object_from_string(path) is value else ''


def _encode(value: Any, key: str = '') -> Any:
    """A value of a config as what JSON has."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {_NUMBER: repr(value)}
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, (list, tuple)):
        parts = [_encode(part, f'{key}.{i}') for i, part in enumerate(value)]
        return {_TUPLE: parts} if isinstance(value, tuple) else parts
    if isinstance(value, dict):
        # Not value.items(), which imports what a lazy config names.
        entries = [
            (name, _encode(part, f'{key}.{name}' if key else str(name)))
            for name, part in dict.items(value)
        ]
        if all(isinstance(n, str) and n not in _MARKS for n, _ in entries):
            return dict(entries)
        return {_ITEMS: [[_encode(name), part] for name, part in entries]}
    path = _path_of(value)
    if not path:
        raise InputTypeError(f'{key} is {value!r}, which is not data')
    return path if key.rpartition('.')[2] == 'type' else {_OBJECT: path}


def _check_mark(mark: str, content: Any) -> None:
    if mark in (_OBJECT, _NUMBER):
        rule, is_right = 'text', isinstance(content, str)
    else:
        rule, is_right = 'a list', isinstance(content, list)
    if is_right and mark == _ITEMS:
        rule = 'a list of pairs [KEY, VALUE]'
        is_right = all(isinstance(p, list) and len(p) == 2 for p in content)
    if not is_right:
        raise TypeError(f'{mark} must be {rule}, got {shown(content)}')


def _decode(value: Any, allow_code: bool) -> Any:
    if isinstance(value, list):
        return [_decode(part, allow_code) for part in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((mark, content),) = value.items()
        if mark in _MARKS:
            _check_mark(mark, content)
        if mark == _TUPLE:
            return tuple(_decode(content, allow_code))
        if mark == _NUMBER:
            return float(content)
        if mark == _ITEMS:
            return dict(_decode(pair, allow_code) for pair in content)
        if mark == _OBJECT:
            find = get_object_from_string if allow_code else find_registered
            found = find(content)
            if found is None:
                raise InputValueError(f'{content} is not registered')
            return found
    return {key: _decode(part, allow_code) for key, part in value.items()}


def write_run_config(cfg: Config, folder: Union[str, Path]) -> None:
    """Write a config to ``config.json`` in a folder.

    Args:
        cfg: The merged config.
        folder: Work dir of the run.

    Raises:
        InputTypeError: It holds what is not data, such as a lambda; the
            message names the key.
        InputFileError: The file cannot be written.
    """
    content = _encode(cfg._to_lazy_dict())
    if cfg.filename:
        content[_NAME] = Path(cfg.filename).stem
    text = json.dumps(content, indent=1)
    write_atomically(text, Path(folder, CONFIG_JSON))


def read_run_config(
    path: Union[str, Path], allow_code: bool = False
) -> Config:
    """Read a config that :func:`write_run_config` wrote.

    From then on, MMEngine's registries import nothing by its dotted path in
    this process, unless ``allow_code``.

    Args:
        path: The JSON file.
        allow_code: Whether it may name classes and functions that are not
            registered, and modules to import. Defaults to False.

    Returns:
        The config; its ``filename`` is that of the config that was trained.

    Raises:
        InputValueError: It is damaged, or names more than what is
            registered; the message names the file and the remedy.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
        content = _decode(content, allow_code)
        if not isinstance(content, dict):
            raise TypeError(
                f'it must be a JSON object, got {type(content).__name__}'
            )
        if not allow_code:
            check_registered(content)
        guard_registries(not allow_code)
        name = PurePath(str(content.pop(_NAME, ''))).name or path.stem
        cfg = Config(content, ' ', str(path.with_name(f'{name}.py')))
    except InputValueError as error:
        raise InputValueError(
            f'{path}: {error}, and a run folder must not choose what is '
            'imported or called: pass --allow-code if you trust it'
        ) from None
    except OSError as error:
        raise InputFileError(
            f'{path} cannot be read: {error.strerror}'
        ) from error
    except (AttributeError, LookupError, RecursionError) as error:
        raise InputValueError(f'{path} is damaged: {error!r}') from None
    except (TypeError, ValueError) as error:
        raise InputValueError(f'{path} is damaged: {error}') from None
    if cfg.get('custom_imports'):  # which is allowed
        import_modules_from_strings(**cfg.custom_imports)
    return cfg
