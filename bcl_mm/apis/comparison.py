"""Runs of a comparison, planned, and their results."""

from __future__ import annotations

import contextlib
import copy
import functools
import hashlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

from mmengine.config import Config

from bcl_mm.apis.cfg_options import parse_options
from bcl_mm.apis.config import apply_options, check_data_roots, read_config
from bcl_mm.apis.cost import training_cost
from bcl_mm.apis.locations import find_config
from bcl_mm.apis.records import Record
from bcl_mm.apis.run_files import (
    check_figures,
    read_json,
    read_note,
    read_scalars,
)
from bcl_mm.apis.runs import method_name, tests_on_validation
from bcl_mm.engine.resume import latest_checkpoint
from bcl_mm.utils.errors import (
    InputError,
    InputValueError,
    visible,
)
from bcl_mm.utils.files import write_atomically

# A command of bcl_mm, in a process of its own.
COMMAND = (sys.executable, '-m', 'bcl_mm')


class RunError(InputError):
    """A run has failed; the message says why."""


@dataclass
class Run:
    """One config with one seed and fold, in a folder of its own.

    The folder's name holds a fingerprint of the merged config and the
    options: another setting is another run, and nothing is overwritten.

    Args:
        config: Path of the config.
        cfg: The config.
        seed: Seed of the run.
        options: ``KEY=VALUE`` settings, as for ``bcl-mm train``.
        work_dir: Folder of all runs.
        first: The first stage that this run starts from, if it has one.
        fold: Name of the fold, which replaces ``{fold}`` in the options.
            Defaults to None.
        part: Images of the figures, ``'test'`` or ``'val'``: those of the
            last validation. Defaults to ``'test'``.

    Raises:
        InputValueError: A second stage does not name its first one, or a
            config that is not trained has no validation.
    """

    config: str
    cfg: Config
    seed: int
    options: Sequence[str]
    work_dir: Path
    first: Optional[Run] = None
    fold: Optional[str] = None
    part: str = 'test'

    def __post_init__(self) -> None:
        self.settings = tuple(self.options)  # the same for all folds
        self.options = options_of_fold(self.options, self.fold)
        self.is_trained = self.cfg.get('is_trained', True)
        if not (self.is_trained or self.first):
            raise InputValueError(
                f'{self.config} is not trained (is_trained = False): it must '
                "name the config that is, first_stage = 'NAME.py'"
            )
        if self.part == 'val' and not self.is_trained:
            raise InputValueError(
                f'{self.config} is not trained (is_trained = False), so that '
                'it has no validation: leave it out with --part val'
            )
        model = self.cfg.get('model', {})
        is_frozen = str(model.get('type')).endswith('FrozenBackboneClassifier')
        has_weights = bool(self.first or model.get('pretrained')) or any(
            option.startswith('model.pretrained=') for option in self.options
        )
        if is_frozen and not has_weights:
            raise InputValueError(
                f'{self.config} trains on a frozen backbone: it must name the '
                "config that trains it, first_stage = 'NAME.py'"
            )
        content = [self.cfg.to_dict(), sorted(self.options)]
        if self.first:
            content.append(self.first.folder.name)
        if self.part != 'test':
            content.append(self.part)
        text = json.dumps(content, sort_keys=True, default=str)
        fingerprint = hashlib.sha256(text.encode()).hexdigest()[:8]
        stem = Path(self.config).stem
        folder = f'seed_{self.seed}_{fingerprint}'
        self.name = f'{stem}, seed {self.seed}'
        if self.fold is not None:
            folder = f'fold_{self.fold}_{folder}'
            self.name = f'{stem}, fold {self.fold}, seed {self.seed}'
        self.folder: Path = self.work_dir / stem / folder
        self.log = self.folder / 'output.log'

    @property
    def note(self) -> Dict[str, Any]:
        """Content of run.json: commits and, at the end, figures.

        Raises:
            RunError: It is damaged.
        """
        try:
            return read_note(self.folder)
        except InputError as error:
            raise RunError(
                f'{self.name} failed: {error}; without this file, the run is '
                'completed from its checkpoints'
            ) from error

    def write_note(self, **entries: object) -> None:
        """Add entries to run.json."""
        text = json.dumps({**self.note, **entries}, indent=1)
        write_atomically(text, self.folder / 'run.json')

    @property
    def is_finished(self) -> bool:
        """Whether the run has its figures; not if its note is damaged."""
        with contextlib.suppress(InputError):
            return 'figures' in self.note
        return False

    @property
    def checkpoint(self) -> Optional[str]:
        """The latest checkpoint, None if there is none."""
        try:
            return latest_checkpoint(str(self.folder))[0]
        except InputError as error:
            raise RunError(f'{self.name} failed: {error}') from error

    @property
    def tested_checkpoint(self) -> str:
        """The checkpoint that is tested: its own, or its first stage's.

        Raises:
            RunError: There is none.
        """
        run = self.first if self.first and not self.is_trained else self
        checkpoint = run.checkpoint
        if checkpoint is None:
            raise RunError(
                f'{self.name} failed: {run.folder} has no checkpoint to test'
            )
        return checkpoint

    def say(self, message: str) -> None:
        """Print a message about the run."""
        print(visible(f'{self.name}: {message}'), flush=True)

    def command(self, gpus: int, log: Sequence[str] = ()) -> List[str]:
        """Command that trains the run, or resumes it."""
        options = [f'randomness.seed={self.seed}', *self.options]
        if self.first:
            options.append(f'model.pretrained={self.first.checkpoint}')
        launch = ('launch', str(gpus)) if gpus > 1 else ()
        return [
            *(*COMMAND, *launch, 'train', self.config),
            *(('--resume',) if self.checkpoint else ()),
            *('--work-dir', str(self.folder)),
            *(('--log', *log) if log else ()),
            *('--cfg-options', *options),
        ]

    def test_command(self) -> List[str]:
        """Command that tests the last checkpoint."""
        return [
            *(*COMMAND, 'test', self.config, self.tested_checkpoint),
            *('--work-dir', str(self.folder / 'test')),
            *('--out', str(self.folder / 'metrics.json')),
            *('--out-item', 'metrics'),
            *(('--cfg-options', *self.options) if self.options else ()),
        ]

    def results(self) -> Dict[str, Any]:
        """Accuracies of the last epoch, and the seconds that an epoch takes.

        The accuracies are those of the log or of a test. For the seconds see
        :func:`~bcl_mm.apis.cost.training_cost`.
        """
        lines = read_scalars(self.folder)
        validated = [line for line in lines if 'accuracy/top1' in line]
        if self.needs_test():
            path = self.folder / 'metrics.json'
            figures = check_figures(read_json(path), str(path))
        elif validated:
            figures = {k: v for k, v in validated[-1].items() if '/' in k}
        else:
            raise RunError(f'{self.name} failed: it has no validation')
        results: Dict[str, Any] = dict(figures=figures, seconds_per_epoch=None)
        if not self.is_trained:
            return results
        if validated:
            # What choices among methods may be made by.
            balanced = validated[-1].get('accuracy/balanced')
            results['validation_balanced'] = balanced
        cost = training_cost(lines)
        if cost is not None:
            results.update(
                passes=cost.passes,
                seconds_per_epoch=cost.seconds_per_epoch,
                kind_of_time=cost.kind,
            )
        return results

    def record(self) -> Record:
        """Figures and cost of the run, which is finished."""
        note = self.note
        prefix = 'accuracy/'
        return Record(
            method=method_name(self.cfg),
            config=self.config,
            seed=self.seed,
            figures={
                name[len(prefix) :]: value
                for name, value in note['figures'].items()
                if name.startswith(prefix)
            },
            options=self.settings,
            part=self.part,
            fold=self.fold,
            commits=tuple(map(str, note.get('commits', ()))),
            validation_balanced=note.get('validation_balanced'),
            passes=note.get('passes'),
            seconds_per_epoch=note.get('seconds_per_epoch'),
            kind_of_time=note.get('kind_of_time', 'wall'),
            folder=str(self.folder),
        )

    def needs_test(self) -> bool:
        """Whether the figures are not those of the last validation."""
        if not self.is_trained:
            return True
        return self.part == 'test' and not tests_on_validation(self.cfg)


def options_of_fold(options: Sequence[str], fold: Optional[str]) -> List[str]:
    """Options with the name of a fold in place of ``{fold}``."""
    if fold is None:
        return list(options)
    return [option.replace('{fold}', fold) for option in options]


def plan_runs(
    configs: Sequence[str],
    seeds: Sequence[int],
    options: Sequence[str],
    work_dir: Path,
    folds: Sequence[Optional[str]] = (None,),
    part: str = 'test',
) -> List[Run]:
    """All runs, each after the first stage that it starts from.

    Args:
        configs: Paths or names of configs.
        seeds: Seeds of each.
        options: ``KEY=VALUE`` settings of all.
        work_dir: Folder of all runs.
        folds: Names of folds, each of which replaces ``{fold}`` in the
            options. Defaults to no folds.
        part: Images of the figures, ``'test'`` or ``'val'``. Defaults to
            ``'test'``.

    Raises:
        InputError: A config does not exist, cannot be read, or has a setting
            that does not exist; or no option contains ``{fold}``.
    """
    if None not in folds and not any('{fold}' in one for one in options):
        raise InputValueError(
            '--folds needs a setting that tells them apart, such as '
            '--cfg-options data_root=data/openclipart_lt/fold_{fold}.csv'
        )
    read = functools.cache(read_config)
    runs: Dict[Tuple[Any, ...], Run] = {}

    def add(
        path: str,
        seed: int,
        fold: Optional[str],
        later: Tuple[str, ...] = (),
    ) -> Run:
        real_path = os.path.realpath(path)
        if real_path in later:
            raise InputValueError(
                f'{path}: first_stage leads back to this config'
            )
        key = real_path, seed, fold
        if key not in runs:
            cfg, first = read(path), None
            if cfg.get('first_stage'):
                found = find_config(cfg.first_stage, os.path.dirname(path))
                first = add(found, seed, fold, (*later, real_path))
            runs[key] = Run(
                path, cfg, seed, options, work_dir, first, fold, part
            )
        return runs[key]

    for config in configs:
        for fold in dict.fromkeys(folds):
            for seed in dict.fromkeys(seeds):
                add(find_config(config), seed, fold)
    first_options = options_of_fold(options, folds[0])
    for path in dict.fromkeys(run.config for run in runs.values()):
        try:
            cfg = copy.deepcopy(read(path))
            apply_options(cfg, parse_options(first_options), whole=True)
        except InputValueError as error:
            raise InputValueError(f'{path}: {error}') from error
    return list(runs.values())


def check_data(runs: Iterable[Run]) -> None:
    """Raise a MissingFileError if runs that are to be trained lack data."""
    unfinished = {
        (run.config, run.fold): run for run in runs if not run.is_finished
    }
    for run in unfinished.values():
        cfg = copy.deepcopy(run.cfg)
        apply_options(cfg, parse_options(run.options), whole=True)
        parts = ['train', 'val'] * run.is_trained
        parts += ['test'] * (run.part == 'test')
        check_data_roots(cfg, tuple(f'{part}_dataloader' for part in parts))
