"""The trained models of work dirs: a config and a checkpoint."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Optional, Union

from mmengine.config import Config

from bcl_mm.apis.runs import (
    TrainedRun,
    find_runs,
    open_run,
    read_own_config,
)
from bcl_mm.engine.run_config import CONFIG_JSON
from bcl_mm.utils.checkpoint import is_file, load_checkpoint
from bcl_mm.utils.errors import InputValueError, MissingFileError, visible

# Which checkpoint of a work dir is used.
SELECTIONS = ('last', 'best')
_CHECKPOINT_ENDINGS = ('.pth', '.pt', '.ckpt')


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
        found = read_own_config(folder, allow_code)
        if found is None:
            raise MissingFileError(
                f'beside the checkpoint {str(source)!r} there is no '
                f'{CONFIG_JSON} of its training: give CONFIG CHECKPOINT'
            )
        return FoundModel(found[1], str(source), folder)
    name = source.filename if isinstance(source, Config) else str(source)
    raise MissingFileError(
        f'{name!r} is neither a work dir nor a checkpoint in one: give one '
        'of them, or a config and its checkpoint (CONFIG CHECKPOINT)'
    )


def _only_run(folder: Path, allow_code: bool) -> TrainedRun:
    """The run of a work dir, or the only one below it."""
    run = open_run(folder, allow_code)
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
