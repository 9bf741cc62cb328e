"""What a checkpoint's pickle may do, checked before it is unpickled.

``torch.load(weights_only=True)`` runs no code of a checkpoint, but believes
its sizes: a pickle of a hundred bytes may ask for ``bytearray(8e9)``, or for a
tensor that repeats one number 10^18 times. Here every call that a pickle
makes is checked, with its arguments; it must be one that MMEngine's
checkpoints or plain state dicts need.
"""

from __future__ import annotations

import math
import pickletools
import re
from typing import (
    Any,
    BinaryIO,
    Callable,
    Dict,
    List,
    NamedTuple,
    Sequence,
    Union,
)

from bcl_mm.utils.errors import InputValueError

_HISTORY = 'mmengine.logging.history_buffer.HistoryBuffer'
STATISTICS = ('min', 'max', 'mean', 'current')
# Other tensors than dense ones of the usual types, by what rebuilds them.
_OTHER_TENSORS = {
    r'.*sparse.*': 'a sparse tensor',
    r'.*_rebuild_qtensor': 'a quantised tensor',
    r'.*_meta_tensor.*': 'a tensor without values (on the device meta)',
    r'.*_rebuild_nested_tensor': 'a nested tensor',
    r'.*_rebuild_tensor_v3': 'a tensor of an unusual type, such as float8',
    r'torch\.distributed\..*': 'a tensor that is split over processes',
}
_NUMPY_TYPE = re.compile(r'b1|[iu][1248]|f[248]')


class _Global(NamedTuple):
    """A function or class that a pickle names."""

    name: str


class _Storage(NamedTuple):
    """Numbers of tensors, outside of the pickle."""

    length: int


class _Made(NamedTuple):
    """What a call gave, or a list or dict."""

    maker: str


def _is_tensor(
    storage: Any, offset: Any, size: Any, stride: Any, *others: Any
) -> bool:
    """Whether a tensor has no more numbers than its storage."""
    return (
        isinstance(storage, _Storage)
        and isinstance(size, tuple)
        and all(isinstance(n, int) and n >= 0 for n in size)
        and math.prod(size) <= storage.length
    )


def _is_empty_array(kind: Any, shape: Any, code: Any) -> bool:
    # numpy then sets the true shape, with the content.
    return kind == _Global('numpy.ndarray') and shape == (0,)


_CALLS: Dict[str, Callable[..., bool]] = {
    '_codecs.encode': lambda text, code: (
        isinstance(text, str) and code == 'latin1'  # others enlarge
    ),
    'builtins.complex': lambda *parts: True,
    'builtins.getattr': lambda owner, name: (
        owner == _Global(_HISTORY) and name in STATISTICS
    ),
    'collections.Counter': lambda *content: content in ((), (_Made('dict'),)),
    'collections.OrderedDict': lambda *content: content == (),
    _HISTORY: lambda *content: content == (),
    'numpy.dtype': lambda code, *others: (
        isinstance(code, str)
        and bool(_NUMPY_TYPE.fullmatch(code))
        and others == (False, True)  # a copy, not numpy's own
    ),
    'torch.Size': lambda sizes: isinstance(sizes, (tuple, _Made)),
    'torch.device': lambda *device: True,
    'torch._utils._rebuild_parameter': lambda *parts: True,
    'torch._utils._rebuild_tensor': _is_tensor,
    'torch._utils._rebuild_tensor_v2': _is_tensor,
}
for _package in ('numpy.core', 'numpy._core'):
    _CALLS[f'{_package}.multiarray._reconstruct'] = _is_empty_array
    _CALLS[f'{_package}.multiarray.scalar'] = lambda kind, content: True
_CONSTANTS = dict(
    EMPTY_DICT=_Made('dict'),
    EMPTY_LIST=_Made('list'),
    EMPTY_SET=_Made('set'),
    EMPTY_TUPLE=(),
    NEWFALSE=False,
    NEWTRUE=True,
    NONE=None,
)
# Named, but never called: types of storages and numbers.
_NAMES = re.compile(
    r'torch\.((cuda\.)?[A-Z]\w*Storage|[a-z]+\d*)|numpy\.ndarray'
)
# What may get a state, and the part of the state that must be None.
_STATES = {
    'collections.OrderedDict': slice(0),
    _HISTORY: slice(0),
    'numpy.core.multiarray._reconstruct': slice(0),
    'numpy._core.multiarray._reconstruct': slice(0),
    'numpy.dtype': slice(2, 5),  # parts of structures
}


def _check_name(name: str) -> None:
    if name in _CALLS or _NAMES.fullmatch(name):
        return
    for pattern, what in _OTHER_TENSORS.items():
        if re.fullmatch(pattern, name):
            raise InputValueError(
                f'it holds {what}: weights must be dense, with values'
            )
    raise InputValueError(f'it asks for {name}, which is more than weights')


def _check_call(function: Any, arguments: Any) -> None:
    name = function.name if isinstance(function, _Global) else 'a value'
    rule = _CALLS.get(name)
    try:
        is_right = rule is not None and rule(*arguments)
    except TypeError:  # too many arguments, or too few
        is_right = False
    if is_right:
        return
    if rule is _is_tensor:
        raise InputValueError(
            'it holds a tensor that claims more numbers than it has'
        )
    raise InputValueError(
        f'it calls {name} with other arguments than checkpoints need'
    )


def _check_state(owner: Any, state: Any) -> None:
    must_be_none = _STATES.get(getattr(owner, 'maker', ''))
    if must_be_none is None or (
        must_be_none.stop and state[must_be_none] != (None,) * 3
    ):
        raise InputValueError('it sets the state of what has none')


def _check_keys(keys: Sequence[Any]) -> None:
    """Refuse tuples: nested ones may take hours to hash."""
    for key in keys:
        if not isinstance(key, (str, int, float, type(None))):
            raise InputValueError('it has keys that are not text or numbers')


def _storage(parts: Any, num_bytes: int) -> _Storage:
    is_known = isinstance(parts, tuple) and len(parts) >= 5
    length = parts[4] if is_known else None
    if not isinstance(length, int) or not 0 <= length <= num_bytes:
        raise InputValueError(
            'it holds a tensor that claims more numbers than the file has'
        )
    return _Storage(length)


def check_pickle(content: Union[bytes, BinaryIO], num_bytes: int) -> None:
    """Raise an error unless a pickle is that of a checkpoint.

    Args:
        content: The pickle, as bytes or in an open file, which is read to
            the pickle's end.
        num_bytes: Size of the file: no tensor may have more numbers.

    Raises:
        InputValueError: It asks for other things than weights and what
            MMEngine writes beside them, or for more than the file can hold.
        Exception: It is damaged.
    """
    # The operations that torch's unpickler knows, on a stack of stand-ins.
    stack: List[Any] = []
    marked: List[List[Any]] = []
    memo: Dict[int, Any] = {}
    value: Any  # what the operation takes
    for opcode, value, _ in pickletools.genops(content):
        name = opcode.name
        if name == 'MARK':
            marked.append(stack)
            stack = []
        elif name in ('TUPLE', 'APPENDS', 'SETITEMS'):
            items, stack = tuple(stack), marked.pop()
            if name == 'TUPLE':
                stack.append(items)
            elif name == 'SETITEMS':
                _check_keys(items[::2])
        elif name in ('TUPLE1', 'TUPLE2', 'TUPLE3'):
            start = len(stack) - int(name[-1])
            stack[start:] = [tuple(stack[start:])]
        elif name == 'GLOBAL':
            words = value.replace(' ', '.', 1)
            made = _Global(re.sub(r'^__builtin__\.', 'builtins.', words))
            _check_name(made.name)
            stack.append(made)
        elif name in ('REDUCE', 'NEWOBJ'):
            arguments, function = stack.pop(), stack.pop()
            _check_call(function, arguments)
            stack.append(_Made(function.name))
        elif name == 'BUILD':
            state = stack.pop()
            _check_state(stack[-1], state)
        elif name == 'BINPERSID':
            stack.append(_storage(stack.pop(), num_bytes))
        elif name in ('BINPUT', 'LONG_BINPUT'):
            memo[value] = stack[-1]
        elif name in ('BINGET', 'LONG_BINGET'):
            stack.append(memo[value])
        elif name == 'SETITEM':
            _check_keys(stack[-2:-1])
            del stack[-2:]
        elif name == 'APPEND':
            stack.pop()
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif opcode.arg is not None and name != 'PROTO':
            stack.append(value)  # numbers and text
