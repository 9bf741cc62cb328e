"""Finished and interrupted runs: their folders, configs and logs."""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any, Dict, Iterator, List, Optional, Tuple, Union

from mmengine.config import Config

from bcl_mm.apis.config import read_config
from bcl_mm.apis.cost import PREFIXES, Cost, training_cost
from bcl_mm.engine.resume import latest_checkpoint
from bcl_mm.engine.run_config import CONFIG_JSON
from bcl_mm.utils.checkpoint import is_file, load_checkpoint
from bcl_mm.utils.errors import (
    InputError,
    InputFileError,
    InputValueError,
    MissingFileError,
    check_number,
    shown,
    visible,
)

# Which checkpoint of a work dir is used.
SELECTIONS = ('last', 'best')
_CHECKPOINT_ENDINGS = ('.pth', '.pt', '.ckpt')

# Settings that may differ between the runs of one method. The second stage of
# each seed has its own model.pretrained.
_OF_THE_RUN = (
    *('work_dir', 'load_from', 'resume', 'launcher', 'randomness'),
    *('visualizer', 'log_level', 'env_cfg', 'model.pretrained'),
)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(errors='replace')
    except OSError as error:
        raise InputFileError(
            f'{path} cannot be read: {error.strerror}'
        ) from error


def read_object(text: str, source: str) -> Dict[str, Any]:
    """Parse a JSON object.

    Args:
        text: The JSON text.
        source: Where it comes from, for the message.

    Raises:
        InputValueError: It is damaged or not an object.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputValueError(f'{source} is damaged: {error}') from None
    if not isinstance(content, dict):
        raise InputValueError(
            f'{source} must be a JSON object, got {type(content).__name__}'
        )
    return content


def _numbers(entries: Dict[str, Any]) -> Dict[str, float]:
    return {k: v for k, v in entries.items() if isinstance(v, (int, float))}


def check_figures(figures: Any, source: str) -> Dict[str, float]:
    """Figures of a test or a validation, numbers only.

    Args:
        figures: Name -> value.
        source: Where they come from, for the message.

    Raises:
        InputValueError: They lack ``accuracy/top1``, or an accuracy is not a
            finite number.
    """
    if not isinstance(figures, dict):
        raise InputValueError(
            f'{source} must be a JSON object, got {type(figures).__name__}'
        )
    for name, value in figures.items():
        if name.startswith('accuracy/'):
            check_number(f'{source}: {name}', value)
    if 'accuracy/top1' not in figures:
        raise InputValueError(
            f'{source} has no accuracy/top1: the config needs a metric such '
            'as bcl_mm.ShotAccuracy'
        )
    return _numbers(figures)


def method_name(cfg: Config, stem: str) -> str:
    """Name of a config's method, as one line that can be shown.

    Args:
        cfg: The config; ``method_name`` may be anything.
        stem: Name of the config, which is used if that is empty.
    """
    name = visible(str(cfg.get('method_name', stem.split('_')[0])))
    return ' '.join(name.split()) or stem


def tests_on_validation(cfg: Config) -> bool:
    """Whether a config's test images are those of its validation."""
    tested, validated = (
        (cfg.get(f'{name}_dataloader') or {}).get('dataset')
        for name in ('test', 'val')
    )
    return tested == validated


def read_note(folder: Union[str, Path]) -> Dict[str, Any]:
    """Read ``run.json``, which ``bcl-mm compare`` writes for each run.

    Args:
        folder: The run's folder.

    Returns:
        Its entries (``seed``, ``commits``, ``figures``, ...); empty if there
        is no such file.

    Raises:
        InputError: The file is damaged; the message names it, and the entry.
    """
    path = Path(folder, 'run.json')
    if not path.is_file():
        return {}
    note = read_object(_read_text(path), str(path))
    if 'figures' in note:
        note['figures'] = check_figures(note['figures'], f'{path}: figures')
    if note.get('seconds_per_epoch') is not None:
        check_number(f'{path}: seconds_per_epoch', note['seconds_per_epoch'])
    if note.get('seed') is not None:
        check_number(f'{path}: seed', note['seed'], whole=True)
    commits, checkpoint = note.get('commits', []), note.get('checkpoint', '')
    if not isinstance(commits, list) or not isinstance(checkpoint, str):
        raise InputValueError(
            f'{path} is damaged: commits must be a list, and checkpoint a path'
        )
    if note.get('kind_of_time', 'wall') not in list(PREFIXES):
        raise InputValueError(
            f'{path} is damaged: kind_of_time must be one of '
            f'{", ".join(PREFIXES)}, got {shown(note["kind_of_time"])}'
        )
    if not isinstance(note.get('first_stage', ''), str):
        raise InputValueError(f'{path} is damaged: first_stage must be a path')
    return note


def read_scalars(folder: Union[str, Path]) -> List[Dict[str, float]]:
    """Read all logged figures of a run and its restarts, oldest first.

    After a kill the last line of a log may be incomplete: it is left out, and
    a note on stderr says so. So are empty lines, and what is not a figure.

    Args:
        folder: The run's folder.

    Raises:
        InputValueError: Another line of a log is not a JSON object, or has
            text where a number belongs.
    """
    found = []
    for log in sorted(Path(folder).glob('*/vis_data/scalars.json')):
        text = _read_text(log) if log.is_file() else ''
        lines = list(enumerate(text.split('\n'), 1))
        lines = [(n, line) for n, line in lines if line.strip(' \t\0')]
        for number, line in lines:
            source = f'{log}, line {number},'
            try:
                entries = read_object(line, source)
            except InputValueError:
                if number < lines[-1][0]:
                    raise
                note = f'the last line of {log} is incomplete and left out'
                print(visible(f'Note: {note}'), file=sys.stderr)
                continue
            for name, value in entries.items():
                if isinstance(value, (str, bool, type(None))):
                    raise InputValueError(
                        f'{source} is damaged: {name} must be a number, got '
                        f'{value!r}'
                    )
            found.append(_numbers(entries))
    return found


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
    """

    folder: Path
    config: Path
    checkpoint: Path
    cfg: Config = field(repr=False)
    progress: str = ''

    @property
    def method(self) -> str:
        """Name of the method, from the config."""
        return method_name(self.cfg, self.stem)

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

        def flatten(prefix: str, settings: dict) -> Iterator[Tuple[str, str]]:
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
    def setting(self) -> tuple:
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
    def scalars(self) -> List[dict]:
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


def _read_own_config(folder: Path, allow_code: bool) -> Optional[tuple]:
    """Path and content of the config in a run's folder; None without one."""
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


def _open_run(folder: Path, allow_code: bool) -> Optional[TrainedRun]:
    """The run of a folder itself, not of those below it; None without one."""
    # A run without training (tau-normalisation) names another's checkpoint.
    tested = read_note(folder).get('checkpoint')
    if tested is None:
        checkpoint, config_dir = latest_checkpoint(str(folder))[0], folder
    else:
        checkpoint, config_dir = str(folder / tested), folder / 'test'
    if checkpoint is None:
        return None
    found = _read_own_config(config_dir, allow_code)
    if found is None:
        return None
    if not Path(checkpoint).is_file():
        note = folder / 'run.json'
        raise MissingFileError(
            f'{note}: the checkpoint {checkpoint!r} does not exist'
        )
    path, cfg = found
    meta = load_checkpoint(checkpoint).get('meta', {})
    progress = '' if tested else _unfinished_progress(cfg, meta)
    return TrainedRun(folder, path, Path(checkpoint), cfg, progress)


def _unfinished_progress(cfg: Config, meta: dict) -> str:
    """How far a training is; empty if it is finished, or stopped early."""
    if meta.get('stopped_early'):
        return ''
    schedule = cfg.get('train_cfg')
    for step, limit in (('epoch', 'max_epochs'), ('iter', 'max_iters')):
        planned = schedule.get(limit) if isinstance(schedule, dict) else None
        done = meta.get(step)
        are_known = isinstance(planned, int) and isinstance(done, int)
        if are_known and done < planned:
            return f'{step} {done:,} of {planned:,}'
    return ''


def find_runs(
    folders: List[Path], allow_code: bool = False
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
    """
    runs: Dict[Path, TrainedRun] = {}
    errors: List[InputError] = []
    for root in folders:
        if not root.is_dir():
            raise MissingFileError(f'folder {str(root)!r} does not exist')
        found, num_errors = [], len(errors)
        for folder, below, _ in os.walk(root):
            try:
                run = _open_run(Path(folder), allow_code)
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


@dataclass
class FoundModel:
    """A config, and a checkpoint of its model.

    Args:
        config: The config, its path, or the name of one of the package.
        checkpoint: Path or address of the checkpoint.
        folder: The work dir that they are from. Defaults to None: they were
            given by name.
        progress: See :class:`TrainedRun`. Defaults to ``''``.
    """

    config: Union[str, Config] = field(repr=False)
    checkpoint: str
    folder: Optional[Path] = None
    progress: str = ''

    @property
    def summary(self) -> str:
        """The checkpoint and its epoch, as one line."""
        meta = load_checkpoint(self.checkpoint).get('meta', {})
        steps = (f'{n} {meta[n]:,}' for n in ('epoch', 'iter') if meta.get(n))
        parts = [next(steps, '')]
        if self.progress:
            parts.append(f'of a training that is unfinished: {self.progress}')
        told = ', '.join(filter(None, parts))
        text = f'{self.checkpoint} ({told})' if told else self.checkpoint
        return ' '.join(visible(text).split())


def is_checkpoint_name(name: str) -> bool:
    """Whether a word of a command names a checkpoint, not an image."""
    return '://' in name or name.lower().endswith(_CHECKPOINT_ENDINGS)


def names_run(source: str) -> bool:
    """Whether a word of a command is a work dir, or a checkpoint in one."""
    return Path(source).is_dir() or is_checkpoint_name(source)


def find_model(
    source: Union[str, Path, Config],
    checkpoint: Union[str, Path, None] = None,
    select: Optional[str] = None,
    allow_code: bool = False,
) -> FoundModel:
    """Find the config and the checkpoint of a trained model.

    Args:
        source: A work dir, with its ``config.json`` and a checkpoint; or a
            checkpoint in one; or, with ``checkpoint``, a config.
        checkpoint: Path or address of the checkpoint. Defaults to None: that
            of the work dir.
        select: Which one of a work dir: ``'last'``, or ``'best'``, which the
            last one names. Defaults to None: the last.
        allow_code: Whether the work dir's config may be Python, or name code
            that is not registered. Defaults to False.

    Raises:
        MissingFileError: There is no such work dir, run or checkpoint.
        InputValueError: There are several runs, the run is damaged, or no
            best checkpoint was kept.
    """
    if select not in (None, *SELECTIONS):
        raise InputValueError(
            f"select must be 'last' or 'best', got {select!r}"
        )
    is_config = isinstance(source, Config)
    is_folder = not is_config and Path(source).is_dir()
    if select is not None and (checkpoint is not None or not is_folder):
        raise InputValueError(
            f'select={select!r} chooses among the checkpoints of a work dir, '
            'and the checkpoint is given: leave one of them out'
        )
    if checkpoint is not None:
        config = source if is_config else str(source)
        return FoundModel(config, str(checkpoint))
    if is_folder:
        run = _only_run(Path(source), allow_code)
        path = _best_checkpoint(run) if select == 'best' else run.checkpoint
        return FoundModel(run.cfg, str(path), run.folder, run.progress)
    if not is_config and is_checkpoint_name(str(source)) and is_file(source):
        folder = Path(source).parent
        found = _read_own_config(folder, allow_code)
        if found is None:
            raise MissingFileError(
                f'beside the checkpoint {str(source)!r} there is no '
                f'{CONFIG_JSON} of its training: give CONFIG CHECKPOINT'
            )
        return FoundModel(found[1], str(source), folder)
    name = source.filename if is_config else str(source)
    raise MissingFileError(
        f'{name!r} is neither a work dir nor a checkpoint in one: give one '
        'of them, or a config and its checkpoint (CONFIG CHECKPOINT)'
    )


def _only_run(folder: Path, allow_code: bool) -> TrainedRun:
    """The run of a work dir, or the only one below it."""
    run = _open_run(folder, allow_code)
    if run is not None:
        return run
    runs, errors = find_runs([folder], allow_code)
    if errors:
        raise errors[0]
    if len(runs) > 1:
        named = ', '.join(str(run.folder) for run in runs[:3])
        raise InputValueError(
            f'{str(folder)!r} holds {len(runs)} runs: name one of them, such '
            f'as {named}'
        )
    return runs[0]


def _best_checkpoint(run: TrainedRun) -> Path:
    """The best checkpoint, which the last one knows."""
    hub = load_checkpoint(str(run.checkpoint)).get('message_hub', {})
    info = hub.get('runtime_info', {})
    names = [
        PurePath(str(path)).name
        for key, path in info.items()
        if re.match('best_ckpt(_|$)', key) and path
    ]
    if not names:
        raise MissingFileError(
            f'{str(run.folder)!r} has no best checkpoint: a training keeps '
            'one with --cfg-options default_hooks.checkpoint.save_best='
            'accuracy/balanced; leave --select best out for the last'
        )
    if len(names) > 1:
        raise InputValueError(
            f'{str(run.folder)!r} has several best checkpoints, of different '
            f'figures: name one of {", ".join(sorted(names))}'
        )
    path = run.folder / names[0]
    if not path.is_file():
        raise MissingFileError(f'the best checkpoint {str(path)!r} is missing')
    return path
