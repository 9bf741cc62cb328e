"""The choices of ``bcl-mm try``: configs, size, and number of epochs."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
import torch

import bcl_mm
from bcl_mm.apis.comparison import Run, plan_runs
from bcl_mm.apis.data_check import CheckResult
from bcl_mm.apis.run_files import read_json
from bcl_mm.apis.timing import Timing
from bcl_mm.utils.errors import InputError, InputValueError, similar_names
from bcl_mm.utils.files import write_atomically

# What the names of configs end in.
SIZES = dict(small='resnet32_custom', large='resnet50_custom')
# Images up to this side lose little at the 32 pixels of the small configs.
SMALL_SIDE = 64
# Fewer epochs say nothing about a method.
FEWEST_EPOCHS = 5


def known_methods(size: str) -> List[str]:
    """Names of the methods that have a config for own data of a size."""
    folder = Path(bcl_mm.config_path(f'ce_{SIZES[size]}')).parent
    ending = f'_{SIZES[size]}'
    paths = sorted(folder.glob(f'*{ending}.py'))
    return [path.stem.removesuffix(ending) for path in paths]


def check_methods(methods: Sequence[str], size: str) -> None:
    """Raise an InputValueError for a method without a config of this size."""
    known = known_methods(size)
    for method in methods:
        if method not in known:
            raise InputValueError(
                f'--methods: there is no method {method!r} for own data of '
                f'--size {size}{similar_names(method, known)}; there are '
                f'{", ".join(known)}'
            )


def choose_size(result: CheckResult) -> Tuple[str, str]:
    """The size of the configs for the images of a check, and why.

    Without accelerator, and for images of up to 64 pixels, the small ones.
    """
    if not torch.accelerator.is_available():
        return 'small', 'this machine has no GPU'
    prints = np.concatenate([split.fingerprints for split in result.splits])
    side = np.median(np.maximum(prints['height'], prints['width']))
    why = f'the longer side of the median image has {side:.0f} pixels'
    return ('small' if side <= SMALL_SIDE else 'large'), why


def digest_of(result: CheckResult) -> str:
    """Hash of the images of a check: content, classes and splits."""
    content = hashlib.sha256()
    for split in result.splits:
        content.update(repr((split.name, split.classes)).encode())
        order = np.argsort(split.paths, kind='stable')
        for i in order:
            name = os.path.basename(split.paths[i])
            content.update(repr((name, int(split.labels[i]))).encode())
            content.update(split.fingerprints['digest'][i].tobytes())
    return content.hexdigest()[:16]


@dataclass
class Trial:
    """What must stay the same in all runs of a folder.

    Args:
        folder: Real path of the data.
        data_root: The data as they were given.
        digest: Of :func:`digest_of`.
        size: ``'small'`` or ``'large'``.
        options: ``KEY=VALUE`` settings of the command line.
        budget: Minutes that were given; None for any.
        epochs: Epochs of all runs; None until they are chosen.
        timings: Measured :class:`Timing` of each method.
    """

    folder: str
    data_root: str
    digest: str
    size: str
    options: List[str]
    budget: Optional[float] = None
    epochs: Optional[int] = None
    timings: Dict[str, Timing] = field(default_factory=dict)

    @property
    def data_options(self) -> List[str]:
        """Settings of all runs, but for their length."""
        return [f'data_root={self.data_root}', *self.options]

    @property
    def all_options(self) -> List[str]:
        """Settings of all runs."""
        options = self.data_options
        if self.budget is not None:
            options.append(f'train_cfg.max_epochs={self.epochs}')
        return options

    def configs(self, methods: Sequence[str]) -> List[str]:
        """Names of the configs of methods."""
        return [f'{method}_{SIZES[self.size]}' for method in methods]

    def runs(
        self, methods: Sequence[str], seeds: Sequence[int], work_dir: Path
    ) -> List[Run]:
        """The runs of methods and seeds, once the epochs are chosen."""
        configs = self.configs(methods)
        return plan_runs(configs, seeds, self.all_options, work_dir)

    def methods_left(
        self, methods: Sequence[str], seeds: Sequence[int], work_dir: Path
    ) -> List[str]:
        """The method of each run that is not finished."""
        if self.epochs is None:
            return [*methods] * len(seeds)
        method_of = dict(zip(self.configs(methods), methods))
        runs = self.runs(methods, seeds, work_dir)
        stems = [Path(run.config).stem for run in runs if not run.is_finished]
        return [method_of[stem] for stem in stems if stem in method_of]

    def require_same(self, earlier: Trial, work_dir: Path) -> None:
        """Raise an InputValueError if this is not the experiment of before."""
        names = dict(
            folder='FOLDER',
            size='--size',
            options='--cfg-options',
            budget='--budget',
        )
        for name, title in names.items():
            old, new = getattr(earlier, name), getattr(self, name)
            if old != new:
                if name == 'options':
                    old, new = ' '.join(old), ' '.join(new)
                raise InputValueError(
                    f'{work_dir} holds runs of another experiment: {title} '
                    f'was {old!r}, and is {new!r} now. Give another '
                    '--work-dir, or what was given before'
                )
        if earlier.digest != self.digest:
            raise InputValueError(
                f'the images of {self.data_root!r} are not those that '
                f'{work_dir} was started with, and its runs could not be '
                'compared: give another --work-dir'
            )

    def write(self, work_dir: Path) -> None:
        """Write ``try.json``."""
        write_atomically(json.dumps(asdict(self), indent=1), _path(work_dir))


def _path(work_dir: Path) -> Path:
    return work_dir / 'try.json'


def read_trial(work_dir: Path) -> Optional[Trial]:
    """The trial that a folder was started with; None if there is none.

    Raises:
        InputValueError: Its file is damaged.
    """
    path = _path(work_dir)
    if not path.is_file():
        return None
    try:
        content = read_json(path)
        timings = content.pop('timings')
        timings = {name: Timing(**timing) for name, timing in timings.items()}
        return Trial(**content, timings=timings)
    except (InputError, AttributeError, KeyError, TypeError) as error:
        raise InputValueError(
            f'{path} is damaged ({error}): give another --work-dir'
        ) from None


def total_seconds(
    timings: Sequence[Timing], epochs: int, val_interval: int, jobs: int = 1
) -> float:
    """Seconds that trainings take, with the report at the end.

    Args:
        timings: Those of all runs.
        epochs: Epochs of each.
        val_interval: Epochs between validations.
        jobs: Runs side by side. Defaults to 1.
    """
    runs = [timing.seconds(epochs, val_interval) for timing in timings]
    training = max(sum(runs) / jobs, max(runs))
    # The report tests each model; drawing takes about as long as a start.
    report = sum(t.validation for t in timings)
    return training + report + 2 * max(t.start for t in timings)


def choose_epochs(
    timings: Sequence[Timing],
    seconds: float,
    most: int,
    val_interval: int,
    jobs: int = 1,
) -> int:
    """The most epochs, alike for all runs, that fit into a time; may be 0."""
    few, many = 0, most  # bisection: few fit, more than many do not
    while few < many:
        middle = (few + many + 1) // 2
        if total_seconds(timings, middle, val_interval, jobs) <= seconds:
            few = middle
        else:
            many = middle - 1
    return few
