"""Training from Python, as in a notebook."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Optional, Sequence, Union

from mmengine.config import Config

from bcl_mm.apis.build_errors import explained_build_errors
from bcl_mm.apis.config import check_data_roots, complete_model, load_config
from bcl_mm.apis.locations import make_folder
from bcl_mm.apis.runner import build_runner
from bcl_mm.apis.runs import method_name
from bcl_mm.engine.resume import latest_checkpoint
from bcl_mm.engine.terminal import Terminal
from bcl_mm.utils.lock import lock_folder


def open_config(
    config: Union[str, Path, Config],
    cfg_options: Sequence[str] = (),
    work_dir: Union[str, Path, None] = None,
) -> Config:
    """Read a config, with settings as on the command line.

    Args:
        config: Its path, or the name of one of the package; or a config.
        cfg_options: ``KEY=VALUE`` settings that override the config's, such
            as ``data_root=PATH``. Defaults to none.
        work_dir: Folder of logs and checkpoints. Defaults to None: as in the
            config, or ``work_dirs/NAME``.

    Raises:
        MissingFileError: There is no such config.
        InputValueError: It cannot be read, or a setting does not exist.

    Example:
        >>> settings = ['train_cfg.max_epochs=2']
        >>> cfg = open_config('bcl_resnet8_digits_lt', settings)
        >>> cfg.train_cfg.max_epochs, cfg.work_dir
        (2, 'work_dirs/bcl_resnet8_digits_lt')
    """
    args = argparse.Namespace(
        config=config if isinstance(config, Config) else str(config),
        cfg_options=list(cfg_options),
        work_dir=None if work_dir is None else str(work_dir),
    )
    return load_config(args, whole=True)


def train(
    config: Union[str, Path, Config],
    cfg_options: Sequence[str] = (),
    work_dir: Union[str, Path, None] = None,
    resume: bool = False,
) -> Path:
    """Train a model on this process's device, as ``bcl-mm train`` does.

    Args:
        config: See :func:`open_config`.
        cfg_options: See :func:`open_config`. Defaults to none.
        work_dir: See :func:`open_config`. Defaults to None.
        resume: Resume from the latest checkpoint in the work dir, if there
            is one. Defaults to False.

    Returns:
        The work dir, which :func:`~bcl_mm.apis.inference.load_model` and a
        report take.

    Raises:
        InputError: Config, data or weights are wrong; the message says how.

    Example:
        A short training, and its folder:

        >>> settings = ['train_cfg.max_epochs=3']
        >>> folder = train('bcl_resnet8_digits_lt', settings, 'digits')
        BCL: 331 training images of 10 classes (120 to 2 per class); ...
        >>> folder.name, (folder / 'epoch_3.pth').is_file()
        ('digits', True)
    """
    cfg = open_config(config, cfg_options, work_dir)
    work_dir = Path(cfg.work_dir)
    is_new = not work_dir.exists()
    make_folder('work_dir', cfg.work_dir)
    with lock_folder(work_dir, is_new=is_new):
        latest: Optional[str] = None
        if resume:
            latest, _ = latest_checkpoint(cfg.work_dir)
            cfg.resume, cfg.load_from = latest is not None, latest
        check_data_roots(cfg, ('train_dataloader', 'val_dataloader'))
        complete_model(cfg, latest)
        terminal = Terminal(method_name(cfg))
        with terminal, explained_build_errors(cfg):
            build_runner(cfg, terminal).train()
    return work_dir
