"""Configs, their options, and what is said of a user's errors."""

import argparse
import sys

import pytest
from mmengine.config import Config

import bcl_mm
from bcl_mm.apis import config as cli
from bcl_mm.apis.locations import find_config
from bcl_mm.cli import load_command
from bcl_mm.cli.options import add_common_options
from bcl_mm.cli.train import merge_options
from bcl_mm.utils.errors import InputValueError, MissingFileError
from tests.cli.common import BCL, SHORT, TRAIN
from tests.conftest import ROOT


def test_configs_are_paths_or_names(tmp_path, monkeypatch):
    packaged = bcl_mm.config_path('ce_resnet8_digits_lt')
    monkeypatch.chdir(tmp_path)
    assert find_config('ce_resnet8_digits_lt') == packaged
    assert find_config('ce_resnet8_digits_lt.py', 'folder') == packaged
    own = tmp_path / 'ce_resnet8_digits_lt.py'
    own.touch()
    assert find_config(own.name) == own.name
    assert find_config(own.name, str(tmp_path)) == str(own)
    assert find_config('ce_resnet8_digits_lt') == packaged
    with pytest.raises(MissingFileError, match="config 'a/b.py'$"):
        find_config('b.py', 'a')
    with pytest.raises(MissingFileError, match="'ce'; there are .*, ce_res"):
        find_config('ce')


@pytest.mark.parametrize(
    'text, message',
    [
        ('model = dict(\n', 'SyntaxError: '),
        ("x = dict()['y']\n", "KeyError: 'y'"),
        ("_base_ = 'gone.py'\n", 'gone.py'),
    ],
)
def test_an_error_in_a_config_names_it(tmp_path, text, message):
    path = tmp_path / 'mine.py'
    path.write_text(text)
    with pytest.raises(InputValueError) as error:
        cli.read_config(str(path))
    assert str(error.value).startswith(f'{path}: ')
    assert message in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def load(*options):
    parser = argparse.ArgumentParser()
    add_common_options(parser)
    args = parser.parse_args(['--cfg-options', *options])
    args.config = str(ROOT / BCL)
    return cli.load_config(args)


def test_an_option_that_fits_nowhere():
    with pytest.raises(InputValueError, match='--cfg-options: type=.*inherit'):
        load('default_hooks.class_info.type.x=1')


def test_every_default_hook_may_be_none():
    hooks = load('default_hooks.view_grid=None', 'default_hooks.timer=None')
    hooks = hooks.default_hooks
    assert 'view_grid' not in hooks  # which MMEngine would not allow
    assert hooks.timer is None and hooks.sample_seed is not None


def test_options_several_times(capsys):
    parser = argparse.ArgumentParser()
    add_common_options(parser)
    words = '--cfg-options', 'a=1', 'b=2', '--amp', '--cfg-options', 'c=3'
    assert parser.parse_args(words).cfg_options == ['a=1', 'b=2', 'c=3']
    assert parser.parse_args([]).cfg_options == []


@pytest.mark.parametrize(
    'words, amp',
    [
        ('CONFIG --amp', 'auto'),
        ('--amp CONFIG', 'auto'),
        ('--amp bf16 CONFIG', 'bf16'),
        ('CONFIG --amp=fp16', 'fp16'),
        ('CONFIG', None),
    ],
)
def test_mixed_precision_may_name_its_type(words, amp):
    _, parser = load_command('train')
    args = parser.parse_args(words.split())
    assert (args.config, args.amp) == ('CONFIG', amp)


@pytest.mark.parametrize('amp', ['auto', 'fp16', 'bf16'])
def test_the_wrapper_of_mixed_precision(amp):
    cfg = load('log_level=INFO')
    _, parser = load_command('train')
    merge_options(cfg, parser.parse_args(['CONFIG', '--amp', amp]))
    expected = dict(
        auto=dict(loss_scale='dynamic'),
        fp16=dict(loss_scale='dynamic', dtype='float16'),
        bf16=dict(loss_scale=dict(enabled=False), dtype='bfloat16'),
    )
    wrapper = dict(cfg.optim_wrapper, optimizer=None)
    assert wrapper == dict(
        type='AmpOptimWrapper', optimizer=None, **expected[amp]
    )
    cli.apply_options(cfg, {}, whole=True)  # as a test of the run does


@pytest.mark.long
def test_an_error_of_settings_is_one_sentence(run_warm, tmp_path):
    done = run_warm(
        *(sys.executable, TRAIN, BCL, '--work-dir', tmp_path),
        *('--cfg-options', *SHORT, 'model.head.num_classes=7'),
        ok=False,
    )
    assert 'Error: training set: num_classes is 7, but' in done.stdout
    assert 'Traceback' not in done.stdout


def test_options_of_own_data_reach_all_loaders(capsys, tmp_path):
    options = ['group_regex=(p[0-9]+)', 'label_column=7', 'min_images=3']
    args = argparse.Namespace(
        config='bcl_resnet32_custom',
        cfg_options=[*options, 'ignore_classes=[a,b]'],
    )
    cfg = cli.load_config(args)
    for loader in ('train', 'val', 'test'):
        dataset = cfg[f'{loader}_dataloader'].dataset
        assert dataset.group_regex == '(p[0-9]+)'
        assert dataset.label_column == '7'
        assert dataset.min_images == 3
        assert dataset.ignore_classes == ['a', 'b']
    assert 'own_images' not in cfg
    path = tmp_path / 'own.py'
    base = "__import__('bcl_mm').config_path('bcl_resnet32_custom')"
    path.write_text(f'_base_ = {base}\nmin_images = 3\n')
    cli.load_config(argparse.Namespace(config=str(path), cfg_options=[]))
    told = 'min_images = 3 of the config reaches no data set, which read 0: se'
    assert told in capsys.readouterr().out


@pytest.mark.parametrize(
    'option', ['data_root=x', 'exclude=x', 'min_images=3']
)
def test_an_option_of_data_that_no_data_set_has(option):
    name, _, _ = option.partition('=')
    with pytest.raises(InputValueError, match=f'^{name} reaches no data set'):
        load(option)


def test_a_data_root_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    cfg = Config(dict(train_dataloader=dict(dataset=dict(data_root='~/a'))))
    with pytest.raises(MissingFileError, match='of the train_dataloader does'):
        cli.check_data_roots(cfg, ('train_dataloader',))
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a' / 'list.csv').touch()
    cli.check_data_roots(cfg, ('train_dataloader',))
