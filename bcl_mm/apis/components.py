"""Components of a config compared with what the registries have."""

from __future__ import annotations

import contextlib
import difflib
import inspect
from importlib import import_module
from typing import Any, Collection, Dict, Iterable, List, Sequence, Set, Tuple

from mmengine import registry as root
from mmengine.dataset import (
    ClassBalancedDataset,
    ConcatDataset,
    RepeatDataset,
)
from mmengine.registry import DefaultScope, Registry
from mmpretrain import registry as stock
from mmpretrain.datasets import KFoldDataset
from mmpretrain.models import ImageClassifier

from bcl_mm.apis.arguments import Arguments, arguments_of
from bcl_mm.datasets.wrapping import WrappedDataset
from bcl_mm.utils.errors import InputError, shown
from bcl_mm.utils.folds import check_fold_numbers

Path = Tuple[str, ...]

_REGISTRIES = [
    registry
    for module in (root, stock)
    for registry in vars(module).values()
    if isinstance(registry, Registry) and registry.parent is None
]
# Arguments whose components are of a registry of their own.
_BY_KEY = dict(
    augments=stock.BATCH_AUGMENTS,
    batch_sampler=root.DATA_SAMPLERS,
    collate_fn=root.FUNCTIONS,
    dataset=root.DATASETS,
    datasets=root.DATASETS,
    init_cfg=root.WEIGHT_INITIALIZERS,
    optimizer=root.OPTIMIZERS,
    pipeline=root.TRANSFORMS,
    policies=root.TRANSFORMS,
    sampler=root.DATA_SAMPLERS,
    transforms=root.TRANSFORMS,
    vis_backends=root.VISBACKENDS,
    worker_init_fn=root.FUNCTIONS,
)
# Keys that builders take from the dicts of norms, weights and policies.
_MORE = dict(
    init_cfg=('override',),
    norm_cfg=('requires_grad',),
    policies=('magnitude_key', 'magnitude_range'),
)
# Arguments whose dicts have a type that is no component: LoRA's, metainfo.
_PLAIN = 'metainfo', 'targets'
# Wrappers without a subset, or whose subset would be that of what is inside.
_INDIVISIBLE = (
    *(ClassBalancedDataset, ConcatDataset, KFoldDataset, RepeatDataset),
    WrappedDataset,
)
PREPROCESSOR = 'mmpretrain.ClsDataPreprocessor'  # the default
# What MMEngine itself takes from the dict of a component.
_TAKEN = ('type', '_scope_', '_delete_')


def dotted(path: Iterable[str]) -> str:
    """A path as it is written on the command line."""
    return '.'.join(path)


class ComponentCheck:
    """A walk over components of a config, which collects problems.

    Args:
        allowed: Paths of keys that are new on purpose.
    """

    def __init__(self, allowed: Collection[Path] = ()) -> None:
        self.allowed = set(allowed)
        self.problems: Dict[Path, str] = {}
        self.missing: Dict[Path, str] = {}
        self.checked: Set[Path] = set()  # dicts whose keys were compared

    def problem(self, path: Path, message: str) -> None:
        """Note a problem, unless the key was allowed."""
        if not any(path[: len(key)] == key for key in self.allowed):
            self.problems.setdefault(path, message)

    def lacks(self, path: Path, what: str) -> None:
        """Note what a training or a test needs."""
        self.missing.setdefault(path, f'{dotted(path)} needs {what}')

    def is_dict(self, path: Path, config: Any) -> bool:
        """Whether this is a dict; a plain value is a problem."""
        if config is None or isinstance(config, (str, int, float, list)):
            self.problem(
                path,
                f'{dotted(path)} must be a dict, got {shown(config)}',
            )
        return isinstance(config, dict)

    def unknown(self, path: Path, of: str, known: Iterable[str]) -> None:
        """Note a key that nothing reads."""
        *parent, name = path
        known = sorted(known)
        near = difflib.get_close_matches(name, known, 1)
        if near:
            meant = f'is {dotted([*parent, *near])} meant?'
        else:
            meant = f'there are {", ".join(known)}' if known else 'it has none'
        self.problem(path, f'unknown setting {dotted(path)}{of}: {meant}')

    def keys(
        self,
        path: Path,
        config: Dict[str, Any],
        arguments: Arguments,
        more: Iterable[str] = (),
        of: str = '',
    ) -> None:
        """Compare the keys of a dict with the arguments that are taken.

        Text for a flag, such as ``no``, would be taken for True.
        """
        self.checked.add(path)
        known = arguments.names.union(more)
        for name, value in config.items():
            if name in arguments.flags and isinstance(value, str):
                key = *path, name
                self.problem(
                    key,
                    f'{dotted(key)} must be True or False, got {value!r}',
                )
            if name in known or name in _TAKEN:
                continue
            # Of what takes anything, only a near miss is wrong.
            near = difflib.get_close_matches(name, known, 1, 0.85)
            if near or not arguments.is_open:
                self.unknown((*path, name), of, known)

    def find(self, path: Path, kind: Any, registry: Registry) -> Any:
        """The component of a type; None, with a problem, if unknown."""
        if not isinstance(kind, str):
            if callable(kind):
                return kind
            self.problem(
                (*path, 'type'),
                f'{dotted(path)}.type must be the name of a component or a '
                f'class, got {shown(kind)}',
            )
            return None
        others = _REGISTRIES if registry is root.MODELS else ()
        for candidate in (registry, *others):
            found = _in_scope(candidate).get(kind)
            if found is not None:
                return found
        names = _names_of(registry)
        similar = difflib.get_close_matches(kind, names, 3, 0.7)
        # Only a Runner builds everything: a check of data needs no pipeline.
        self.missing[path + ('type',)] = (
            f'{dotted(path)}.type {kind!r} is not the name of a '
            f'{registry.name}'
            + (f'; similar are {", ".join(similar)}' if similar else '')
            + '. If it is your own, import its module with custom_imports'
        )
        return None

    def component(
        self,
        path: Path,
        config: Any,
        registry: Registry,
        default: Any = None,
        more: Sequence[str] = (),
        hidden: Collection[str] = (),
    ) -> Any:
        """Check what a registry builds; returns its class, if known.

        Args:
            path: Where the config has it.
            config: Its dict. An object that is built already passes.
            registry: The registry that builds it.
            default: Its class or name if the dict has no type.
            more: Keys that MMEngine takes from the dict.
            hidden: Arguments that MMEngine gives.
        """
        if not self.is_dict(path, config):
            return None
        kind = config.get('type', default)
        if kind is None:
            self.lacks(path, f'a type, the name of a {registry.name}')
            return None
        with DefaultScope.overwrite_default_scope(config.get('_scope_')):
            found = self.find(path, kind, registry)
            if found is not None:
                arguments = arguments_of(found)
                names = arguments.names - set(hidden)
                arguments = arguments._replace(names=names)
                label = getattr(found, '__name__', str(kind))
                self.keys(path, config, arguments, more, f' of {label}')
            if found is KFoldDataset:
                self.folds(path, config, registry)
            if _is_classifier(found):
                self.parts_of_classifier(path, config)
            # What takes anything may change what is inside before it is built.
            is_closed = found is not None and not arguments.is_open
            if registry is not root.MODELS or is_closed:
                self.children(path, config, registry)
        return found

    def folds(
        self, path: Path, config: Dict[str, Any], registry: Registry
    ) -> None:
        """Check a KFoldDataset, which is divided as soon as it is built."""
        names = 'fold', 'num_splits', 'test_mode', 'seed'
        given = {name: config[name] for name in names if name in config}
        try:
            check_fold_numbers(**given, prefix=f'{dotted(path)}.')
        except InputError as error:
            self.problem(path, str(error))
        inner = config.get('dataset')
        kind = inner.get('type') if isinstance(inner, dict) else None
        if isinstance(kind, str):
            kind = _in_scope(registry).get(kind)
        if inspect.isclass(kind) and issubclass(kind, _INDIVISIBLE):
            remedy = 'put it around each data set inside'
            if kind is KFoldDataset:
                remedy = 'divide the data once'
            self.problem(
                (*path, 'dataset'),
                f'{dotted(path)}.dataset must be a data set that KFoldDataset '
                f'can divide, got {kind.__name__}: {remedy}',
            )

    def parts_of_classifier(self, path: Path, config: Dict[str, Any]) -> None:
        """Check the dicts of an ImageClassifier that need no type."""
        preprocessor = config.get('data_preprocessor')
        if preprocessor is not None:
            inner = (*path, 'data_preprocessor')
            self.component(inner, preprocessor, root.MODELS, PREPROCESSOR)
        if config.get('head', ...) is None:
            self.lacks(path, 'a head')
        mixing = config.get('train_cfg')
        if isinstance(mixing, dict):
            names = Arguments(frozenset(('augments', 'probs')), False)
            self.keys((*path, 'train_cfg'), mixing, names)

    def children(self, path: Path, part: Any, registry: Registry) -> None:
        """Check components inside the arguments of a component."""
        entries: Iterable[Tuple[Any, Any]] = ()
        if isinstance(part, dict):
            entries = part.items()
        elif isinstance(part, (list, tuple)):
            entries = enumerate(part)
        for key, value in entries:
            inner = (*path, str(key))
            kind = _BY_KEY.get(key, registry)
            if isinstance(value, dict) and 'type' in value:
                name = key if isinstance(key, str) else path[-1]
                self.component(inner, value, kind, more=_MORE.get(name, ()))
            elif key not in _PLAIN:
                self.children(inner, value, kind)


def _is_classifier(found: Any) -> bool:
    return inspect.isclass(found) and issubclass(found, ImageClassifier)


def _in_scope(registry: Registry) -> Registry:
    """The registry that the default scope has instead of a root's."""
    scope = DefaultScope.get_current_instance()
    name = 'mmengine' if scope is None else scope.scope_name
    with contextlib.suppress(ImportError):
        import_module(f'{name}.registry')
    return registry.children.get(name, registry)


def _names_of(registry: Registry) -> List[str]:
    """Names of the components of a registry, as a config has them here."""
    scoped = _in_scope(registry)
    scoped.import_from_location()
    names = [*scoped.module_dict]
    if scoped.parent is not None:
        names += scoped.parent.module_dict
    ours = registry.children.get('bcl_mm')
    if ours is not None:
        ours.import_from_location()
        names += [f'bcl_mm.{name}' for name in ours.module_dict]
    return names
