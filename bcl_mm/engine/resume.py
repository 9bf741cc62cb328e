"""The checkpoint that training resumes from."""

from __future__ import annotations

import inspect
import re
import uuid
from pathlib import Path, PurePath
from typing import Any, Dict, Iterator, List, Optional, Set, Tuple

from mmengine.hooks import Hook
from mmengine.optim import OptimWrapperDict
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmengine.utils import is_list_of
from torch.optim import Optimizer

from bcl_mm.utils.checkpoint import is_file, load_checkpoint
from bcl_mm.utils.errors import InputError, InputValueError, MissingFileError
from bcl_mm.utils.files import write_atomically

# In a work dir: the name of the training that was last started there, which
# its checkpoints have in their meta.
_TRAINING = 'training_name'


def obstacle_to_resume(content: Dict[str, Any]) -> Optional[str]:
    """Reason why no training can resume from a checkpoint, None if one can.

    Args:
        content: What :func:`~bcl_mm.utils.checkpoint.load_checkpoint` gave.
    """
    entries = 'meta', 'state_dict', 'message_hub', 'optimizer'
    missing = [entry for entry in entries if entry not in content]
    if missing:
        return f'it has no {", ".join(missing)}'
    meta = content['meta']
    for name in ('epoch', 'iter'):
        if meta.get(name) is None:
            return f'its meta has no {name}'
    if 'config' in meta:
        return (
            "its meta.config is Python code, which MMEngine's Runner would "
            'run (it writes meta.cfg itself)'
        )
    for name in ('message_hub', 'optimizer'):
        if not isinstance(content[name], dict):
            kind = type(content[name]).__name__
            return f'its {name} must be a dict, got {kind}'
    hub = content['message_hub']
    parts = 'log_scalars', 'runtime_info', 'resumed_keys'
    missing = [part for part in parts if not isinstance(hub.get(part), dict)]
    if missing:
        return f'its message_hub has no {", ".join(missing)}'
    return None


def _paired(ours: Any, theirs: Any) -> Iterator[Tuple[Any, Any]]:
    """Optimizers, or lists of schedules: one, or several by name."""
    if not isinstance(ours, (dict, OptimWrapperDict)):
        yield ours, theirs
        return
    for name, part in ours.items():
        yield part, theirs.get(name) if isinstance(theirs, dict) else None


def _settings_of(schedule: Any) -> Set[str]:
    """Names of the arguments of a schedule."""
    names = {
        name
        for owner in type(schedule).__mro__
        if '__init__' in vars(owner)
        for name in inspect.signature(vars(owner)['__init__']).parameters
    }
    return names - {'last_step', 'verbose'}


def _difference(owner: str, name: str, old: Any, new: Any) -> str:
    """A setting whose value in the config would be ignored."""
    return (
        f'{name} of {owner} is {old!r} in it, and {new!r} in the config. '
        'Training resumes with the settings that it had: restore the config, '
        'or start a new training from its weights with load_from'
    )


def _other_settings(
    optimizer: Optimizer, groups: List[Dict[str, Any]]
) -> Optional[str]:
    """What differs in the settings of an optimizer's state, None if nothing.

    Args:
        optimizer: That of the config.
        groups: Groups of parameters in the checkpoint.
    """
    kind = type(optimizer).__name__
    # Flags may be missing: they came with later versions of torch.
    needed = {
        name
        for name, value in optimizer.defaults.items()
        if isinstance(value, (int, float, tuple))
        and not isinstance(value, bool)
    }
    for group, own in zip(groups, optimizer.param_groups):
        missing = sorted(needed.difference(group))
        if missing:
            return (
                f'its optimizer has no {", ".join(missing)}, which {kind} '
                'needs'
            )
        # AdamW is Adam with this flag, and the names are the same.
        for name in ('decoupled_weight_decay', *sorted(needed)):
            first = f'initial_{name}'  # of what schedules change
            key = first if first in group and first in own else name
            old, new = group.get(key, own.get(key)), own.get(key)
            if old != new:
                return _difference(kind, name, old, new)
    return None


def obstacle_of_training(
    content: Dict[str, Any],
    optimizers: Any,
    schedules: Any,
    may_change: bool = False,
) -> Optional[str]:
    """Reason why this training cannot resume from a checkpoint.

    MMEngine leaves out what a checkpoint lacks: warm-up and momentum would
    begin anew.

    Args:
        content: The checkpoint.
        optimizers: The Runner's ``optim_wrapper``.
        schedules: The Runner's ``param_schedulers``.
        may_change: Whether the settings of schedules may differ, as they do
            where the data or the end of training have changed. Defaults to
            False.
    """
    for wrapper, state in _paired(optimizers, content['optimizer']):
        is_dict = isinstance(state, dict)
        groups: Any = state.get('param_groups') if is_dict else ()
        own = wrapper.optimizer.param_groups
        if not (
            is_list_of(groups, dict)
            and isinstance(state.get('state'), dict)
            and [len(group.get('params', ())) for group in groups]
            == [len(group['params']) for group in own]
        ):
            return (
                'its optimizer is of other parameters than those of the model'
            )
        obstacle = _other_settings(wrapper.optimizer, groups)
        if obstacle is not None:
            return obstacle
    if not schedules:
        return None
    if not content.get('param_schedulers'):
        return 'it has no param_schedulers: the schedules would begin anew'
    for ours, theirs in _paired(schedules, content['param_schedulers']):
        if not is_list_of(theirs, dict) or len(theirs) != len(ours):
            return (
                'its param_schedulers are not those of the config, which has '
                f'{len(ours)}'
            )
        for schedule, state in zip(ours, theirs):
            kind = type(schedule).__name__
            own = schedule.state_dict()
            if set(own) != set(state):
                return f'its param_schedulers have none of {kind}'
            for name in _settings_of(schedule).intersection(own):
                if not may_change and own[name] != state[name]:
                    return _difference(kind, name, state[name], own[name])
    return None


def check_epoch_length(runner: Runner, may_change: bool) -> None:
    """Check that epochs are as long as before training was interrupted.

    Args:
        runner: Of a training that resumes.
        may_change: Whether another length is only a warning.

    Raises:
        InputValueError: They are not.
    """
    loop = runner.train_loop
    length = len(runner.train_dataloader)
    if not isinstance(loop, EpochBasedTrainLoop):
        return
    # A checkpoint that counts iterations may end an epoch that still counts.
    if 0 <= runner.iter - runner.epoch * length <= length:
        return
    change = (
        f'an epoch has {length} iterations, but in the checkpoint '
        f'{runner.epoch} had {runner.iter}: data, batch size or number of '
        'processes have changed'
    )
    if not may_change:
        raise InputValueError(
            f'{change}. Restore them, or resume anyway with '
            '--allow-changed-data'
        )
    runner.logger.warning(change)
    loop._iter = runner.epoch * length  # where the epoch starts


class StartHook(Hook):
    """Notes that the first step begins: a training resumed without error."""

    has_started = False

    def before_train_iter(self, *args: Any, **kwargs: Any) -> None:
        """Note it."""
        self.has_started = True


def name_training(work_dir: str, resumed: Optional[str] = None) -> str:
    """Name a training, and make later resumptions in its folder ignore others.

    If a new training is killed before its first checkpoint, it must not
    resume from those of an earlier one. (Times do not tell: clocks are set
    back, and copied files get new ones.)

    Args:
        work_dir: Its folder.
        resumed: The name in the checkpoint that it resumed from. Defaults to
            None: it starts anew.

    Returns:
        The name, for the ``meta`` of its checkpoints.
    """
    folder = Path(work_dir)
    if resumed is None:
        (folder / 'last_checkpoint').unlink(missing_ok=True)
    name = resumed or uuid.uuid4().hex
    if _read_note(folder / _TRAINING) != name:
        write_atomically(name, folder / _TRAINING)
    return name


def _read_note(path: Path) -> str:
    """The start of a small text file; empty if it is none."""
    if not is_file(path):
        return ''
    with open(path, errors='replace') as file:
        return file.read(4096).strip()


def latest_checkpoint(work_dir: str) -> Tuple[Optional[str], Optional[str]]:
    """The checkpoint that training resumes from.

    It is the one that ``last_checkpoint`` names (looked up by its name in
    the folder first, which may be a copy). If that cannot be used, it is the
    one of most iterations in the folder that is complete and has all that
    training needs, of the training that was started last.

    Returns:
        Its path, None if there is none; and the problem with
        ``last_checkpoint``, None if it is fine.

    Raises:
        InputValueError: There are checkpoints, but all are damaged, or were
            written without optimizer.
    """
    folder = Path(work_dir)
    note = folder / 'last_checkpoint'
    named = _read_note(note)
    problem = f'{note} is {"empty" if is_file(note) else "missing"}'
    if named:
        copied = folder / PurePath(named).name
        path = str(copied) if is_file(copied) else named
        try:
            if not is_file(path):  # an address is not looked up
                raise MissingFileError(f'there is no checkpoint {path!r}')
            obstacle = obstacle_to_resume(load_checkpoint(path))
            if obstacle is None:
                return path, None
            problem = f'training cannot resume from {path!r}: {obstacle}'
        except InputError as error:
            problem = str(error)
        problem += f' (named by {note})'
    training = _read_note(folder / _TRAINING)
    found: Dict[str, int] = {}
    problems: Dict[str, str] = {}
    files = [f for f in folder.glob('*.pth') if f.name[:5] != 'best_']
    for file in filter(is_file, sorted(files)):
        path = str(file)
        try:
            content = load_checkpoint(path)
        except InputError as error:
            problems[path] = str(error)
            continue
        meta = content.get('meta', {})
        if training and meta.get('training') != training:
            continue  # of an earlier training
        obstacle = obstacle_to_resume(content)
        if obstacle is None:
            found[path] = meta['iter']
        else:
            problems[path] = (
                f'training cannot resume from {path!r}: {obstacle}'
            )
    if found:
        return max(found, key=found.__getitem__), problem
    # Published checkpoints, and a user's own files, are not meant to be
    # resumed from.
    written = [
        problems[path]
        for path in problems
        if re.fullmatch(r'.*_\d+\.pth', PurePath(path).name)
    ]
    if written:
        raise InputValueError(
            f'{folder} holds checkpoints, and training can resume from none '
            f'of them: {"; ".join(written)}'
        )
    return None, problem if named else None
