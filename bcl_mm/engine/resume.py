"""The checkpoint that training resumes from."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import Any, List, Optional, Tuple

from bcl_mm.utils.checkpoint import is_file, load_weights_only
from bcl_mm.utils.errors import InputValueError

# Its mtime marks when a training started that had no checkpoint yet.
_STARTED_ANEW = 'started_anew'


def obstacle_to_resume(content: Any) -> Optional[str]:
    """Why training cannot go on from what was loaded, None if it can."""
    given = content if isinstance(content, dict) else {}
    entries = 'meta', 'state_dict', 'message_hub', 'optimizer'
    missing = [entry for entry in entries if entry not in given]
    if missing:
        return f'it has no {", ".join(missing)}'
    meta, hub = given['meta'], given['message_hub']
    for name, part in (('meta', meta), ('message_hub', hub)):
        if not isinstance(part, dict):
            return f'its {name} is no dict, but {type(part).__name__}'
    for name in ('epoch', 'iter'):
        value = meta.get(name)
        if not isinstance(value, int) or value < 0:
            return f'its meta.{name} is no whole number >= 0, but {value!r}'
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
    """Let nothing go on from what other trainings left in the folder.

    Where a training that starts anew is killed before its first checkpoint,
    those of an earlier one are not its own.
    """
    folder = Path(work_dir)
    (folder / 'last_checkpoint').unlink(missing_ok=True)
    if any(folder.glob('*.pth')):
        (folder / _STARTED_ANEW).touch()


def latest_checkpoint(work_dir: str) -> Tuple[Optional[str], Optional[str]]:
    """The checkpoint that training goes on from.

    It is the one that ``last_checkpoint`` names (of that name in the folder
    itself, which may have been copied) or, if that cannot be, the newest in
    the folder that is whole and has what training needs; none that is older
    than a training which was started anew.

    Returns:
        Its path, None if there is none; and what is wrong with
        ``last_checkpoint``, None if nothing is.

    Raises:
        ValueError: There are checkpoints, and none is whole.
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
            obstacle = obstacle_to_resume(load_weights_only(path))
            if obstacle is None:
                return path, None
            problem = (
                f'training cannot go on from {path!r}: {obstacle} (named by '
                f'{note})'
            )
        except (ValueError, OSError) as error:
            problem = f'{error} (named by {note})'
    started = folder / _STARTED_ANEW
    oldest = started.stat().st_mtime_ns if started.is_file() else 0
    times = {path: path.stat().st_mtime_ns for path in folder.glob('*.pth')}
    files = [path for path in times if times[path] >= oldest]
    files.sort(key=times.get)
    damages: List[str] = []
    for path in reversed(files):
        try:
            content = load_weights_only(str(path))
        except ValueError as error:
            damages.append(str(error))
            continue
        # The best ones, and published ones, are whole but for testing.
        if obstacle_to_resume(content) is None:
            return str(path), problem
    if damages:
        raise InputValueError(
            f'{folder} holds checkpoints, and none of them is whole: '
            f'{"; ".join(damages)}'
        )
    return None, problem if named else None
