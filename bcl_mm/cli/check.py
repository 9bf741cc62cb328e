"""Check the data sets of a config before training on them.

Reports their figures and lists every problem: missing and unreadable files,
labels and classes that do not agree, images that are there twice or both for
training and testing, and figures that differ from the published ones. Exits
with 1 if there is a problem, and with 2 if the command is wrong.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any, Dict, Iterable, List, Tuple

from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope

from bcl_mm.apis.config import add_cfg_options, check_data_roots, load_config
from bcl_mm.apis.from_data import FROM_DATA, LOADERS, for_checking
from bcl_mm.classes import shot_groups
from bcl_mm.datasets.audit import (
    Split,
    check_image,
    class_problems,
    duplicate_problems,
    empty_classes,
    figure_problems,
    leak_problems,
    notes_of,
    same_content,
    unpublished_list,
)
from bcl_mm.utils.progress import show_progress


def parse_args() -> Tuple[argparse.Namespace, Config]:
    """Parse the options and read the config."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('config', help='path of the config')
    add_cfg_options(parser)
    parser.add_argument(
        '--workers',
        type=int,
        default=os.cpu_count() or 1,
        metavar='N',
        help='processes that decode images (default: one per core)',
    )
    parser.add_argument(
        '--fast',
        action='store_true',
        help='only see that files exist and are not empty; decode none',
    )
    parser.add_argument(
        '--counts',
        type=Path,
        metavar='FILE',
        help='write the images per class to a CSV file',
    )
    args = parser.parse_args()
    if args.workers < 1:
        parser.error(f'--workers must be >= 1, got {args.workers}')
    if args.counts is not None and not args.counts.parent.is_dir():
        parser.error(f'--counts: there is no folder {args.counts.parent}')
    try:
        cfg = load_config(args)
    except Exception as error:  # a config is Python: anything may go wrong
        parser.error(f'{args.config}: {one_line(error)}')
    if not any(cfg.get(loader) for loader in LOADERS):
        parser.error(f'{args.config} has none of {", ".join(LOADERS)}')
    return args, cfg


def one_line(error: Exception) -> str:
    """An error's message on one line; its type, if it says nothing."""
    return ' '.join(str(error).split()) or type(error).__name__


def load_splits(cfg: Config) -> Tuple[List[Split], List[str], List[str]]:
    """Splits of the config, problems, and notes."""
    configs: Dict[str, Any] = {}
    splits, problems, notes = [], [], []
    for loader in LOADERS:
        if cfg.get(loader) is None:
            continue
        name = loader.split('_')[0]
        # A data set that cannot be built must not hide the others' problems.
        try:
            configs[name] = for_checking(cfg[loader].dataset)
            if name == 'test' and configs.get('val') == configs['test']:
                notes.append('test is the same data set as val')
                continue
            check_data_roots(cfg, (loader,))
            print(f'Reading {name} ...', flush=True)
            dataset = DATASETS.build(configs[name])
            splits.append(Split.of(name, dataset))
            notes += [n for n in notes_of(dataset) if n not in notes]
            other = unpublished_list(dataset)
            if other:
                notes.append(
                    f'{name}: {other} is none of the published lists of '
                    f'{type(dataset).__name__}: its figures are not compared'
                )
        except Exception as error:
            problems.append(f'{name}: {one_line(error)}')
    return splits, problems, notes


def file_problems(splits: List[Split], fast: bool, workers: int) -> List[str]:
    """Check each file once, and give the splits what is in it."""
    paths = list(dict.fromkeys(p for s in splits for p in s.paths if p))
    check = partial(check_image, fast=fast)

    def progress(answers: Iterable) -> list:
        return list(show_progress(answers, len(paths), 'files checked'))

    workers = 1 if fast or len(paths) < 100 else workers
    if workers == 1:
        answers = progress(map(check, paths))
    else:
        with ProcessPoolExecutor(workers) as pool:
            answers = pool.map(check, paths, chunksize=32)
            answers = progress(answers)
    answer_of = dict(zip(paths, answers))
    problems = []
    for split in splits:
        for i, path in enumerate(split.paths):
            if path:
                split.digests[i] = answer_of[path][1]
        problems += [
            f'{split.name}: {path} {answer_of[path][0]}'
            for path in dict.fromkeys(split.paths)
            if path and answer_of[path][0]
        ]
    return problems


def head_problems(cfg: Config, train: Split) -> List[str]:
    """A classifier of another size than the data."""
    head = (cfg.get('model') or {}).get('head')
    wanted = head.get('num_classes') if isinstance(head, dict) else None
    found = len(train.class_counts)
    if wanted in (None, FROM_DATA, found):
        return []
    return [
        f'train: there are {found} classes, but model.head.num_classes is '
        f'{wanted}'
    ]


def compare(splits: List[Split]) -> Tuple[List[str], List[str]]:
    """Problems and notes of the splits, and of them with the first, train."""
    problems, notes = [], []
    for split in splits:
        problems += figure_problems(split) + duplicate_problems(split)
        empty = empty_classes(split)
        if empty and split.name == 'train':
            problems.append(f'train: there is no image of class {empty}')
        elif empty:
            notes.append(f'{split.name} has no image of class {empty}')
    train = splits[0]
    for other in splits[1:] if train.name == 'train' else ():
        problems += class_problems(train, other) + leak_problems(train, other)
        same = same_content(train, other)
        if same:
            i, j = same[0]
            notes.append(
                f'{len(same)} images of {other.name} are the same as one of '
                f'train, bit for bit: {other.place(j)} and {train.place(i)}'
                + (' ...' if len(same) > 1 else '')
            )
    return problems, notes


def describe(split: Split) -> str:
    """Figures of a split."""
    counts, labels = split.class_counts, split.labels
    some = counts[counts > 0]
    lines = [
        f'{split.name}: {len(labels):,} images, {len(counts):,} classes, '
        f'labels {labels.min()} to {labels.max()}',
        f'  images per class: {some.max():,} to {some.min():,}, '
        f'mean {some.mean():.1f}',
    ]
    if split.name == 'train':
        groups = shot_groups(counts)
        lines += [
            f'  imbalance factor: {some.max() / some.min():.1f}',
            '  classes: '
            + ', '.join(f'{v.sum():,} {k}-shot' for k, v in groups.items()),
        ]
    return '\n'.join(lines)


def write_counts(file: Path, splits: List[Split]) -> None:
    """Images per class of all splits as a CSV file."""
    names = max((split.classes or () for split in splits), key=len)
    columns = [names, *(split.class_counts for split in splits)]
    with file.open('w', newline='', encoding='utf-8') as stream:
        writer = csv.writer(stream)
        writer.writerow(['label', 'name', *(split.name for split in splits)])
        for label, row in enumerate(zip_longest(*columns, fillvalue='')):
            writer.writerow([label, *row])


def main() -> None:
    """Check, report, and exit with 1 if there is a problem."""
    # A file name need not be text.
    sys.stdout.reconfigure(errors='backslashreplace')
    args, cfg = parse_args()
    scope = cfg.get('default_scope', 'mmpretrain')
    with DefaultScope.overwrite_default_scope(scope):
        splits, problems, notes = load_splits(cfg)
    if splits:
        problems += file_problems(splits, args.fast, args.workers)
        found, more_notes = compare(splits)
        problems += found
        notes += more_notes
        if splits[0].name == 'train':
            problems += head_problems(cfg, splits[0])
        if args.counts is not None:
            write_counts(args.counts, splits)
    for split in splits:
        print(describe(split))
    for title, lines in (('Notes', notes), ('Problems', problems)):
        if lines:
            print(f'\n{title} ({len(lines)}):')
            print('\n'.join(lines))
    if not problems:
        print('\nNo problems.')
    sys.exit(bool(problems))


if __name__ == '__main__':
    main()
