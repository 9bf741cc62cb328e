"""Errors of components that cannot be built as the config says."""

from __future__ import annotations

import contextlib
import sys
import traceback
from types import FrameType
from typing import Any, Dict, Iterable, Iterator, Optional, Tuple

from mmengine.registry import build_functions
from mmengine.runner import runner as runner_module

from bcl_mm.utils.errors import InputError, InputValueError

# Packages that check the arguments of a config by errors of any kind. In all
# others, and in ours, such an error is a bug, and keeps its traceback.
_LIBRARIES = ('mmcv', 'mmengine', 'mmpretrain', 'timm', 'torch', 'torchvision')
_KINDS = (
    *(AssertionError, AttributeError, ImportError, KeyError),
    *(NotImplementedError, RuntimeError, TypeError, ValueError),
)


def _is_builder(frame: FrameType) -> bool:
    """Whether a function builds a part of a config."""
    code = frame.f_code
    is_runner = code.co_filename == runner_module.__file__
    return code.co_filename == build_functions.__file__ or (
        is_runner and code.co_name.startswith(('build_', 'register_'))
    )


def _find(
    cfg: Any, part: Dict[str, Any], path: Tuple[str, ...] = ()
) -> Optional[str]:
    """Dotted path of a dict in a config; None if it is not there."""
    if isinstance(cfg, dict):
        # MMEngine adds arguments to some, such as the parameters.
        is_in = 'type' in cfg and all(
            key in part and part[key] == value for key, value in cfg.items()
        )
        if path and (cfg == part or is_in):
            return '.'.join(path)
        entries: Iterable[Tuple[Any, Any]] = cfg.items()
    elif isinstance(cfg, (list, tuple)):
        entries = enumerate(cfg)
    else:
        return None
    for key, value in entries:
        found = _find(value, part, (*path, str(key)))
        if found is not None:
            return found
    return None


def lack_of_type(error: BaseException) -> Optional[str]:
    """Sentence on a dict that MMEngine cannot build as it has no type.

    MMEngine's own holds the whole dict. None for another error.
    """
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    cfg = frame.f_locals.get('cfg')
    is_builder = frame.f_code.co_filename == build_functions.__file__
    if not (is_builder and isinstance(error, KeyError)):
        return None
    if not isinstance(cfg, dict) or 'type' in cfg:
        return None
    beside = f' beside {", ".join(map(str, cfg))}' if cfg else ''
    return f'the key type, the name of a component, is missing{beside}'


def _explain(error: Exception, cfg: Any) -> Optional[str]:
    """What cannot be built, and why; None if it is not the config's fault."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    builders = [i for i, frame in enumerate(frames) if _is_builder(frame)]
    if not builders or not isinstance(error, _KINDS):
        return None
    inside = frames[builders[-1] :]
    packages = [
        frame.f_globals.get('__name__', '').partition('.')[0]
        for frame in inside
    ]
    packages = [p for p in packages if p not in sys.stdlib_module_names]
    if not {*packages} <= {*_LIBRARIES, 'bcl_mm'} or packages[-1] == 'bcl_mm':
        return None
    where = None
    for frame in (frames[i] for i in reversed(builders)):
        for part in frame.f_locals.values():
            if where is None and isinstance(part, dict) and part:
                where = _find(dict(cfg), part)
    where = where or 'a part of the config'
    lack = lack_of_type(error)
    if lack:
        return f'{where} cannot be built: {lack}'
    text = str(error.args[0] if error.args else error)
    if not text:  # of an assertion
        text = traceback.extract_tb(error.__traceback__)[-1].line or ''
    text = ' '.join(text.split())[:500]
    return f'{where} cannot be built: {type(error).__name__}: {text}'


@contextlib.contextmanager
def explained_build_errors(cfg: Any) -> Iterator[None]:
    """Tell errors of building a config in a sentence that names its key.

    Only those that a library raises, for arguments that the config gives;
    errors of this package and of a user's own code keep their traceback.

    Args:
        cfg: The config.

    Raises:
        InputValueError: Instead of the library's.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        message = _explain(error, cfg)
        if message is None:
            raise
        raise InputValueError(message) from error
