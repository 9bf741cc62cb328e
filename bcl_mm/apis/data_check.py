"""The check of all data sets of a config."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any, Dict, List, Optional

from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope

from bcl_mm.apis.config import check_data_roots
from bcl_mm.apis.from_data import FROM_DATA, LOADERS, for_checking
from bcl_mm.classes import shot_groups
from bcl_mm.datasets import audit
from bcl_mm.datasets.audit import Split
from bcl_mm.datasets.findings import Finding, each_once, shorten_findings
from bcl_mm.utils.errors import described
from bcl_mm.utils.files import CsvWriter, open_atomically
from bcl_mm.utils.progress import show_progress


@dataclass
class CheckResult:
    """What a check of the data found.

    Attributes:
        splits: The splits that could be read.
        problems: What must be repaired before training.
        warnings: What should be looked at.
        notes: What is good to know.
    """

    splits: List[Split] = field(default_factory=list)
    problems: List[Finding] = field(default_factory=list)
    warnings: List[Finding] = field(default_factory=list)
    notes: List[Finding] = field(default_factory=list)

    def describe(self, most: Optional[int] = 10) -> str:
        """All findings as text, under titles.

        Args:
            most: Findings of one kind that are written out. Defaults to 10;
                None: all.
        """
        blocks = []
        for title in ('notes', 'warnings', 'problems'):
            findings = getattr(self, title)
            if findings:
                lines = shorten_findings(findings, most)
                title = f'{title.capitalize()} ({len(findings):,}):'
                blocks.append('\n'.join([title, *lines]))
        if not self.problems:
            blocks.append('No problems.')
        return '\n\n'.join(blocks)


def _load_splits(cfg: Config, result: CheckResult) -> None:
    """Add the splits of the config, and what their readers say."""
    configs: Dict[str, Any] = {}
    told = set()  # parts of one data set say the same
    for loader in LOADERS:
        if cfg.get(loader) is None:
            continue
        name = loader.split('_')[0]
        # One that cannot be built must not hide the problems of the others.
        try:
            configs[name] = for_checking(cfg[loader].dataset)
            if name == 'test' and configs.get('val') == configs['test']:
                note = 'test is the same data set as val'
                result.notes.append(Finding('same data set', note))
                continue
            check_data_roots(cfg, (loader,))
            print(f'Reading {name} ...', flush=True)
            dataset = DATASETS.build(configs[name])
            result.splits.append(Split.from_dataset(name, dataset))
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
            message = ' '.join(str(error).split())  # on one line
            message = message or described(error)
            if message not in told:
                text = f'{name}: {message}'
                result.problems.append(Finding('reading', text))
            told.add(message)


def _check_files(
    splits: List[Split], fast: bool, workers: int
) -> List[Finding]:
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
    problems = []
    for split in splits:
        for i, path in enumerate(split.paths):
            if path:
                problem, split.digests[i] = result_of[path]
                if problem:
                    text = f'{split.name}: {split.image_name(i)} {problem}'
                    problems.append(Finding('files', text))
    return each_once(problems)


def _head_problems(cfg: Config, train: Split) -> List[Finding]:
    """Problems of a classifier whose size is not that of the data."""
    head = (cfg.get('model') or {}).get('head')
    configured = head.get('num_classes') if isinstance(head, dict) else None
    found = len(train.class_counts)
    if configured in (None, FROM_DATA, found):
        return []
    text = (
        f'train: there are {found} classes, but model.head.num_classes is '
        f'{configured}'
    )
    return [Finding('model', text)]


def _compare_splits(result: CheckResult) -> None:
    """Add what each split, and train with the others, shows."""
    problems, notes = [], []
    for split in result.splits:
        problems += audit.figure_problems(split)
        problems += audit.duplicate_problems(split)
        empty = audit.empty_classes(split)
        if empty and split.name == 'train':
            problems.append(f'train: there is no image of class {empty}')
        elif empty:
            notes.append(f'{split.name} has no image of class {empty}')
    train = result.splits[0]
    for other in result.splits[1:] if train.name == 'train' else ():
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
    result.problems += [Finding('data', text) for text in problems]
    result.notes += [Finding('data', text) for text in notes]


def check_datasets(
    cfg: Config, fast: bool = False, workers: int = 1
) -> CheckResult:
    """Check the data sets of a config; show the progress.

    Args:
        cfg: The config.
        fast: Only check that files exist and are not empty; decode none.
            Defaults to False.
        workers: Processes that decode images. Defaults to 1.
    """
    result = CheckResult()
    scope = cfg.get('default_scope', 'mmpretrain')
    with DefaultScope.overwrite_default_scope(scope):
        _load_splits(cfg, result)
    if result.splits:
        result.problems += _check_files(result.splits, fast, workers)
        _compare_splits(result)
        if result.splits[0].name == 'train':
            result.problems += _head_problems(cfg, result.splits[0])
    return result


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
