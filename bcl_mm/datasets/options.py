"""Checks of the options that mmpretrain's data sets share."""

from __future__ import annotations

import os.path as osp
from collections import Counter
from typing import Any, Dict

from mmengine import list_from_file

from bcl_mm.utils.errors import (
    InputFileError,
    InputTypeError,
    InputValueError,
    MissingFileError,
    check_flag,
    check_number,
    shown,
)

_FLAGS = (
    *('check_files', 'collect_problems', 'lazy_init', 'serialize_data'),
    'test_mode',
)


def _check_class_names(name: str, classes: Any) -> None:
    """Raise an InputError unless ``classes`` names each class once."""
    source = ''
    if isinstance(classes, str):
        path = osp.expanduser(classes)
        if not osp.isfile(path):
            raise MissingFileError(
                f'{name} must be a list of names, or a file with a name in '
                f'each line, got {classes!r}, which is no file: write '
                f'{name}=[{classes!r}, ...] to name classes'
            )
        try:
            classes = list_from_file(path)
        except (OSError, UnicodeDecodeError) as error:
            raise InputFileError(
                f'{path}, the file of {name}, cannot be read: {error}'
            ) from error
        source = f' in {path}'
    if not isinstance(classes, (list, tuple)):
        raise InputTypeError(
            f'{name} must be a list of names, got {shown(classes)}'
        )
    times = Counter(map(str, classes))
    twice = [text for text, number in times.items() if number > 1]
    if twice:
        raise InputValueError(
            f'{name} must name each class once, got {twice[0]!r} '
            f'{times[twice[0]]} times{source}: remove it or rename a class'
        )


def check_options(options: Dict[str, Any]) -> None:
    """Check what mmpretrain's ``BaseDataset`` takes without a check.

    Args:
        options: Arguments of a data set, by name.

    Raises:
        InputTypeError: A flag is not a bool, ``max_refetch`` not a whole
            number, or ``classes`` neither a list nor text.
        InputValueError: ``classes`` (or those of ``metainfo``) names a class
            twice, or ``max_refetch`` is negative.
        MissingFileError: ``classes`` is text, but not the name of a file.
        InputFileError: That file cannot be read.
    """
    for name in _FLAGS:
        if name in options:
            check_flag(name, options[name])
    if 'max_refetch' in options:
        number = options['max_refetch']
        check_number('max_refetch', number, at_least=0, whole=True)
    if options.get('classes') is not None:
        _check_class_names('classes', options['classes'])
    metainfo = options.get('metainfo')
    names = metainfo.get('classes') if isinstance(metainfo, dict) else None
    if names is not None:
        _check_class_names("metainfo['classes']", names)
