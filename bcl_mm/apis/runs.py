"""Finished and interrupted runs, found in folders."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple, Union

from mmengine.config import Config

from bcl_mm.apis.config import read_config
from bcl_mm.apis.cost import Cost, training_cost
from bcl_mm.apis.locations import stem_of
from bcl_mm.apis.run_files import read_note, read_scalars
from bcl_mm.engine.resume import latest_checkpoint
from bcl_mm.engine.run_config import CONFIG_JSON
from bcl_mm.utils.checkpoint import load_checkpoint
from bcl_mm.utils.errors import (
    InputError,
    InputValueError,
    MissingFileError,
    counted,
    visible,
)

# Settings that may differ between the runs of one method. The second stage of
# each seed has its own model.pretrained.
_OF_THE_RUN = (
    *('work_dir', 'load_from', 'resume', 'launcher', 'randomness'),
    *('visualizer', 'log_level', 'env_cfg', 'model.pretrained'),
)


def method_name(cfg: Config) -> str:
    """Name of a config's method, as one line that can be shown.

    ``method_name`` of the config may be anything. If it is missing or empty,
    the config's own name is used.
    """
    stem = stem_of(cfg)
    name = visible(str(cfg.get('method_name', stem.split('_')[0])))
    return ' '.join(name.split()) or stem


def tests_on_validation(cfg: Config) -> bool:
    """Whether a config's test images are those of its validation."""
    tested, validated = (
        (cfg.get(f'{name}_dataloader') or {}).get('dataset')
        for name in ('test', 'val')
    )
    return tested == validated


@dataclass
class TrainedRun:
    """A trained model and the folder of its training.

    Args:
        folder: The run's folder.
        config: Path of the config that training wrote there,
            ``config.json``.
        checkpoint: Path of the last checkpoint.
        cfg: The config.
        progress: How far an unfinished training is, ``'epoch 2 of 3'``.
            Defaults to ``''``: it is finished.
        length: How long it trained, ``'3 epochs'``, with ``(stopped early)``.
            Defaults to ``''``: unknown, or nothing was trained.

    Example:
        The training of :func:`~bcl_mm.apis.training.train`'s example:

        >>> (run,), _ = find_runs(['digits'])
        >>> run.settings['optim_wrapper.optimizer.type']
        'SGD'
        >>> epochs, losses = run.curve('loss')
        >>> epochs, losses[-1] < losses[0]
        ([1, 2, 3], True)
    """

    folder: Path
    config: Path
    checkpoint: Path
    cfg: Config = field(repr=False)
    progress: str = ''
    length: str = ''

    @property
    def method(self) -> str:
        """Name of the method, from the config."""
        return method_name(self.cfg)

    @property
    def stem(self) -> str:
        """Name of the config that was trained, without ``.py``."""
        return Path(self.cfg.filename or self.config).stem

    @property
    def seed(self) -> Optional[int]:
        """Seed of the run, None if the config does not set it."""
        randomness = self.cfg.get('randomness')
        is_given = isinstance(randomness, dict)
        configured = randomness.get('seed') if is_given else None
        return read_note(self.folder).get('seed', configured)

    @cached_property
    def settings(self) -> Dict[str, str]:
        """Settings of the method: key with dots -> value as text."""

        def flatten(
            prefix: str, settings: Dict[str, Any]
        ) -> Iterator[Tuple[str, str]]:
            for name, value in settings.items():
                key = prefix + name
                if key in _OF_THE_RUN:
                    continue
                if isinstance(value, dict):
                    yield from flatten(f'{key}.', value)
                else:
                    yield key, str(value)

        return dict(flatten('', self.cfg.to_dict()))

    @property
    def setting(self) -> Tuple[Any, ...]:
        """A key that runs share if they differ only in their seeds."""
        # An unfinished run is not a second seed of a finished one.
        return self.stem, self.progress, *self.settings.items()

    @cached_property
    def cost(self) -> Optional[Cost]:
        """Computing time, with that of a first stage; None if unknown."""
        note = read_note(self.folder)
        own = None if 'checkpoint' in note else training_cost(self.scalars)
        if not self.cfg.get('first_stage'):
            return own
        folder = self.folder / note.get('first_stage', '')
        if 'first_stage' not in note or not folder.is_dir():
            return None
        first = training_cost(read_scalars(folder))
        if 'checkpoint' in note:  # nothing was trained
            return first
        return own + first if own and first else None

    @cached_property
    def scalars(self) -> List[Dict[str, Any]]:
        """All logged figures, oldest first."""
        return read_scalars(self.folder)

    def curve(self, name: str) -> Tuple[List[float], List[float]]:
        """Steps (epochs, or iterations) and values of a logged figure."""
        points: Dict[float, List[float]] = {}
        for line in self.scalars:
            step = line.get('epoch', line.get('step'))
            if name in line and step is not None:
                points.setdefault(step, []).append(line[name])
        steps = sorted(points)
        return steps, [sum(points[s]) / len(points[s]) for s in steps]


def read_own_config(
    folder: Path, allow_code: bool
) -> Optional[Tuple[Any, ...]]:
    """Path and content of the config in a run's folder; None without one.

    Args:
        folder: The folder.
        allow_code: See :func:`find_runs`.
    """
    path = folder / CONFIG_JSON
    if not path.is_file():
        programs = [p for p in folder.glob('*.py') if p.is_file()]
        if not programs:
            return None
        path = max(programs, key=lambda program: program.stat().st_mtime)
        if not allow_code:
            raise InputValueError(
                f'{folder} has no {CONFIG_JSON}, only {path.name}, and '
                'reading a Python config runs it: pass --allow-code if you '
                'trust it'
            )
    return path, read_config(str(path), allow_code)


def open_run(folder: Path, allow_code: bool) -> Optional[TrainedRun]:
    """The run of a folder itself, not of those below it; None without one."""
    # A run without training (tau-normalisation) names another's checkpoint.
    tested = read_note(folder).get('checkpoint')
    if tested is None:
        checkpoint, config_dir = latest_checkpoint(str(folder))[0], folder
    else:
        checkpoint, config_dir = str(folder / tested), folder / 'test'
    if checkpoint is None:
        return None
    found = read_own_config(config_dir, allow_code)
    if found is None:
        return None
    if not Path(checkpoint).is_file():
        note = folder / 'run.json'
        raise MissingFileError(
            f'{note}: the checkpoint {checkpoint!r} does not exist'
        )
    path, cfg = found
    meta = load_checkpoint(checkpoint).get('meta', {})
    run = TrainedRun(folder, path, Path(checkpoint), cfg)
    if not tested:
        run.progress, run.length = _progress_and_length(cfg, meta)
    return run


def _progress_and_length(cfg: Config, meta: Dict[str, Any]) -> Tuple[str, str]:
    """How far a training is, if it is unfinished; and how long it was."""
    schedule = cfg.get('train_cfg')
    is_stopped = meta.get('stopped_early')
    for step, limit, noun in (
        ('epoch', 'max_epochs', 'epoch'),
        ('iter', 'max_iters', 'iteration'),
    ):
        planned = schedule.get(limit) if isinstance(schedule, dict) else None
        done = meta.get(step)
        if not isinstance(planned, int) or not isinstance(done, int):
            continue
        length = counted(done, noun) + ' (stopped early)' * bool(is_stopped)
        if done < planned and not is_stopped:
            return f'{step} {done:,} of {planned:,}', length
        return '', length
    return '', ''


def find_runs(
    folders: Sequence[Union[str, Path]], allow_code: bool = False
) -> Tuple[List[TrainedRun], List[InputError]]:
    """Find the runs in folders and their subfolders.

    Args:
        folders: Work dirs of ``bcl-mm train``, or of ``compare``, which hold
            several.
        allow_code: Whether their configs may be Python, or name code that is
            not registered. Defaults to False.

    Returns:
        The runs, and the errors of those that cannot be read.

    Raises:
        MissingFileError: A folder does not exist, or holds no run.

    Example:
        The training of :func:`~bcl_mm.apis.training.train`'s example:

        >>> (run,), errors = find_runs(['digits'])
        >>> run.method, run.seed, run.checkpoint.name, errors
        ('BCL', 0, 'epoch_3.pth', [])
    """
    runs: Dict[Path, TrainedRun] = {}
    errors: List[InputError] = []
    for root in map(Path, folders):
        if not root.is_dir():
            raise MissingFileError(f'folder {str(root)!r} does not exist')
        found, num_errors = [], len(errors)
        for folder, below, _ in os.walk(root):
            try:
                run = open_run(Path(folder), allow_code)
            except InputError as error:
                errors.append(error)
                below.clear()
                continue
            if run is not None:
                found.append(run)
                below.clear()
        # In the order of their starts: compare.py's order of the methods.
        for run in sorted(found, key=lambda run: run.config.stat().st_mtime):
            runs.setdefault(run.folder.resolve(), run)
        if not found and len(errors) == num_errors:
            raise MissingFileError(
                f'{str(root)!r} holds no run: a run is a work dir of '
                'train.py or compare.py, with the config that training '
                'wrote there and a checkpoint'
            )
    return list(runs.values()), errors
