"""Configs and their options: read, checked, completed, made a Runner."""

from __future__ import annotations

import argparse
import contextlib
import copy
import gc
import os
import re
import time
import warnings
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

import bcl_mm.registry  # noqa: F401  (says so if mmcv is missing)
from bcl_mm.apis.augmentation import apply_augmentation
from bcl_mm.apis.build_errors import explained_build_errors
from bcl_mm.apis.from_data import (
    LOADERS,
    dataset_configs,
    nested_dicts,
    resolve_num_classes,
)
from bcl_mm.apis.locations import find_config
from bcl_mm.apis.validation import (
    OF_ALL_DATASETS,
    check_config,
    new_paths,
    resembling,
)
from bcl_mm.engine.memory_format import channels_last_runner
from bcl_mm.engine.processes import (
    await_ranks,
    init_cpu_process_group,
    starts_first,
)
from bcl_mm.engine.resume import obstacle_to_resume
from bcl_mm.engine.run_config import read_run_config
from bcl_mm.engine.terminal import Terminal
from bcl_mm.models.pretrained import apply_frozen, apply_pretrained
from bcl_mm.utils.checkpoint import load_checkpoint
from bcl_mm.utils.errors import (
    InputValueError,
    MissingFileError,
    check_flag,
    described,
    visible,
)
from bcl_mm.utils.files import end_at_full_disk
from bcl_mm.utils.precision import set_precision

# Settings that are paths or other text, by their names or the ends of these.
_PATHS = re.compile(
    r'(.*[._])?(checkpoint|load_from|pretrained|first_stage|(data|img)_path'
    r'|root|dir|file|prefix|exclude|data_prefix\..+|column|group_regex)'
)

# Those of default_hooks that MMEngine lets be None.
_HOOKS_OF_MMENGINE = (
    *('checkpoint', 'logger', 'param_scheduler', 'runtime_info'),
    *('sampler_seed', 'timer'),
)

# Options of the commands that not all of them have.
DEFAULTS = dict(
    allow_code=False,
    amp=False,
    checkpoint=None,
    launcher='none',
    local_rank=0,
    no_pin_memory=False,
    work_dir=None,
)

# Warnings of the libraries that a user can do nothing about, and what shows
# them.
NOISE = (
    # Fashion-MNIST: mmpretrain turns read-only arrays into tensors.
    'The given NumPy array is not writable',
    # Every training: mmengine uses its own deprecated classes.
    '"(FileClient|HardDiskBackend)"',
    # launch: mmengine passes a deprecated argument to DDP.
    '`broadcast_buffers` is deprecated',
    # train --amp: mmengine uses torch's deprecated class.
    '`torch.cuda.amp.GradScaler',
    # slurm_train.sh: mmengine sets them for each process.
    'Setting (OMP|MKL)_NUM_THREADS',
    # pretrained=torchvision://...: the backbone does not load its classifier.
    r'The model and loaded state dict do not match exactly\s+unexpected key '
    r'in source state_dict: fc\.weight, fc\.bias\s*$',
)


def _split(text: str) -> Optional[List[str]]:
    """Parts of a text between its outer commas.

    None if its brackets or quotes do not match.
    """
    parts, opened, quote = [''], '', ''
    for char in text:
        if quote:
            quote = '' if char == quote else quote
        elif char in '\'"' and parts[-1].rstrip()[-1:] in ('', *'([,'):
            quote = char
        elif char in '([':
            opened += char
        elif char in ')]':
            if opened[-1:] + char not in ('()', '[]'):
                return None
            opened = opened[:-1]
        elif char == ',' and not opened:
            parts.append('')
            continue
        parts[-1] += char
    if opened or quote:
        return None
    if not parts[-1].strip():  # of nothing, or after a last comma
        parts.pop()
    return parts


def _parse_value(text: str) -> Any:
    word = text.strip()
    if re.fullmatch(r"""'[^']*'|"[^"]*\"""", word):
        return word[1:-1]
    kind = {'[]': list, '()': tuple}.get(word[:1] + word[-1:])
    parts = _split(word[1:-1]) if kind else None
    if kind is not None and parts is not None:
        return kind(_parse_value(part.strip()) for part in parts)
    for number in (int, float):
        with contextlib.suppress(ValueError):
            return number(word)
    if word.lower() in ('true', 'false'):
        return word.lower() == 'true'
    if word == 'None':
        return None
    values = (
        [_parse_value(p) for p in _split(word) or ()] if ',' in word else ()
    )
    is_text = not values or any(isinstance(value, str) for value in values)
    return text if is_text else values


def parse_options(options: Sequence[str]) -> Dict[str, Any]:
    """Settings of ``--cfg-options``.

    A value is, in this order,

    - text as it is between quotes (``'...'`` or ``"..."``);
    - a list or tuple in brackets, ``[a,b]`` or ``(1, [2, 3])``, of values
      between commas; spaces around them do not count;
    - a number, ``True`` or ``False`` (in any case), or ``None``;
    - a list of these, between commas (``1,2``);
    - text, as it was typed: with its spaces and commas.

    A ``+`` before the name is kept: it adds a setting that nothing knows.

    A path (``checkpoint``, ``load_from``, ``pretrained``, and what ends in
    ``_root``, ``_dir``, ``_file`` or ``_prefix``), a ``..._column`` and
    ``group_regex`` are never a number or a list: a folder may be called
    ``2024`` or ``[old]``. A ``~`` at its start is
    the home folder; the shell does not expand it behind an equals sign.

    Args:
        options: ``KEY=VALUE`` each; the value may contain more ``=``.

    Raises:
        InputValueError: One is not of this form.
    """
    parsed = {}
    for option in options:
        key, equals, text = option.partition('=')
        if not (key and equals):
            raise InputValueError(
                f'--cfg-options must be KEY=VALUE, got {option!r}'
            )
        value = _parse_value(text)
        if _PATHS.fullmatch(key.removeprefix('+')):
            if not isinstance(value, (str, bool, type(None))):
                value = text
            if isinstance(value, str):
                value = os.path.expanduser(value)
        parsed[key] = value
    return parsed


def read_config(path: str, allow_code: bool = False) -> Config:
    """Read the file of a config.

    A Python config is run. A JSON file is data, such as the ``config.json``
    of a run folder.

    Args:
        path: The file.
        allow_code: Whether a JSON file may name code that is not registered.
            Defaults to False.

    Raises:
        InputValueError: It cannot be read; the message names it.
    """
    if Path(path).suffix == '.json':
        return read_run_config(path, allow_code)
    try:
        return Config.fromfile(path)
    except Exception as error:  # a config is Python
        raise InputValueError(f'{path}: {described(error)}') from error


def load_config(args: argparse.Namespace, whole: bool = False) -> Config:
    """Config of the command line: file, common options, overrides.

    Args:
        args: With ``config``, a path or a name for :func:`find_config`, or a
            config that has been read, which is left unchanged; it may have
            ``checkpoint``, which is tested, and what
            :func:`bcl_mm.cli.options.add_common_options` adds.
        whole: Whether a Runner is built from it, so that all of its types and
            what these need must be there. Defaults to False.

    Raises:
        InputValueError: The config cannot be read, or an option cannot work
            on this machine.
        MissingFileError: The config does not exist.
    """
    for message in NOISE:
        warnings.filterwarnings('ignore', message=message)
    given = {**DEFAULTS, **vars(args)}
    if given['amp'] and not torch.accelerator.is_available():
        raise InputValueError(
            '--amp needs an accelerator (a GPU), and this machine has none: '
            'leave --amp out'
        )
    if isinstance(args.config, Config):
        cfg = copy.deepcopy(args.config)
    else:
        cfg = read_config(find_config(args.config), given['allow_code'])
    cfg.launcher = given['launcher']
    if given['work_dir'] is not None:
        cfg.work_dir = given['work_dir']
    elif cfg.get('work_dir') is None:
        cfg.work_dir = f'work_dirs/{Path(cfg.filename).stem}'
    apply_options(cfg, parse_options(args.cfg_options), whole)
    if given['checkpoint'] is not None:
        # Weights that the checkpoint replaces; timm loads them from the
        # internet when the model is built.
        for part in nested_dicts(cfg.get('model')):
            if part.get('pretrained'):
                is_flag = part['pretrained'] is True
                part['pretrained'] = False if is_flag else None
    _check_own_data_options(cfg)
    _complete_dataloaders(cfg, pin_memory=not given['no_pin_memory'])
    hooks = cfg.get('default_hooks') or {}
    for name in set(hooks) - set(_HOOKS_OF_MMENGINE):
        if hooks[name] is None:
            hooks.pop(name)
    os.environ.setdefault('LOCAL_RANK', str(given['local_rank']))
    if cfg.launcher != 'none':
        _share_processes(cfg)
    return cfg


def apply_options(
    cfg: Config, options: Dict[str, Any], whole: bool = False
) -> None:
    """Apply the settings of the command line, and check the whole config.

    Args:
        cfg: Config, changed in place.
        options: Of :func:`parse_options`. A name that begins with ``+`` may
            be one that nothing knows.
        whole: See :func:`load_config`.

    Raises:
        InputValueError: A setting does not exist, see
            :func:`~bcl_mm.apis.validation.check_config`, or is one of data
            sets that none has.
    """
    for name, meant in resembling(cfg):
        print(
            f'Note: nothing reads {name} of the config: is {meant} meant?',
            flush=True,
        )
    new = new_paths(cfg, (name.removeprefix('+') for name in options))
    added = new_paths(cfg, (n[1:] for n in options if n.startswith('+')))
    options = {name.removeprefix('+'): v for name, v in options.items()}
    try:
        cfg.merge_from_dict(options)
    except (KeyError, TypeError) as error:
        raise InputValueError(f'--cfg-options: {error}') from error
    check_config(cfg, new, added, whole)
    for name in filter(options.__contains__, OF_ALL_DATASETS):
        readers = [d for _, d in dataset_configs(cfg) if name in d]
        if not readers and (name,) not in added:
            raise InputValueError(
                f'{name} reaches no data set, since none of the config has '
                'it: leave it out, or give the whole name of the setting, '
                f'such as train_dataloader.dataset.{name}'
            )
        for dataset in readers:
            dataset[name] = cfg[name]
    apply_augmentation(cfg)


def complete_model(cfg: Config, checkpoint: Optional[str] = None) -> None:
    """Set what depends on data or weights in the config of the model.

    Args:
        cfg: Config, changed in place.
        checkpoint: The checkpoint that is tested, or that training resumes
            from: it has the weights, and no ``pretrained`` ones are loaded.
            Defaults to None.

    Raises:
        InputValueError: Data, checkpoint or pretrained weights do not fit.
        InputFileError: One of them does not exist.
    """
    with explained_build_errors(cfg):
        resolve_num_classes(cfg, checkpoint)
        apply_frozen(cfg, checkpoint)
        loaded = apply_pretrained(cfg, load=checkpoint is None)
    if loaded is not None and starts_first(cfg.get('launcher', 'none')):
        print(visible(loaded), flush=True)


class _FormattedOnce(Config):
    """A config that is formatted again only after a change.

    MMEngine formats it for every checkpoint, which takes five seconds for a
    long pipeline.
    """

    _formatted = ('', '')  # unformatted and formatted text, of the last one

    @property
    def pretty_text(self) -> str:
        """The config as Python code."""
        plain = repr(self.to_dict())
        if plain != _FormattedOnce._formatted[0]:
            _FormattedOnce._formatted = plain, super().pretty_text
        return _FormattedOnce._formatted[1]


def formatted_once(cfg: Config) -> Config:
    """The same config, sharing its content, but formatted once."""
    copied = _FormattedOnce.__new__(_FormattedOnce)
    copied.__setstate__(cfg.__getstate__())
    return copied


def build_runner(cfg: Config, terminal: Optional[Terminal] = None) -> Runner:
    """Runner of a config, without log lines that ask nothing of a user.

    Args:
        cfg: The config.
        terminal: Shows the progress of training. Defaults to None: the
            terminal shows the whole log.
    """
    cfg = formatted_once(cfg)
    _await_free_second(cfg)
    if cfg.get('default_hooks') is None:
        cfg.default_hooks = {}
    cfg.default_hooks.setdefault(
        'run_config', dict(type='bcl_mm.RunConfigHook')
    )
    # MMEngine collects garbage for each data set it builds: half a second, if
    # all that was imported is searched.
    if not gc.get_freeze_count():  # once: garbage would stay, too
        gc.freeze()
    set_precision(cfg.get('precision'))
    kind = cfg.get('runner_type', Runner)
    kind = RUNNERS.get(kind) if isinstance(kind, str) else kind
    check_flag('channels_last', cfg.get('channels_last', False))
    if cfg.get('channels_last'):
        kind = channels_last_runner(kind)
    if terminal is not None:
        kind = terminal.runner_class(kind)
    runner = kind.from_cfg(cfg)
    if terminal is not None:
        runner.register_hook(terminal)
    noise = re.compile('|'.join(NOISE))
    runner.logger.addFilter(
        lambda record: not noise.match(record.getMessage())
    )
    end_at_full_disk(runner.logger)
    return runner


def _await_free_second(cfg: Config) -> None:
    """Wait until MMEngine's names are free.

    A Runner names its logs, logger and metrics by the second: one built in
    the same process and second would write into those of the earlier one.
    """
    name = cfg.get('experiment_name') or Path(cfg.filename or '').stem
    while MMLogger.check_instance_created(
        f'{name}_{time.strftime("%Y%m%d_%H%M%S")}'.lstrip('_')
    ):
        time.sleep(0.05)


def check_checkpoint(source: str, resume: bool = False) -> None:
    """Fetch and check a checkpoint before the work starts.

    Args:
        source: Its path or address.
        resume: Whether training resumes from it. Defaults to False.

    Raises:
        InputFileError: It does not exist, or cannot be downloaded.
        InputValueError: It is damaged, contains more than weights, or lacks
            what training needs to resume.
    """
    content = load_checkpoint(source)
    obstacle = obstacle_to_resume(content) if resume else None
    if obstacle is not None:
        raise InputValueError(
            f'training cannot resume from {source!r}: {obstacle}. To start '
            'from its weights, leave --resume out and set --cfg-options '
            f'load_from={source}'
        )


def check_data_roots(cfg: Config, loaders: Tuple[str, ...] = LOADERS) -> None:
    """Raise a MissingFileError for a ``data_root`` without data.

    The config's ``data_hint`` says how to get the data.
    """
    for loader, dataset in dataset_configs(cfg, loaders):
        root = dataset.get('data_root')
        if not root or Path(root).is_file():  # a single list
            continue
        exists = Path(root).is_dir()
        if not (exists and any(Path(root).iterdir())):
            hint = cfg.get('data_hint', 'Give it with --cfg-options data_root')
            what = 'is empty' if exists else 'does not exist'
            raise MissingFileError(
                f'data_root {root!r} of the {loader} {what}. {hint}'
            )


def _check_own_data_options(cfg: Config) -> None:
    """Print a note on options of a config's data that reach no dataset.

    Datasets of a base have the base's own, since the base was read first.
    """
    datasets = [dataset for _, dataset in dataset_configs(cfg)]
    for name in OF_ALL_DATASETS:
        values = [dataset[name] for dataset in datasets if name in dataset]
        own = cfg.get(name)
        if own is None or not values or own in values:
            continue
        listed = ', '.join(sorted(set(map(repr, values))))
        print(
            f'Note: {name} = {own!r} of the config reaches no data set, '
            f'which read {listed}: set it with --cfg-options {name}={own}',
            flush=True,
        )


def _complete_dataloaders(cfg: Config, pin_memory: bool) -> None:
    for loader in filter(None, map(cfg.get, LOADERS)):
        loader.setdefault('pin_memory', True)
        if not (pin_memory and torch.accelerator.is_available()):
            loader.pin_memory = False
        loader.setdefault('collate_fn', dict(type='default_collate'))
        cores = len(os.sched_getaffinity(0))  # more workers only wait
        loader.num_workers = min(loader.get('num_workers', 0), cores)
        # Without SampleSeedHook, workers that are started anew each epoch
        # repeat the first epoch's augmentations: mmengine seeds them alike.
        loader.setdefault('persistent_workers', True)
        if loader.num_workers == 0:
            loader.persistent_workers = False


def _apply_timeouts(cfg: Config) -> None:
    """Apply the time limits that ``bcl-mm launch`` documents."""
    cfg.setdefault('env_cfg', {}).setdefault('dist_cfg', dict(backend='nccl'))
    timeout = os.environ.get('DIST_TIMEOUT')
    if timeout:
        if not timeout.isdecimal() or int(timeout) < 1:
            raise InputValueError(
                f'DIST_TIMEOUT must be a whole number >= 1, got {timeout!r}'
            )
        cfg.env_cfg.dist_cfg.timeout = int(timeout)
    # Where torchrun's agent hosts the store of the processes.
    if os.environ.get('TORCHELASTIC_USE_AGENT_STORE') == 'True':
        await_ranks(int(os.environ.get('RDZV_TIMEOUT', 40)))


def _share_processes(cfg: Config) -> None:
    """Distribute the processes of a launcher over this machine's devices."""
    has_devices = torch.accelerator.is_available()
    needs_devices = any(
        part.get('sync_bn') is not None
        or str(part.get('type')).endswith('SyncBN')
        for part in nested_dicts(cfg.to_dict())
    )
    if needs_devices and not has_devices:
        raise InputValueError(
            'SyncBatchNorm needs GPUs, and this machine has none: leave out '
            "sync_bn='torch' and norm_cfg=dict(type='SyncBN')"
        )
    _apply_timeouts(cfg)
    num_local = int(os.environ.get('LOCAL_WORLD_SIZE', 1))
    num_gpus = torch.cuda.device_count()
    if torch.cuda.is_available() and num_local > num_gpus:
        raise InputValueError(
            f'{num_local} GPUs were asked for, but this machine shows '
            f'{num_gpus}: start at most {num_gpus} processes on it'
        )
    if has_devices:
        return  # mmengine knows NPU, MLU and their like, too
    if cfg.launcher != 'pytorch':
        raise InputValueError(
            f'--launcher {cfg.launcher} needs GPUs, and this machine has '
            'none: use bcl-mm launch, which runs on CPU processes too'
        )
    if os.environ['LOCAL_RANK'] == '0':
        print(
            f'This machine has no GPU: running {num_local} CPU processes '
            '(gloo).',
            flush=True,
        )
    init_cpu_process_group(cfg.env_cfg.dist_cfg.get('timeout', 1800))
    given = cfg.get('model_wrapper_cfg') or {}
    if str(given.get('type')).endswith('ShardedModel'):
        return
    cfg.model_wrapper_cfg = dict(
        type='MMDistributedDataParallel',
        device_ids=None,
        broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False),
    )
