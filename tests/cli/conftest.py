"""Fixtures of the tests of the tools."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Callable, List

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.runner import Runner
from PIL import Image

from bcl_mm.cli.main import main
from bcl_mm.datasets import Digits
from tests.cli.common import BCL
from tests.conftest import ROOT

# Commands whose file in tools/ has a longer name.
COMMANDS = dict(
    check_dataset='check',
    convert_checkpoint='convert',
    prepare_fashion_mnist='prepare',
)


@pytest.fixture
def call(monkeypatch, capsys) -> Callable:
    """Run a tool in this process; returns exit status, output and errors.

    The status is 0, 1, 2 or the text that the tool ended with.
    """
    monkeypatch.setenv('LOCAL_RANK', '0')  # which reading a config may set
    monkeypatch.chdir(ROOT)

    def call_tool(name: str, *arguments: object) -> tuple:
        monkeypatch.setattr(sys, 'argv', [f'{name}.py'])  # for the usage
        words = [str(argument) for argument in arguments]
        if name == 'prepare_fashion_mnist':
            words.insert(0, 'fashion-mnist')
        capsys.readouterr()
        status = 0
        try:
            main(words, command=COMMANDS.get(name, name))
        except SystemExit as error:
            status = error.code or 0
        output = capsys.readouterr()
        return status, output.out, output.err

    return call_tool


@pytest.fixture(scope='session')
def trained(tmp_path_factory) -> Path:
    """Checkpoint of an epoch of BCL on digits."""
    cfg = Config.fromfile(ROOT / BCL)
    cfg.train_cfg.max_epochs = 1
    cfg.log_level = 'ERROR'
    cfg.work_dir = str(tmp_path_factory.mktemp('trained'))
    Runner.from_cfg(cfg).train()
    return Path(cfg.work_dir, 'epoch_1.pth')


@pytest.fixture(scope='session')
def digits(tmp_path_factory) -> List[Path]:
    """Files of the first five test images of the digits, in their folder."""
    dataset = Digits(split='test', test_mode=True)
    folder = tmp_path_factory.mktemp('digits')
    paths = [folder / f'{i}.png' for i in range(5)]
    for i, path in enumerate(paths):
        Image.fromarray(np.array(dataset[i]['img'])).save(path)
    return paths
