"""From a folder of images to a verdict: check, train, compare.

Checks the data, measures how long the trainings take, trains several methods
and writes a table and a report, WORK_DIR/report.html. All it does are commands
of their own, which it prints. The same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import math
import os
import shlex
import shutil
import sys
import time
from argparse import Namespace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, List, Optional, Sequence

from bcl_mm.apis.locations import make_folder
from bcl_mm.cli import load_command, print_any_name
from bcl_mm.cli.check import encodable, show_result
from bcl_mm.cli.options import add_cfg_options, whole_number
from bcl_mm.utils.errors import (
    InputValueError,
    MissingFileError,
    counted,
    visible,
)
from bcl_mm.utils.files import write_atomically

if TYPE_CHECKING:
    from bcl_mm.apis.comparison import Run
    from bcl_mm.apis.data_check import CheckResult
    from bcl_mm.apis.trial import Trial

_SIZES = dict(
    small='32 pixels and ResNet-32', large='224 pixels and ResNet-50'
)
# Up to here, the warm-up and the slower start of some methods decide.
_FEW_EPOCHS = 20
_ALL_FOUND = 'check.txt'  # in the work dir


def _minutes(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(
            f'must be a number of minutes > 0, got {text!r}'
        )
    return number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add = parser.add_argument
    add(
        'folder',
        metavar='FOLDER',
        help='one folder of images per class, or another layout of '
        'docs/own_data.md',
    )
    add(
        '--methods',
        nargs='+',
        default=['ce', 'la', 'bcl'],
        metavar='NAME',
        help='methods to compare (default: ce la bcl)',
    )
    seed = whole_number(0, 2**32 - 1)
    add('--seeds', type=seed, nargs='+', default=[0], metavar='N')
    add(
        '--budget',
        type=_minutes,
        metavar='MINUTES',
        help='train all methods for as many epochs as fit into this time '
        '(default: 100 epochs)',
    )
    add(
        '--size',
        choices=['small', 'large'],
        help='small: 32 pixels and ResNet-32; large: 224 pixels and '
        'ResNet-50 (default: large with a GPU and images of more than 64 '
        'pixels, else small)',
    )
    add(
        '--work-dir',
        type=Path,
        help='folder of all results (default: work_dirs/try_FOLDER)',
    )
    add(
        '--jobs',
        type=whole_number(1),
        default=1,
        metavar='N',
        help='runs side by side (default: 1)',
    )
    add_cfg_options(parser)


def run(args: argparse.Namespace) -> int:
    """Check, measure, train, compare; returns 1 if one of them failed."""
    from bcl_mm.apis.trial import check_methods
    from bcl_mm.utils.lock import lock_folder

    began = time.monotonic()
    if not os.path.exists(args.folder):
        raise MissingFileError(f'FOLDER {args.folder!r} does not exist')
    args.methods = list(dict.fromkeys(args.methods))
    for size in [args.size] if args.size else ['small', 'large']:
        check_methods(args.methods, size)
    for key in ('data_root', 'train_cfg.max_epochs'):
        given = [o for o in args.cfg_options if o.startswith(f'{key}=')]
        if given and (key == 'data_root' or args.budget is not None):
            what = 'FOLDER' if key == 'data_root' else '--budget'
            raise InputValueError(
                f'{what} sets {key}: leave {given[0]} out of --cfg-options'
            )
    if args.work_dir is None:
        name = Path(args.folder).resolve().name or 'root'
        args.work_dir = Path('work_dirs', f'try_{name}')
    is_new = not args.work_dir.exists()
    make_folder('--work-dir', args.work_dir)
    with lock_folder(args.work_dir, is_new=is_new):
        return _try(args, began)


def _show(*words: object) -> List[str]:
    """Print a command as it can be typed; returns its words."""
    texts = [str(word) for word in words]
    print(visible(f'$ bcl-mm {shlex.join(texts)}'), flush=True)
    return texts


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f'{math.ceil(seconds)} seconds'
    if seconds < 5400:
        return f'{math.ceil(seconds / 60)} minutes'
    hours = timedelta(minutes=math.ceil(seconds / 60))
    return f'{str(hours)[:-3]} hours'


def _try(args: argparse.Namespace, began: float) -> int:
    """The work, in a folder that no other process uses."""
    from bcl_mm.apis.data_check import describe
    from bcl_mm.apis.trial import (
        SIZES,
        Trial,
        choose_size,
        digest_of,
        read_trial,
    )

    earlier = read_trial(args.work_dir)
    data_root = os.path.normpath(args.folder)
    folder = os.path.realpath(args.folder)
    if earlier is not None and earlier.folder == folder:
        data_root = earlier.data_root  # typed in another way, but the same
    size: Optional[str] = args.size or (earlier.size if earlier else None)
    config = f'{args.methods[0]}_{SIZES[size or "small"]}'
    check = [config, '--cfg-options', f'data_root={data_root}']
    check += args.cfg_options
    _show('check', *check)
    result = _check(config, check[2:], args.work_dir)
    if result.problems:
        number = counted(len(result.problems), 'problem')
        print(
            f'\nNothing is trained: the data have {number}, see above. '
            'Correct them, and start the same command again.'
        )
        if result.exclusions:
            print(
                'This lists the images in question, which --cfg-options '
                'exclude=problems.csv leaves out:'
            )
            config, *options = check
            _show('check', config, '--fix-list', 'problems.csv', *options)
        return 1
    if size is None:
        size, why = choose_size(result)
    elif args.size is not None:
        why = '--size says so'
    else:
        why = 'it was so before'
    other = 'large' if size == 'small' else 'small'
    print(
        f'\nSize: {size} ({_SIZES[size]}), because {why}. --size {other} '
        f'takes {_SIZES[other]}.',
        flush=True,
    )
    trial = Trial(
        folder=folder,
        data_root=data_root,
        digest=digest_of(result),
        size=size,
        options=list(args.cfg_options),
        budget=args.budget,
    )
    if earlier is not None:
        trial.require_same(earlier, args.work_dir)
        trial.epochs, trial.timings = earlier.epochs, earlier.timings
    # Not before: in a folder of other data it would be wrong.
    write_atomically(f'{describe(result, None)}\n', args.work_dir / _ALL_FOUND)
    _plan(args, trial, began)
    words = ['compare', *trial.configs(args.methods), '--seeds', *args.seeds]
    words += ['--jobs', args.jobs, '--report', '--work-dir', args.work_dir]
    words += ['--allow-code'] * args.allow_code
    words = _show(*words, '--cfg-options', *trial.all_options)
    module, parser = load_command('compare')
    has_failed = module.run(parser.parse_args(words[1:]))
    _say_next(args, trial)
    return int(has_failed)


def _check(config: str, options: List[str], work_dir: Path) -> CheckResult:
    """Check the data, as bcl-mm check does, and print what it found.

    Without problems, only the most important: a file will have all.
    """
    from bcl_mm.apis import data_check
    from bcl_mm.apis.config import load_config

    print_any_name()
    cfg = load_config(Namespace(config=config, cfg_options=options))
    result = data_check.check_datasets(cfg, workers=os.cpu_count() or 1)
    if result.problems:
        show_result(result)
    else:
        brief = data_check.describe_briefly(result, work_dir / _ALL_FOUND)
        print(visible(encodable(brief)))
    return result


def _measure(
    args: argparse.Namespace, trial: Trial, methods: Sequence[str]
) -> None:
    """Measure how long the methods take, but for those that were measured."""
    from bcl_mm.apis.timing import measure

    folder = args.work_dir / 'timing'
    for method, config in zip(methods, trial.configs(methods)):
        if method not in trial.timings:
            print(f'Measuring the first iterations of {method} ...', end='')
            sys.stdout.flush()
            shutil.rmtree(folder, ignore_errors=True)  # of one that was killed
            timing = measure(config, trial.data_options, folder, args.jobs)
            trial.timings[method] = timing
            shutil.rmtree(folder, ignore_errors=True)
            print(
                f' {timing.epoch:.2g} s per epoch, '
                f'{timing.validation:.2g} s per validation',
                flush=True,
            )


def _plan(args: argparse.Namespace, trial: Trial, began: float) -> None:
    """Say how long training takes, and choose the number of epochs.

    Args:
        args: The command line.
        trial: The experiment, which gets epochs and timings.
        began: When the command began.
    """
    from bcl_mm.apis.augmentation import describe_augmentation
    from bcl_mm.apis.config import load_config
    from bcl_mm.apis.trial import FEWEST_EPOCHS, choose_epochs, total_seconds

    cfgs = [
        load_config(Namespace(config=c, cfg_options=trial.data_options))
        for c in trial.configs(args.methods)
    ]
    preset = cfgs[0].get('augmentation')
    if preset:
        print(describe_augmentation(preset), flush=True)
    lengths = [cfg.train_cfg for cfg in cfgs]
    most = min(length.max_epochs for length in lengths)
    interval = min(length.get('val_interval', 1) for length in lengths)
    if trial.epochs is None and args.budget is None:
        trial.epochs = most
    left = trial.methods_left(args.methods, args.seeds, args.work_dir)
    _measure(args, trial, [name for name in args.methods if name in left])
    timings = [trial.timings[method] for method in left]
    if trial.epochs is None:
        spent = time.monotonic() - began
        seconds = 60 * args.budget - spent
        epochs = choose_epochs(timings, seconds, most, interval, args.jobs)
        least = min(FEWEST_EPOCHS, most)
        if epochs < least:
            needed = spent + total_seconds(timings, least, interval, args.jobs)
            raise InputValueError(
                f'--budget {args.budget:g} is too short: {epochs} epochs'
                f' fit into it, and fewer than {least} say nothing. Give at '
                f'least --budget {math.ceil(needed / 60 + 0.5)}, or fewer '
                '--methods or --seeds'
            )
        trial.epochs = epochs
    trial.write(args.work_dir)
    if not timings:
        print('Nothing is left to train.\n')
        return
    seconds = total_seconds(timings, trial.epochs, interval, args.jobs)
    shorten = '' if args.budget else ' (--budget MINUTES shortens it)'
    if trial.epochs < _FEW_EPOCHS:
        print(
            'So few epochs may mislead: logit adjustment and BCL start slower '
            'than cross-entropy.'
        )
    print(
        f'{counted(len(left), "run")} of {counted(trial.epochs, "epoch")}, '
        f'with the report: about {_duration(seconds)}{shorten}\n',
        flush=True,
    )


def _say_next(args: argparse.Namespace, trial: Trial) -> None:
    """Name the commands that come next."""
    runs = trial.runs(args.methods, args.seeds, args.work_dir)
    finished = [run for run in runs if run.is_finished]
    if not finished:
        return

    def accuracy(run: Run) -> float:
        figures = run.note['figures']
        name = 'accuracy/balanced'
        return figures.get(name, figures['accuracy/top1'])

    best = max(finished, key=accuracy)
    print(
        f'\nNext. The run with the highest balanced accuracy is {best.name}; '
        'where the verdict advises another method, take a run of that:'
    )
    _show('predict', best.folder, 'IMAGES')
    print('and after more seeds or methods, which the same command adds:')
    page = args.work_dir / 'report.html'
    _show('report', args.work_dir, '-o', page)
