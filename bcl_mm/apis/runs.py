"""Finished and interrupted runs: their folders, configs and logs."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple, Union

from mmengine.config import Config

from bcl_mm.apis.config import read_config
from bcl_mm.engine.resume import latest_checkpoint
from bcl_mm.utils.checkpoint import load_checkpoint
from bcl_mm.utils.errors import InputValueError, MissingFileError

# Settings that may differ between the runs of one method. The second stage of
# each seed has its own model.pretrained.
_OF_THE_RUN = (
    *('work_dir', 'load_from', 'resume', 'launcher', 'randomness'),
    *('visualizer', 'log_level', 'env_cfg', 'model.pretrained'),
)


def _read_object(text: str, source: str) -> Dict[str, Any]:
    """Parse a JSON object; the error names its source."""
    try:
        content = json.loads(text)
    except ValueError as error:
        raise InputValueError(f'{source} is damaged: {error}') from None
    if not isinstance(content, dict):
        raise InputValueError(
            f'{source} must be a JSON object, got {type(content).__name__}'
        )
    return content


def read_note(folder: Union[str, Path]) -> Dict[str, Any]:
    """Read ``run.json``, which compare.py writes for each run.

    Args:
        folder: The run's folder.

    Returns:
        Its entries (``seed``, ``commits``, ``figures``, ...); empty if there
        is no such file.

    Raises:
        InputValueError: The file is damaged or not a JSON object.
    """
    path = Path(folder, 'run.json')
    if not path.is_file():
        return {}
    return _read_object(path.read_text(errors='replace'), str(path))


def read_scalars(folder: Union[str, Path]) -> List[Dict[str, Any]]:
    """Read all logged figures of a run and its restarts, oldest first.

    After a kill the last line of a log may be incomplete: it is left out, and
    a note on stderr says so.

    Args:
        folder: The run's folder.

    Raises:
        InputValueError: A line of a log is not a JSON object.
    """
    found = []
    for log in sorted(Path(folder).glob('*/vis_data/scalars.json')):
        lines = log.read_text(errors='replace').splitlines(keepends=True)
        for number, line in enumerate(lines, 1):
            try:
                found.append(_read_object(line, f'{log}, line {number},'))
            except InputValueError:
                if number < len(lines) or line.endswith('\n'):
                    raise
                note = f'the last line of {log} is incomplete and left out'
                print(f'Note: {note}', file=sys.stderr)
    return found


@dataclass
class TrainedRun:
    """A trained model and the folder of its training.

    Args:
        folder: The run's folder.
        config: Path of the config that training wrote there.
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
        return self.cfg.get('method_name', self.config.stem.split('_')[0])

    @property
    def seed(self) -> Optional[int]:
        """Seed of the run, None if the config does not set it."""
        configured = self.cfg.get('randomness', {}).get('seed')
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
        return self.config.stem, self.progress, *self.settings.items()

    @cached_property
    def scalars(self) -> List[dict]:
        """All logged figures, oldest first."""
        return read_scalars(self.folder)

    def curve(self, name: str) -> Tuple[List[float], List[float]]:
        """Steps (epochs, or iterations) and values of a logged figure."""
        points: Dict[float, List[float]] = {}
        for line in self.scalars:
            if name in line:
                step = line.get('epoch', line.get('step'))
                points.setdefault(step, []).append(line[name])
        steps = sorted(points)
        return steps, [sum(points[s]) / len(points[s]) for s in steps]


def _open_run(folder: Path) -> Optional[TrainedRun]:
    """The run of a folder itself, not of those below it; None without one."""
    # A run without training (tau-normalisation) names another's checkpoint.
    tested = read_note(folder).get('checkpoint')
    if tested is None:
        checkpoint, config_dir = latest_checkpoint(str(folder))[0], folder
    else:
        checkpoint, config_dir = str(folder / tested), folder / 'test'
    configs = sorted(config_dir.glob('*.py'), key=lambda p: p.stat().st_mtime)
    if checkpoint is None or not configs:
        return None
    if not Path(checkpoint).is_file():
        note = folder / 'run.json'
        raise MissingFileError(
            f'{note}: the checkpoint {checkpoint!r} does not exist'
        )
    cfg = read_config(str(configs[-1]))
    meta = load_checkpoint(checkpoint).get('meta', {})
    progress = '' if tested else _unfinished_progress(cfg, meta)
    return TrainedRun(folder, configs[-1], Path(checkpoint), cfg, progress)


def _unfinished_progress(cfg: Config, meta: dict) -> str:
    """How far a training is; empty if it is finished."""
    for step, limit in (('epoch', 'max_epochs'), ('iter', 'max_iters')):
        planned = cfg.get('train_cfg', {}).get(limit)
        if planned and meta.get(step, planned) < planned:
            return f'{step} {meta[step]:,} of {planned:,}'
    return ''


def find_runs(folders: List[Path]) -> List[TrainedRun]:
    """Find the runs in folders and their subfolders.

    Args:
        folders: Work dirs of train.py, or of compare.py, which hold several.

    Raises:
        MissingFileError: A folder does not exist, or holds no run.
        InputValueError: The checkpoints of a run are damaged.
    """
    runs: Dict[Path, TrainedRun] = {}
    for root in folders:
        if not root.is_dir():
            raise MissingFileError(f'folder {str(root)!r} does not exist')
        found = []
        for folder, below, _ in os.walk(root):
            run = _open_run(Path(folder))
            if run is not None:
                found.append(run)
                below.clear()
        # In the order of their starts: compare.py's order of the methods.
        for run in sorted(found, key=lambda run: run.config.stat().st_mtime):
            runs.setdefault(run.folder.resolve(), run)
        if not found:
            raise MissingFileError(
                f'{str(root)!r} holds no run: a run is a work dir of '
                'train.py or compare.py, with the config that training '
                'wrote there and a checkpoint'
            )
    return list(runs.values())
