"""The arguments that a component of a config takes."""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from typing import Any, FrozenSet, NamedTuple, Optional, Set

from mmengine.hooks import CheckpointHook, EMAHook
from mmengine.model import ExponentialMovingAverage
from mmengine.runner import Runner
from torch import nn

_KINDS = (
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.KEYWORD_ONLY,
)
# Where **kwargs go that a constructor keeps for later.
_KEPT = {
    CheckpointHook: Runner.save_checkpoint,
    EMAHook: ExponentialMovingAverage,
}


class Arguments(NamedTuple):
    """Names of arguments; ``is_open`` if any other is taken, too.

    ``flags`` are those that are True or False.
    """

    names: FrozenSet[str]
    is_open: bool
    flags: FrozenSet[str] = frozenset()


class _Use(NamedTuple):
    """How a function uses its ``**kwargs``."""

    names: Set[str]  # that it reads itself
    given: Set[str]  # that it gives its parent besides
    goes_on: bool  # to the parent
    is_open: bool  # to something else, or nowhere


def _use_of(function: Any, name: str) -> _Use:
    """How a constructor uses its ``**name``, from its source."""
    names: Set[Any] = set()
    given: Set[str] = set()
    goes_on = False
    try:
        source = textwrap.dedent(inspect.getsource(function))
        tree = ast.parse(source)
    except (OSError, SyntaxError, TypeError):
        return _Use(names, given, goes_on, True)

    def is_kwargs(node: Any) -> bool:
        return isinstance(node, ast.Name) and node.id == name

    explained: Set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            passed = [k.value for k in node.keywords if k.arg is None]
            passed = [value for value in passed if is_kwargs(value)]
            if passed and getattr(node.func, 'attr', '') == '__init__':
                goes_on = True
                explained.update(map(id, passed))
                given |= {k.arg for k in node.keywords if k.arg}
            if (
                isinstance(node.func, ast.Attribute)
                and is_kwargs(node.func.value)
                and node.func.attr in ('get', 'pop', 'setdefault')
                and node.args
                and isinstance(node.args[0], ast.Constant)
            ):
                explained.add(id(node.func.value))
                names.add(node.args[0].value)
        elif isinstance(node, ast.Assign) and is_kwargs(node.targets[0]):
            if isinstance(node.value, ast.Dict):  # {**kwargs, ...}
                explained.update(
                    map(id, [node.targets[0], *node.value.values])
                )
        elif isinstance(node, ast.Subscript) and is_kwargs(node.value):
            if isinstance(node.slice, ast.Constant):
                explained.add(id(node.value))
                names.add(node.slice.value)
        elif (
            isinstance(node, ast.Compare)
            and is_kwargs(node.comparators[-1])
            and isinstance(node.left, ast.Constant)
        ):
            explained.add(id(node.comparators[-1]))
            names.add(node.left.value)
    uses = [node for node in ast.walk(tree) if is_kwargs(node)]
    is_open = not uses or any(id(node) not in explained for node in uses)
    return _Use(names, given, goes_on, is_open)


@functools.cache
def arguments_of(component: Any) -> Arguments:
    """Names of the arguments of a class or a function.

    The ``**kwargs`` of a constructor are followed to its parents. They are
    taken for open where they go elsewhere (timm's models), or where there is
    no source to read.

    Args:
        component: The class, function or partial function.
    """
    owners = [component]
    if inspect.isclass(component):
        owners = [
            vars(c)['__init__']
            for c in component.__mro__
            if '__init__' in vars(c) and c not in (object, nn.Module)
        ]
    names: Set[str] = set()
    flags: Set[str] = set()
    given: Set[str] = set()

    def found(is_open: bool) -> Arguments:
        return Arguments(frozenset(names), is_open, frozenset(flags))

    for owner in owners:
        try:
            parameters = inspect.signature(owner).parameters.values()
        except (TypeError, ValueError):
            return found(True)
        own = {p.name for p in parameters if p.kind in _KINDS} - {'self'}
        names |= own - given
        flags |= {p.name for p in parameters if p.annotation in (bool, 'bool')}
        rest: Optional[str] = next(
            (p.name for p in parameters if p.kind is p.VAR_KEYWORD), None
        )
        if rest is None:
            return found(False)
        use = _use_of(inspect.unwrap(owner), rest)
        names |= use.names
        given |= use.given
        if use.is_open or not use.goes_on:
            break
    else:
        # The last parent, object or nn.Module, takes none.
        return found(not inspect.isclass(component))
    for kind, function in _KEPT.items():
        if inspect.isclass(component) and issubclass(component, kind):
            names |= set(inspect.signature(function).parameters)
    return found(use.is_open)
