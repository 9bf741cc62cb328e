"""The check of all data sets of a config."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any, Dict, List, Tuple

from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope

from bcl_mm.apis.config import check_data_roots
from bcl_mm.apis.from_data import FROM_DATA, LOADERS, for_checking
from bcl_mm.classes import shot_groups
from bcl_mm.datasets import audit
from bcl_mm.datasets.audit import Split
from bcl_mm.utils.errors import described
from bcl_mm.utils.files import CsvWriter, open_atomically
from bcl_mm.utils.progress import show_progress


def _load_splits(cfg: Config) -> Tuple[List[Split], List[str], List[str]]:
    """Splits of the config, problems, and notes."""
    configs: Dict[str, Any] = {}
    splits, problems, notes = [], [], []
    for loader in LOADERS:
        if cfg.get(loader) is None:
            continue
        name = loader.split('_')[0]
        # One that cannot be built must not hide the problems of the others.
        try:
            configs[name] = for_checking(cfg[loader].dataset)
            if name == 'test' and configs.get('val') == configs['test']:
                notes.append('test is the same data set as val')
                continue
            check_data_roots(cfg, (loader,))
            print(f'Reading {name} ...', flush=True)
            dataset = DATASETS.build(configs[name])
            splits.append(Split.from_dataset(name, dataset))
            notes += [n for n in audit.notes_of(dataset) if n not in notes]
            other = audit.unpublished_list(dataset)
            if other:
                notes.append(
                    f'{name}: {other} is not one of the published lists of '
                    f'{type(dataset).__name__}: its figures are not compared'
                )
        except Exception as error:
            message = ' '.join(str(error).split())  # on one line
            problems.append(f'{name}: {message or described(error)}')
    return splits, problems, notes


def _check_files(splits: List[Split], fast: bool, workers: int) -> List[str]:
    """Find problems of the files; set the digests of the splits."""
    paths = list(dict.fromkeys(p for s in splits for p in s.paths if p))
    check = partial(audit.check_image, fast=fast)
    progress = partial(show_progress, total=len(paths), what='files checked')
    if fast or workers == 1 or len(paths) < 100:
        results = list(progress(map(check, paths)))
    else:
        with ProcessPoolExecutor(workers) as pool:
            results = list(progress(pool.map(check, paths, chunksize=32)))
    result_of = dict(zip(paths, results))
    problems: Dict[str, None] = {}  # each once, in this order
    for split in splits:
        for i, path in enumerate(split.paths):
            if path:
                problem, split.digests[i] = result_of[path]
                if problem:
                    name = split.image_name(i)
                    problems[f'{split.name}: {name} {problem}'] = None
    return list(problems)


def _head_problems(cfg: Config, train: Split) -> List[str]:
    """Problems of a classifier whose size is not that of the data."""
    head = (cfg.get('model') or {}).get('head')
    configured = head.get('num_classes') if isinstance(head, dict) else None
    found = len(train.class_counts)
    if configured in (None, FROM_DATA, found):
        return []
    return [
        f'train: there are {found} classes, but model.head.num_classes is '
        f'{configured}'
    ]


def _compare_splits(splits: List[Split]) -> Tuple[List[str], List[str]]:
    """Problems and notes of each split, and of train with the others."""
    problems, notes = [], []
    for split in splits:
        problems += audit.figure_problems(split)
        problems += audit.duplicate_problems(split)
        empty = audit.empty_classes(split)
        if empty and split.name == 'train':
            problems.append(f'train: there is no image of class {empty}')
        elif empty:
            notes.append(f'{split.name} has no image of class {empty}')
    train = splits[0]
    for other in splits[1:] if train.name == 'train' else ():
        problems += audit.class_problems(train, other)
        problems += audit.leak_problems(train, other)
        same = audit.same_content(train, other)
        if same:
            i, j = same[0]
            notes.append(
                f'{len(same)} images of {other.name} are the same as one of '
                f'train, bit for bit: {other.image_name(j)} and '
                + train.image_name(i)
                + (' ...' if len(same) > 1 else '')
            )
    return problems, notes


def check_datasets(
    cfg: Config, fast: bool = False, workers: int = 1
) -> Tuple[List[Split], List[str], List[str]]:
    """Check the data sets of a config; show the progress.

    Args:
        cfg: The config.
        fast: Only check that files exist and are not empty; decode none.
            Defaults to False.
        workers: Processes that decode images. Defaults to 1.

    Returns:
        The splits that could be read, problems, and notes.
    """
    scope = cfg.get('default_scope', 'mmpretrain')
    with DefaultScope.overwrite_default_scope(scope):
        splits, problems, notes = _load_splits(cfg)
    if splits:
        problems += _check_files(splits, fast, workers)
        found, more_notes = _compare_splits(splits)
        problems += found
        notes += more_notes
        if splits[0].name == 'train':
            problems += _head_problems(cfg, splits[0])
    return splits, problems, notes


def describe_split(split: Split) -> str:
    """Figures of a split, as text."""
    counts, labels = split.class_counts, split.labels
    nonempty = counts[counts > 0]
    lines = [
        f'{split.name}: {len(labels):,} images, {len(counts):,} classes, '
        f'labels {labels.min()} to {labels.max()}',
        f'  images per class: {nonempty.max():,} to {nonempty.min():,}, '
        f'mean {nonempty.mean():.1f}',
    ]
    if split.name == 'train':
        groups = shot_groups(counts)
        lines += [
            f'  imbalance factor: {nonempty.max() / nonempty.min():.1f}',
            '  classes: '
            + ', '.join(f'{v.sum():,} {k}-shot' for k, v in groups.items()),
        ]
    return '\n'.join(lines)


def write_counts(path: Path, splits: List[Split]) -> None:
    """Write the images per class of all splits to a CSV file.

    Raises:
        InputFileError: The file cannot be written.
    """
    names = max((split.classes or () for split in splits), key=len)
    columns = [names, *(split.class_counts for split in splits)]
    with open_atomically(path, newline='') as file:
        writer = CsvWriter(file)
        writer.writerow(['label', 'name', *(split.name for split in splits)])
        for label, row in enumerate(zip_longest(*columns, fillvalue='')):
            writer.writerow([label, *row])
