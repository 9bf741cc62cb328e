"""Fixtures of the tests of the tools."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Callable, List

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from PIL import Image

from bcl_mm.cli.main import main
from bcl_mm.datasets import Digits
from tests.cli.common import (
    BCL,
    SHORT,
)
from tests.cli.comparisons import command
from tests.conftest import ROOT
from tests.trees import (
    write_lists,
)

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


@pytest.fixture
def check(call):
    """Run the tool in this process; returns exit status and output."""

    def check_config(*arguments):
        status, output, errors = call('check_dataset', *arguments)
        # MMEngine's logger keeps the stderr of the first test.
        return status, output or errors

    return check_config


@pytest.fixture
def folders(tmp_path):
    """A tree of a folder per class: cats, dogs, elks, 6 / 4 / 2 of them."""
    write_lists(tmp_path / 'source')
    for split in ('train', 'val'):
        for i, name in enumerate(('cat', 'dog', 'elk')):
            path = tmp_path / split / name
            path.mkdir(parents=True)
            pattern = f'train/n0144076{4 + i}/{split}_*'
            for image in (tmp_path / 'source').glob(pattern):
                image.rename((path / image.name).with_suffix('.jpg'))
    return tmp_path


@pytest.fixture
def compare(run_warm, tmp_path):
    """Run the tool in tmp_path/runs with short trainings."""

    def call(*arguments, options=SHORT, work_dir=tmp_path / 'runs', ok=True):
        words = command(work_dir, *arguments, options=options)
        return run_warm(*words, ok=ok, OMP_NUM_THREADS='1').stdout

    return call


@pytest.fixture
def convert(tmp_path, capsys):
    """Convert a checkpoint in this process; returns what is printed."""

    def run_main(content, *options, out=tmp_path / 'out.pth'):
        path = tmp_path / 'in.pth'
        if content is not None:
            torch.save(content, path)
        main([str(word) for word in (path, out, *options)], command='convert')
        return capsys.readouterr().out

    return run_main


@pytest.fixture
def refused(convert, capsys, tmp_path):
    """The error of a checkpoint that cannot be converted."""

    def run_convert(content, *options, **out):
        with pytest.raises(SystemExit) as error:
            convert(content, *options, **out)
        assert error.value.code == 1
        assert not list(tmp_path.glob('*.part'))
        assert out or not (tmp_path / 'out.pth').exists()
        message = capsys.readouterr().err
        assert message.startswith('Error: ')
        return message.removeprefix('Error: ').strip()

    return run_convert
