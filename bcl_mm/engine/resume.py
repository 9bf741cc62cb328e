"""The checkpoint that training resumes from."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import Any, List, Optional, Tuple

from bcl_mm.utils.checkpoint import is_file, load_checkpoint
from bcl_mm.utils.errors import InputValueError

# Its mtime marks the last start of a training that was not resumed.
_STARTED_ANEW = 'started_anew'


def obstacle_to_resume(content: Any) -> Optional[str]:
    """Reason why training cannot resume from ``content``, None if it can."""
    given = content if isinstance(content, dict) else {}
    entries = 'meta', 'state_dict', 'message_hub', 'optimizer'
    missing = [entry for entry in entries if entry not in given]
    if missing:
        return f'it has no {", ".join(missing)}'
    meta, hub = given['meta'], given['message_hub']
    for name, part in (('meta', meta), ('message_hub', hub)):
        if not isinstance(part, dict):
            return f'its {name} must be a dict, got {type(part).__name__}'
    for name in ('epoch', 'iter'):
        value = meta.get(name)
        if not isinstance(value, int) or value < 0:
            return f'its meta.{name} must be an integer >= 0, got {value!r}'
    if 'config' in meta:
        return (
            "its meta.config is Python code, which MMEngine's Runner would "
            'run (it writes meta.cfg itself)'
        )
    parts = 'log_scalars', 'runtime_info', 'resumed_keys'
    missing = [part for part in parts if not isinstance(hub.get(part), dict)]
    if missing:
        return f'its message_hub has no {", ".join(missing)}'
    return None


def forget_earlier_checkpoints(work_dir: str) -> None:
    """Make later resumptions ignore the checkpoints in a folder.

    If a new training is killed before its first checkpoint, it must not
    resume from those of an earlier one.
    """
    folder = Path(work_dir)
    (folder / 'last_checkpoint').unlink(missing_ok=True)
    if any(folder.glob('*.pth')):
        (folder / _STARTED_ANEW).touch()


def latest_checkpoint(work_dir: str) -> Tuple[Optional[str], Optional[str]]:
    """The checkpoint that training resumes from.

    It is the one that ``last_checkpoint`` names (looked up by its name in
    the folder first, which may be a copy). If that cannot be used, it is the
    newest in the folder that is complete and has all that training needs,
    unless it is older than the last new start of a training.

    Returns:
        Its path, None if there is none; and the problem with
        ``last_checkpoint``, None if it is fine.

    Raises:
        InputValueError: There are checkpoints, but all are damaged.
    """
    folder = Path(work_dir)
    note = folder / 'last_checkpoint'
    text = note.read_text(errors='replace') if note.is_file() else ''
    named = text.strip()
    problem = f'{note} is {"empty" if note.is_file() else "missing"}'
    if named:
        copied = folder / PurePath(named).name
        path = str(copied) if is_file(copied) else named
        try:
            obstacle = obstacle_to_resume(load_checkpoint(path))
            if obstacle is None:
                return path, None
            problem = f'training cannot resume from {path!r}: {obstacle}'
        except (ValueError, OSError) as error:
            problem = str(error)
        problem += f' (named by {note})'
    started = folder / _STARTED_ANEW
    oldest = started.stat().st_mtime_ns if started.is_file() else 0
    times = {path: path.stat().st_mtime_ns for path in folder.glob('*.pth')}
    files = sorted((p for p in times if times[p] >= oldest), key=times.get)
    damages: List[str] = []
    for path in reversed(files):
        try:
            content = load_checkpoint(str(path))
        except ValueError as error:
            damages.append(str(error))
            continue
        # Best and published checkpoints are complete, but only for testing.
        if obstacle_to_resume(content) is None:
            return str(path), problem
    if damages:
        raise InputValueError(
            f'{folder} holds checkpoints, and none of them is whole: '
            f'{"; ".join(damages)}'
        )
    return None, problem if named else None
