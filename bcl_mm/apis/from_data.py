"""What a config leaves to the data: the number and names of its classes."""

from __future__ import annotations

import copy
from typing import Any, Dict, Iterator, Optional, Sequence, Tuple

from mmengine.registry import DATASETS, DefaultScope

from bcl_mm.classes import count_classes
from bcl_mm.datasets.custom import CustomImages
from bcl_mm.datasets.table_dataset import TableDataset
from bcl_mm.utils.checkpoint import load_checkpoint
from bcl_mm.utils.errors import InputValueError

FROM_DATA = 'from_data'
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
# Where the config of a dataset wrapper has the datasets inside.
_WRAPPED = ('dataset', 'datasets')


def nested_dicts(
    part: Any, keys: Optional[Sequence[str]] = None
) -> Iterator[Dict[str, Any]]:
    """All dicts in a part of a config, the outer ones first.

    Args:
        part: Any value of a config.
        keys: Keys of dicts to follow. Defaults to None: all.
    """
    if isinstance(part, dict):
        yield part
        part = [part[key] for key in keys or part if key in part]
    if isinstance(part, (list, tuple)):
        for entry in part:
            yield from nested_dicts(entry, keys)


def dataset_configs(
    cfg: Dict[str, Any], loaders: Sequence[str] = LOADERS
) -> Iterator[Tuple[str, Dict[str, Any]]]:
    """Loaders and their dataset configs, including those in wrappers."""
    for loader in loaders:
        dataset = (cfg.get(loader) or {}).get('dataset')
        for config in nested_dicts(dataset, _WRAPPED):
            yield loader, config


def _is_a(config: Dict[str, Any], base: type) -> bool:
    """Whether a dataset's config names a class derived from ``base``."""
    kind = config.get('type')
    if isinstance(kind, str):
        with DATASETS.switch_scope_and_registry(None) as registry:
            kind = registry.get(kind)
    return isinstance(kind, type) and issubclass(kind, base)


def for_checking(config: Any, collect_problems: bool = True) -> Any:
    """Copy of a dataset's config, without pipeline and checks of files.

    Args:
        config: The config of a dataset or of a wrapper.
        collect_problems: Whether readers go on after a problem, see
            :class:`~bcl_mm.datasets.table_dataset.TableDataset`. Defaults to
            True.
    """
    if not isinstance(config, dict):
        return config
    config = copy.deepcopy(config)
    for part in nested_dicts(config, _WRAPPED):
        if 'pipeline' in part:
            part['pipeline'] = []
        if _is_a(part, TableDataset):
            part['check_files'] = False
            part['collect_problems'] = collect_problems
    return config


def _count_in_checkpoint(content: Dict[str, Any]) -> int:
    """Number of classes of a checkpoint, 0 if it does not tell."""
    counts = content.get('meta', {}).get('class_counts')
    if counts is None:  # a converted one
        weights = content.get('state_dict', content)
        counts = weights.get('head.classifier.weight', ())
    return len(counts)


def _count_in_data(cfg: Dict[str, Any]) -> int:
    loader = cfg.get('train_dataloader')
    if loader is None:
        raise InputValueError(
            f'num_classes={FROM_DATA!r} is counted in the training set or '
            'read from a checkpoint: the config needs train_dataloader, or a '
            'number'
        )
    dataset = for_checking(loader['dataset'], collect_problems=False)
    return len(count_classes(DATASETS.build(dataset)))


def resolve_num_classes(
    cfg: Dict[str, Any], checkpoint: Optional[str] = None
) -> None:
    """Replace ``num_classes='from_data'`` in a config by the number.

    Wherever the model has it: in its head, and in a loss that needs it. With
    a checkpoint, :class:`CustomImages` take its class names, too: its labels
    mean those classes, and testing does not need the training set.

    Args:
        cfg: Config, changed in place.
        checkpoint: Path or address of the checkpoint (see
            :func:`~bcl_mm.utils.downloads.fetch`) that is tested, or that
            training resumes from. Defaults to None: the classes of
            ``train_dataloader`` are counted, without reading an image.

    Raises:
        InputValueError: Neither a training set nor a checkpoint gives the
            number, or one of them is damaged.
        InputFileError: One of them does not exist.
    """
    parts = nested_dicts(cfg.get('model'))
    unresolved = [p for p in parts if p.get('num_classes') == FROM_DATA]
    scope = cfg.get('default_scope', 'mmpretrain')
    with DefaultScope.overwrite_default_scope(scope):
        datasets = [config for _, config in dataset_configs(cfg)]
        custom = [d for d in datasets if _is_a(d, CustomImages)]
        content = {}
        if checkpoint and (unresolved or custom):
            content = load_checkpoint(checkpoint)
        names = content.get('meta', {}).get('dataset_meta', {}).get('classes')
        for dataset in custom if names else ():
            dataset.setdefault('classes', list(names))
        if unresolved:
            number = _count_in_checkpoint(content) or _count_in_data(cfg)
            for part in unresolved:
                part['num_classes'] = number
