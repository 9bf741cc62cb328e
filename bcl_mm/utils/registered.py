"""What a config may name when it is data: registered components, no code.

MMEngine's registries import whatever a ``type`` names by its dotted path, and
many components look up other strings of theirs (``ema_type``,
``resize_type``, ...) in the same way. A config that comes with a run folder
must not choose what is imported or called.
"""

from __future__ import annotations

import functools
import re
import sys
from typing import Any, Iterator, NamedTuple, Set, Tuple

import mmengine.registry
import mmpretrain.registry
from mmengine.registry import Registry, registry
from mmpretrain.utils import register_all_modules
from torch import nn

import bcl_mm.registry
from bcl_mm.utils.errors import InputValueError

# Keys whose text a registry looks up.
_NAMED: Tuple[str, ...] = ('type', 'constructor', 'runner_type', 'ema_type')
_NAMED += ('norm_layer', 'resize_type', 'collate_fn', 'worker_init_fn')
_NAMED += ('conv_type',)
_SCOPES = ('_scope_', 'default_scope')
# Registered, but they evaluate or unpickle what they are given.
_UNSAFE = (
    *('HuggingFaceClassifier', 'RAM', 'RAMNormal', 'RAMOpenset'),
    *('RFSearchHook', 'RefCOCO'),
)
# MMEngine unpickles these, or builds the objects that they describe.
_UNSAFE_FILES = ('.pkl', '.pickle', '.yaml', '.yml')
_get_object_from_string = registry.get_object_from_string
_import_module = registry.import_module


class _Known(NamedTuple):
    names: Set[str]
    scopes: Set[str]
    objects: Set[int]


@functools.cache
def _register_all() -> None:
    register_all_modules(init_default_scope=False)
    for part in vars(bcl_mm.registry).values():
        if isinstance(part, Registry):
            part.import_from_location()


def _tree(root: Registry) -> Iterator[Registry]:
    yield root
    for child in root.children.values():
        yield from _tree(child)


def _known() -> _Known:
    """All that is registered now."""
    _register_all()
    known = _Known(set(), set(), set())
    modules = vars(mmengine.registry), vars(mmpretrain.registry)
    for root in (one for module in modules for one in module.values()):
        # Some of mmpretrain's are roots, such as that of batch augments.
        for part in _tree(root) if isinstance(root, Registry) else ():
            known.scopes.add(part.scope)
            # A child finds its root's, too.
            owned = {**root.module_dict, **part.module_dict}
            for name, value in owned.items():
                if name not in _UNSAFE:
                    known.names.update((name, f'{part.scope}.{name}'))
                    known.objects.add(id(value))
    return known


def _find_loaded(name: str) -> Any:
    """What a dotted name means, None if that is unknown; imports nothing."""
    parts = name.split('.')
    for end in range(len(parts) - 1, 0, -1):
        found = sys.modules.get('.'.join(parts[:end]))
        if found is not None:
            for part in parts[end:]:
                found = getattr(found, part, None)
            return found
    return None


def _find(name: str, known: _Known) -> Any:
    found = _find_loaded(name)
    is_layer = isinstance(found, type) and issubclass(found, nn.Module)
    if is_layer and found.__module__.startswith('torch.nn.'):
        return found
    return found if id(found) in known.objects else None


def find_registered(name: str) -> Any:
    """A registered component, or a layer of torch, by its dotted path.

    Returns:
        The component; None if the path names nothing of that kind.
    """
    return _find(name, _known())


def _entries(part: Any, path: str = '') -> Iterator[Tuple[str, str, Any]]:
    """Full key, last key and value of all entries of a nested config."""
    if isinstance(part, dict):
        for key, value in part.items():
            full = f'{path}.{key}' if path else str(key)
            yield full, key, value
            yield from _entries(value, full)
    elif isinstance(part, (list, tuple)):
        for index, value in enumerate(part):
            yield f'{path}.{index}', '', value
            yield from _entries(value, f'{path}.{index}')


def check_registered(content: dict) -> None:
    """Check that a config names nothing but what is registered.

    Args:
        content: The config, as data.

    Raises:
        InputValueError: It names a function or a class that is not
            registered, a package, or a file whose reading may run code.
    """
    known = _known()
    imports = content.get('custom_imports')
    if imports:
        if isinstance(imports, dict):
            imports = imports.get('imports')
        raise InputValueError(f'custom_imports imports {imports!r}')
    for key, last, value in _entries(content):
        if last in _SCOPES and value is not None and value not in known.scopes:
            raise InputValueError(f'{key} is the package {value!r}')
        if not isinstance(value, str):
            continue
        is_known = last not in _NAMED or value in known.names
        if not is_known and _find(value, known) is None:
            raise InputValueError(f'{key}={value!r} is not registered')
        # mmpretrain evaluates 'torch.' and what follows.
        if last == 'dtype' and not re.fullmatch(r'[\w.]+', value):
            raise InputValueError(f'{key}={value!r} is not a type of numbers')
        is_read = last != 'out_file_path'
        if is_read and value.lower().endswith(_UNSAFE_FILES):
            raise InputValueError(f'{key}={value!r} is a file that holds code')


def _import_loaded(name: str) -> Any:
    package, _, module = name.partition('.')
    if module == 'registry' and package not in sys.modules:
        raise ImportError(f'{package} is not loaded')
    return _import_module(name)


def guard_registries(is_on: bool) -> None:
    """Let MMEngine's registries import what configs name, or not.

    Args:
        is_on: Whether they find only what is registered, in this process,
            from now on.
    """
    find = find_registered if is_on else _get_object_from_string
    registry.get_object_from_string = find
    registry.import_module = _import_loaded if is_on else _import_module
