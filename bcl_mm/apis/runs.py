"""Runs that have been trained: found in folders, and their logs read."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from mmengine.config import Config

from bcl_mm.engine.resume import latest_checkpoint
from bcl_mm.utils.checkpoint import load_weights_only
from bcl_mm.utils.errors import MissingFileError

# What may differ between the runs of one method: seed, place and speed.
_NO_PART_OF_THE_METHOD = (
    'work_dir',
    'load_from',
    'resume',
    'launcher',
    'randomness',
    'visualizer',
    'log_level',
    'env_cfg',
)


@dataclass
class TrainedRun:
    """A trained model, and where everything of it lies.

    Args:
        folder: The run's folder.
        config: The config that training wrote there.
        checkpoint: The last checkpoint.
        cfg: The config, read.
        stand: How far an unfinished training is, ``'epoch 2 of 3'``.
    """

    folder: Path
    config: Path
    checkpoint: Path
    cfg: Config = field(repr=False)
    stand: str = ''

    @cached_property
    def method(self) -> str:
        """Name of the method, as the config gives it."""
        return self.cfg.get('method_name', self.config.stem.split('_')[0])

    @property
    def seed(self) -> Optional[int]:
        """Seed of the run, None if the config leaves it open."""
        note = self.folder / 'run.json'
        if note.is_file():
            return json.loads(note.read_text())['seed']
        return self.cfg.get('randomness', {}).get('seed')

    @cached_property
    def settings(self) -> Dict[str, str]:
        """All settings but those that say nothing of the method."""
        found: Dict[str, str] = {}

        def walk(key: str, value: Any) -> None:
            if isinstance(value, dict):
                for name, part in value.items():
                    walk(f'{key}.{name}' if key else name, part)
            else:
                found[key] = str(value)

        walk('', self.cfg.to_dict())
        return {
            key: value
            for key, value in found.items()
            if key.split('.')[0] not in _NO_PART_OF_THE_METHOD
            # A second stage's start is another file with each seed.
            and key != 'model.pretrained'
        }

    @property
    def setting(self) -> tuple:
        """The same for the runs that differ in their seeds alone."""
        # An unfinished run is no second seed of a finished one.
        return self.config.stem, self.stand, *self.settings.items()

    @cached_property
    def scalars(self) -> List[dict]:
        """All logged figures, oldest first."""
        logs = sorted(self.folder.glob('*/vis_data/scalars.json'))
        lines = [line for log in logs for line in log.read_text().splitlines()]
        return [json.loads(line) for line in lines]

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
    """The run in a folder itself, None if there is none."""
    note = folder / 'run.json'
    known = json.loads(note.read_text()) if note.is_file() else {}
    # What is only tested, as tau-normalisation, has another's checkpoint.
    if 'checkpoint' in known:
        checkpoint, where = folder / known['checkpoint'], folder / 'test'
    else:
        checkpoint, where = latest_checkpoint(str(folder))[0], folder
    configs = sorted(where.glob('*.py'), key=lambda p: p.stat().st_mtime)
    if checkpoint is None or not configs:
        return None
    if not Path(checkpoint).is_file():
        raise MissingFileError(
            f'{note}: the checkpoint {str(checkpoint)!r} does not exist'
        )
    cfg = Config.fromfile(configs[-1])
    meta = load_weights_only(str(checkpoint)).get('meta', {})
    stand = '' if 'checkpoint' in known else _stand(cfg, meta)
    return TrainedRun(folder, configs[-1], Path(checkpoint), cfg, stand)


def _stand(cfg: Config, meta: dict) -> str:
    """How far a training is, empty if it is at its end."""
    for step, most in (('epoch', 'max_epochs'), ('iter', 'max_iters')):
        planned = cfg.get('train_cfg', {}).get(most)
        if planned and meta.get(step, planned) < planned:
            return f'{step} {meta[step]:,} of {planned:,}'
    return ''


def find_runs(places: List[Path]) -> List[TrainedRun]:
    """Runs in folders, or in the folders below them.

    Args:
        places: Work dirs of train.py, or of compare.py, which hold many.

    Raises:
        FileNotFoundError: A folder does not exist, or holds no run.
        ValueError: The checkpoints of a run are damaged.
    """
    runs: Dict[Path, TrainedRun] = {}
    for place in places:
        if not place.is_dir():
            raise MissingFileError(f'there is no folder {str(place)!r}')
        found = []
        for folder, below, _ in os.walk(place):
            run = _open_run(Path(folder))
            if run is not None:
                found.append(run)
                below.clear()
        # As they were started: compare.py's order of the methods.
        for run in sorted(found, key=lambda run: run.config.stat().st_mtime):
            runs.setdefault(run.folder.resolve(), run)
        if not found:
            raise MissingFileError(
                f'{str(place)!r} holds no run: a run is a work dir of '
                'train.py or compare.py, with the config that training '
                'wrote there and a checkpoint'
            )
    return list(runs.values())
