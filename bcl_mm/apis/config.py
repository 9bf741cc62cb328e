"""Configs and their options: read, checked and completed."""

from __future__ import annotations

import argparse
import copy
import os
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

import torch
from mmengine.config import Config

import bcl_mm.registry  # noqa: F401  (says so if mmcv is missing)
from bcl_mm.apis.augmentation import apply_augmentation
from bcl_mm.apis.build_errors import explained_build_errors
from bcl_mm.apis.cfg_options import parse_options
from bcl_mm.apis.from_data import (
    LOADERS,
    dataset_configs,
    nested_dicts,
    resolve_num_classes,
)
from bcl_mm.apis.locations import find_config, stem_of
from bcl_mm.apis.noise import hide_warnings
from bcl_mm.apis.processes import share_processes
from bcl_mm.apis.validation import (
    OF_ALL_DATASETS,
    check_config,
    new_paths,
    resembling,
)
from bcl_mm.engine.processes import starts_first
from bcl_mm.engine.resume import obstacle_to_resume
from bcl_mm.engine.run_config import read_run_config
from bcl_mm.models.pretrained import apply_frozen, apply_pretrained
from bcl_mm.utils.checkpoint import load_checkpoint
from bcl_mm.utils.errors import (
    InputValueError,
    MissingFileError,
    described,
    visible,
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
    hide_warnings()
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
        cfg.work_dir = f'work_dirs/{stem_of(cfg)}'
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
        share_processes(cfg)
    return cfg


def apply_options(
    cfg: Config, options: Dict[str, Any], whole: bool = False
) -> None:
    """Apply the settings of the command line, and check the whole config.

    Args:
        cfg: Config, changed in place.
        options: Of :func:`~bcl_mm.apis.cfg_options.parse_options`. A name
            that begins with ``+`` may be one that nothing knows.
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
        root = os.path.expanduser(dataset.get('data_root') or '')
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
