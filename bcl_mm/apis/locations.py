"""Paths and names of configs, and folders for results."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Union

import bcl_mm
from bcl_mm.utils.errors import (
    InputFileError,
    InputValueError,
    MissingFileError,
)

if TYPE_CHECKING:
    from mmengine.config import Config


def find_config(name: str, folder: str = '') -> str:
    """Path of a config, given as a path or by its name in the package.

    Args:
        name: A path, the folder of a run, which has a ``config.json``, or
            the name of a config that comes with the package, with or without
            ``.py``.
        folder: Folder that a relative path starts from. Defaults to the
            current one.

    Raises:
        MissingFileError: There is no such config.
    """
    path = Path(folder, name)
    if path.is_dir() and (path / 'config.json').is_file():
        path /= 'config.json'
    if path.is_file():
        return str(path)
    message = f'there is no config {str(path)!r}'
    try:
        return bcl_mm.config_path(name)
    except InputValueError as error:
        if Path(name).name == name and not path.suffix:  # not a path
            message = str(error)
    raise MissingFileError(message)


def stem_of(cfg: Config) -> str:
    """Name of a config, without ``.py``; ``'config'`` if it has no file."""
    return Path(cfg.filename or 'config').stem


def make_folder(name: str, path: Union[str, Path]) -> None:
    """Make a folder, unless it exists.

    Args:
        name: What the user calls it, such as ``'--out'``.
        path: Its path.

    Raises:
        InputFileError: It cannot be made, or not be written to.
    """
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise InputFileError(
            f'{name} {str(path)!r} cannot be made: {error.strerror}'
        ) from error
    try:
        with tempfile.TemporaryFile(dir=path) as file:
            file.write(bytes(4096))
    except OSError as error:
        raise InputFileError(
            f'{name} {str(path)!r} cannot be written to: {error.strerror}'
        ) from error
