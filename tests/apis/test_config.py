"""What the tools say of a user's errors."""

import argparse
import sys

import pytest
from mmengine.registry import MODELS

from bcl_mm.apis import config as cli
from bcl_mm.datasets.transforms.loading import CorruptImageError
from tests.cli.common import BCL, CE, SHORT, TRAIN
from tests.conftest import ROOT


def caught(call):
    try:
        call()
    except Exception as error:
        return error


def test_errors_of_bcl_mm_are_explained():
    head = dict(type='bcl_mm.BCLHead', num_classes=1, in_channels=8)
    error = caught(lambda: MODELS.build(head))  # the registry wraps it
    assert 'num_classes must be >= 2' in str(error)
    assert cli.is_explained(error)
    assert cli.is_explained(CorruptImageError('of a data worker'))


def test_others_need_their_traceback():
    assert not cli.is_explained(caught(lambda: int('acht')))
    assert not cli.is_explained(caught(lambda: [][0]))


def test_an_error_of_settings_is_one_sentence(run, tmp_path):
    done = run(
        *(sys.executable, TRAIN, BCL, '--work-dir', tmp_path),
        *('--cfg-options', *SHORT, 'model.head.num_classes=7'),
        ok=False,
    )
    assert 'ValueError: training set: num_classes is 7, but' in done.stdout
    assert 'Traceback' not in done.stdout


@pytest.mark.parametrize(
    'option, meant',
    [
        ('train_cfg.max_epoch', 'train_cfg.max_epochs'),
        ('model.head.con_wieght', 'model.head.con_weight'),
    ],
)
def test_misspelt_options_are_noted(option, meant, capsys):
    parser = argparse.ArgumentParser()
    cli.add_common_options(parser)
    args = parser.parse_args(['--cfg-options', f'{option}=3'])
    args.config = str(ROOT / BCL)
    cli.load_config(args)
    assert f'is {meant} meant?' in capsys.readouterr().out


def test_new_options_are_not_noted(capsys):
    parser = argparse.ArgumentParser()
    cli.add_common_options(parser)
    args = parser.parse_args(['--cfg-options', 'find_unused_parameters=True'])
    args.config = str(ROOT / CE)
    cli.load_config(args)
    assert 'meant' not in capsys.readouterr().out
