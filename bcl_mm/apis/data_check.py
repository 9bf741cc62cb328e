"""The check of all data sets of a config."""

from __future__ import annotations

import contextlib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence

import numpy as np
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope

from bcl_mm.apis.config import check_data_roots
from bcl_mm.apis.from_data import FROM_DATA, LOADERS, for_checking
from bcl_mm.classes import shot_groups
from bcl_mm.datasets import audit
from bcl_mm.datasets.audit import Split
from bcl_mm.datasets.findings import Exclusion, Finding, Findings
from bcl_mm.datasets.fingerprints import FINGERPRINT, check_image
from bcl_mm.datasets.image_figures import describe_classes, describe_images
from bcl_mm.datasets.same_images import (
    check_mirrored_classes,
    check_near_duplicates,
    check_same_images,
)
from bcl_mm.utils.errors import InputError, counted, described
from bcl_mm.utils.files import CsvWriter, open_atomically
from bcl_mm.utils.progress import show_progress

_BRIEF = 3  # findings of a kind, where there is little room


@dataclass
class CheckResult(Findings):
    """What a check of the data found.

    Attributes:
        splits: The splits that could be read.
        excluded: Images that the data leave out already.
    """

    splits: List[Split] = field(default_factory=list)
    excluded: List[Exclusion] = field(default_factory=list)

    @property
    def to_exclude(self) -> List[Exclusion]:
        """Images that a new list must exclude: those of before, and more."""
        return list(dict.fromkeys([*self.excluded, *self.exclusions]))


def _load_splits(cfg: Config, result: CheckResult, fast: bool) -> None:
    """Add the splits of the config, and what their readers say."""
    configs: Dict[str, Any] = {}
    told = set()  # parts of one data set say the same
    unused_test = ''
    for loader in LOADERS:
        if cfg.get(loader) is None:
            continue
        name = loader.split('_')[0]
        # One that cannot be built must not hide the problems of the others.
        try:
            configs[name] = for_checking(cfg[loader].dataset)
            if name == 'test' and configs.get('val') == configs['test']:
                note = 'test is the same data set as val' + unused_test
                result.notes.append(Finding('same data set', note))
                continue
            check_data_roots(cfg, (loader,))
            print(f'Reading {name} ...', flush=True)
            dataset = DATASETS.build(configs[name])
            result.splits.append(Split.from_dataset(name, dataset, fast))
            if name == 'val' and audit.has_unused_test_part(dataset):
                unused_test = (
                    '; the test part of the data is neither checked nor used '
                    'without test_dataloader.dataset.split=test'
                )
            result.excluded += audit.excluded_from(dataset)
            notes = audit.notes_of(dataset)
            other = audit.unpublished_list(dataset)
            if other:
                notes.append(
                    f'{name}: {other} is not one of the published lists of '
                    f'{type(dataset).__name__}: its figures are not compared'
                )
            problems = audit.problems_of(dataset)
            for texts, findings in (
                (notes, result.notes),
                (problems, result.problems),
            ):
                new = [text for text in texts if text not in told]
                findings += [Finding('reading', text) for text in new]
                told.update(new)
        except Exception as error:
            text = str(error)
            # Ours may tell several problems, each on a line.
            several = isinstance(error, InputError) and text.splitlines()
            *earlier, last = several or [text]
            last = ' '.join(last.split()) or described(error)
            if last not in told:
                earlier.append(f'{name}: {last}')
            new = [text for text in earlier if text not in told]
            result.problems += [Finding('reading', text) for text in new]
            told.update(new, [last])


def _check_files(splits: List[Split], fast: bool, workers: int) -> Findings:
    """Find problems of the files; set the fingerprints of the splits."""
    found = Findings()
    paths = list(dict.fromkeys(p for s in splits for p in s.paths if p))
    check = partial(check_image, fast=fast)
    progress = partial(show_progress, total=len(paths), what='files checked')
    fingerprints = np.zeros(len(paths), FINGERPRINT)
    problem_of = {}
    with contextlib.ExitStack() as stack:
        if fast or workers == 1 or len(paths) < 100:
            results: Iterator[Any] = map(check, paths)
        else:
            pool = stack.enter_context(ProcessPoolExecutor(workers))
            results = pool.map(check, paths, chunksize=32)
        for i, (problem, row) in enumerate(progress(results)):
            fingerprints[i] = row
            if problem:
                problem_of[paths[i]] = problem
    number = {path: i for i, path in enumerate(paths)}
    for split in splits:
        is_file = np.array([bool(path) for path in split.paths])
        rows = [number[path] for path in split.paths if path]
        split.fingerprints[is_file] = fingerprints[rows]
        for i, path in enumerate(split.paths if problem_of else ()):
            if path in problem_of:
                what = problem_of[path]
                text = f'{split.name}: {split.image_name(i)} {what}'
                found.problems.append(Finding('damaged files', text))
                entry = (path, split.class_name(i), split.name, what)
                found.exclusions.append(Exclusion(*entry))
    return found


def _check_head(cfg: Config, train: Split) -> Findings:
    """Whether the classifier has the size of the data."""
    head = (cfg.get('model') or {}).get('head')
    configured = head.get('num_classes') if isinstance(head, dict) else None
    found = len(train.class_counts)
    if configured in (None, FROM_DATA, found):
        return Findings()
    text = (
        f'train: there are {found} classes, but model.head.num_classes is '
        f'{configured}'
    )
    return Findings([Finding('classes', text)])


def _check_classes(splits: List[Split]) -> Findings:
    """Check the figures of each split, and the classes of all."""
    found = Findings()

    def add(to: List[Finding], kind: str, texts: Sequence[str]) -> None:
        to += [Finding(kind, text) for text in texts]

    for split in splits:
        problems = audit.figure_problems(split)
        add(found.problems, 'published figures', problems)
        empty = audit.empty_classes(split)
        if empty and split.name == 'train':
            if split.has_told_empty_classes:
                continue
            text = f'train: there is no image of class {empty}'
            add(found.problems, 'classes', [text])
        elif empty:
            text = f'{split.name} has no image of class {empty}'
            add(found.notes, 'classes', [text])
    train = splits[0]
    for other in splits[1:] if train.name == 'train' else ():
        add(found.problems, 'classes', audit.class_problems(train, other))
    return found


def check_datasets(
    cfg: Config, fast: bool = False, workers: int = 1
) -> CheckResult:
    """Check the data sets of a config; show the progress.

    Args:
        cfg: The config.
        fast: Only check that files exist and are not empty; decode none.
            Defaults to False.
        workers: Processes that decode images. Defaults to 1.

    Example:
        >>> from bcl_mm.apis.training import open_config
        >>> cfg = open_config('ce_resnet8_digits_lt')
        >>> result = check_datasets(cfg, fast=True)
        Reading train ...
        Reading val ...
        Reading test ...
        >>> [split.name for split in result.splits]
        ['train', 'val', 'test']
        >>> result.problems
        []
    """
    result = CheckResult()
    scope = cfg.get('default_scope', 'mmpretrain')
    with DefaultScope.overwrite_default_scope(scope):
        _load_splits(cfg, result, fast)
    splits = result.splits
    if splits:
        result.add(_check_files(splits, fast, workers))
        result.add(_check_classes(splits))
        result.add(check_same_images(splits))
        result.add(check_near_duplicates(splits))
        if splits[0].name == 'train':
            result.add(check_mirrored_classes(splits[0]))
            result.add(_check_head(cfg, splits[0]))
    return result


def describe_split(split: Split) -> str:
    """Figures of a split, as text."""
    counts, labels = split.class_counts, split.labels
    nonempty = counts[counts > 0]
    lines = [
        f'{split.name}: {counted(len(labels), "image")}, '
        f'{counted(len(counts), "class")}, '
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
            *describe_classes(split),
        ]
    return '\n'.join(lines)


def describe(result: CheckResult, most: Optional[int] = 10) -> str:
    """All that a check found, as text.

    Args:
        result: What it found.
        most: Findings of one kind that are written out. Defaults to 10;
            None: all.
    """
    lines = [describe_split(split) for split in result.splits]
    if lines:
        lines += describe_images(result.splits)
    return '\n'.join([*lines, '', result.describe(most)])


def describe_briefly(result: CheckResult, path: Path) -> str:
    """The sizes of the data and the findings, in a few lines.

    Args:
        result: What a check found.
        path: The file that has all.
    """
    lines = []
    for split in result.splits:
        first, spread, *more = describe_split(split).splitlines()
        lines.append(f'{first.rpartition(", ")[0]}; {spread.strip()}')
        if more:  # of the training set
            lines.append(f'  {"; ".join(map(str.strip, more[:2]))}')
    if lines:
        images = map(str.strip, describe_images(result.splits)[:2])
        lines.append(', '.join(images))
    found = result.describe(_BRIEF, str(path)).replace('\n\n', '\n')
    lines += [found, f'Histogram, formats and all findings: {path}']
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
