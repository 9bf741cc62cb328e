"""What a config leaves to the data: the number and names of its classes."""

from __future__ import annotations

from typing import Any, Dict, Iterator, Optional, Sequence, Tuple

from mmengine.registry import DATASETS, DefaultScope

from bcl_mm.classes import count_classes
from bcl_mm.datasets.custom import CustomImages
from bcl_mm.datasets.table import TableDataset
from bcl_mm.utils.checkpoint import load_checkpoint
from bcl_mm.utils.errors import InputValueError

FROM_DATA = 'from_data'
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def _kind(config: dict) -> Any:
    """The class that a dataset's config names, None if there is none."""
    kind = config.get('type')
    if isinstance(kind, str):
        with DATASETS.switch_scope_and_registry(None) as registry:
            kind = registry.get(kind)
    return kind if isinstance(kind, type) else None


def for_checking(config: Any) -> Any:
    """A dataset's config without pipeline, its files yet unchecked."""
    if not isinstance(config, dict):
        return config
    config = dict(config)
    if 'pipeline' in config:
        config['pipeline'] = []
    if issubclass(_kind(config) or object, TableDataset):
        config['check_files'] = False
    if 'dataset' in config:
        config['dataset'] = for_checking(config['dataset'])
    if 'datasets' in config:
        config['datasets'] = [
            for_checking(part) for part in config['datasets']
        ]
    return config


def dataset_configs(
    cfg: dict, loaders: Sequence[str] = LOADERS
) -> Iterator[Tuple[str, dict]]:
    """Loaders and their dataset configs, those in wrappers too."""

    def walk(dataset: Any) -> Iterator[dict]:
        if isinstance(dataset, dict):
            yield dataset
            yield from walk(dataset.get('dataset'))
            for part in dataset.get('datasets', ()):
                yield from walk(part)

    for loader in loaders:
        if cfg.get(loader) is not None:
            for dataset in walk(cfg[loader].get('dataset')):
                yield loader, dataset


def _asking(model: Any) -> Iterator[dict]:
    """Parts of a model's config that ask for the number of classes."""
    if isinstance(model, dict):
        if model.get('num_classes') == FROM_DATA:
            yield model
        model = list(model.values())
    if isinstance(model, (list, tuple)):
        for part in model:
            yield from _asking(part)


def _classes_of_checkpoint(content: Dict[str, Any]) -> Optional[int]:
    """Number of classes of a checkpoint, None if it does not tell."""
    counts = content.get('meta', {}).get('class_counts')
    if counts is not None:
        return len(counts)
    # One that convert_checkpoint.py has written.
    weight = content.get('state_dict', content).get('head.classifier.weight')
    return None if weight is None else len(weight)


def _classes_of_data(cfg: dict) -> int:
    loader = cfg.get('train_dataloader')
    if loader is None:
        raise InputValueError(
            f'num_classes={FROM_DATA!r} is counted in the training set or '
            'read in a checkpoint: the config needs train_dataloader, or a '
            'number'
        )
    return len(count_classes(DATASETS.build(for_checking(loader['dataset']))))


def resolve_num_classes(cfg: dict, checkpoint: Optional[str] = None) -> None:
    """Put the number of classes in place of ``'from_data'``, in a config.

    Wherever the model says ``num_classes='from_data'``: in its head, and in
    a loss that must know. With a checkpoint, :class:`CustomImages` take its
    class names, too: its labels mean those classes, and to test it the
    training set need not be there.

    Args:
        cfg: Config, changed in place.
        checkpoint: Path or address of the checkpoint (see
            :func:`~bcl_mm.models.pretrained.fetch`) that is tested, or that
            training resumes from. Defaults to None: the classes of
            ``train_dataloader`` are counted, without reading an image.

    Raises:
        ValueError: There is neither a training set nor a checkpoint that
            tells, or one of them is broken.
        OSError: One of them is not there.
    """
    asking = list(_asking(cfg.get('model')))
    scope = cfg.get('default_scope', 'mmpretrain')
    with DefaultScope.overwrite_default_scope(scope):
        named = [
            dataset
            for _, dataset in dataset_configs(cfg)
            if issubclass(_kind(dataset) or object, CustomImages)
        ]
        content = {}
        if checkpoint and (asking or named):
            content = load_checkpoint(checkpoint)
        names = content.get('meta', {}).get('dataset_meta', {}).get('classes')
        for dataset in named if names else ():
            dataset.setdefault('classes', list(names))
        if asking:
            number = _classes_of_checkpoint(content) or _classes_of_data(cfg)
            for part in asking:
                part['num_classes'] = number
