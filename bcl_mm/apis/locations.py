"""Where a config is."""

from __future__ import annotations

from pathlib import Path

import bcl_mm
from bcl_mm.utils.errors import InputValueError, MissingFileError


def find_config(name: str, folder: str = '') -> str:
    """Path of a config, given as a path or by its name in the package.

    Args:
        name: A path, or the name of a config that comes with the package,
            with or without ``.py``.
        folder: Folder that a relative path starts from. Defaults to the
            current one.

    Raises:
        MissingFileError: There is no such config.
    """
    path = Path(folder, name)
    if path.is_file():
        return str(path)
    message = f'there is no config {str(path)!r}'
    try:
        return bcl_mm.config_path(name)
    except InputValueError as error:
        if Path(name).name == name and not path.suffix:  # not a path
            message = str(error)
    raise MissingFileError(message)
