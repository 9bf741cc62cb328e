"""Notes and logs of a run, read as data."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Dict, List, Union

from bcl_mm.apis.cost import PREFIXES
from bcl_mm.utils.errors import (
    InputValueError,
    check_number,
    shown,
    visible,
)
from bcl_mm.utils.files import telling_failed_reads


def _read_text(path: Path) -> str:
    with telling_failed_reads(path):
        return path.read_text(errors='replace')


def _parse_object(text: str, source: str) -> Dict[str, Any]:
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


def read_json(path: Path) -> Dict[str, Any]:
    """Read a file that holds a JSON object.

    Raises:
        InputFileError: It cannot be read.
        InputValueError: It is damaged or not an object.
    """
    return _parse_object(_read_text(path), str(path))


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
    note = read_json(path)
    if 'figures' in note:
        note['figures'] = check_figures(note['figures'], f'{path}: figures')
    for name in ('seconds_per_epoch', 'passes', 'validation_balanced'):
        if note.get(name) is not None:
            check_number(f'{path}: {name}', note[name])
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


def _without_repeated(
    earlier: List[Dict[str, float]], lines: List[Dict[str, float]]
) -> List[Dict[str, float]]:
    """Lines of earlier starts that have led to the start that logs lines.

    Steps that it trains again, after a kill or as another training in the
    same folder, and what was logged after them, are left out.
    """
    steps = [line['step'] for line in lines if {'iter', 'step'} <= set(line)]
    for index, line in enumerate(earlier if steps else ()):
        if 'iter' in line and line.get('step', 0) >= steps[0]:
            return earlier[:index]
    return earlier


def read_scalars(folder: Union[str, Path]) -> List[Dict[str, float]]:
    """Read the logged figures of a run and its restarts, oldest first.

    Of steps that were trained more than once only the last time counts.
    After a kill the last line of a log may be incomplete: it is left out, and
    a note on stderr says so. So are empty lines, and what is not a figure.

    Args:
        folder: The run's folder.

    Raises:
        InputValueError: Another line of a log is not a JSON object, or has
            text where a number belongs.
    """
    found: List[Dict[str, float]] = []
    for log in sorted(Path(folder).glob('*/vis_data/scalars.json')):
        text = _read_text(log) if log.is_file() else ''
        lines = list(enumerate(text.split('\n'), 1))
        lines = [(n, line) for n, line in lines if line.strip(' \t\0')]
        ours = []
        for number, line in lines:
            source = f'{log}, line {number},'
            try:
                entries = _parse_object(line, source)
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
            ours.append(_numbers(entries))
        found = [*_without_repeated(found, ours), *ours]
    return found
