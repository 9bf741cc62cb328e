"""Logs for TensorBoard and Weights & Biases, by one option."""

import importlib
import json
import sys

import pytest
from mmengine.config import Config
from tensorboard.backend.event_processing.event_accumulator import (
    EventAccumulator,
)

from tests.cli.common import BCL, CE, SHORT, TRAIN, assert_quiet
from tests.conftest import ROOT

SCALARS = {
    'loss',
    'loss_cls',
    'loss_con',
    'lr',
    'batch_classes',
    'batch_coverage',
    'accuracy/top1',
    'accuracy/many',
    'accuracy/medium',
    'accuracy/few',
}


@pytest.fixture
def log_backends(monkeypatch):
    return importlib.import_module('bcl_mm.apis.log_backends')


@pytest.mark.long
def test_tensorboard_shows_what_the_log_does(run_warm, tmp_path):
    done = run_warm(
        *(sys.executable, TRAIN, BCL, '--work-dir', tmp_path),
        *('--log', 'tensorboard', '--cfg-options', *SHORT),
    )
    assert_quiet(done.stdout)
    assert 'eta: ' in done.stdout
    (events,) = tmp_path.glob('*/vis_data/events.out.tfevents.*')
    shown = EventAccumulator(str(events))
    shown.Reload()
    tags = shown.Tags()
    assert set(tags['scalars']) >= SCALARS
    assert tags['images'] == ['views']
    (picture,) = shown.Images('views')
    png = (tmp_path / 'views.png').read_bytes()
    assert (picture.width, picture.height) == (
        int.from_bytes(png[16:20], 'big'),
        int.from_bytes(png[20:24], 'big'),
    )
    # compare.py's file says the same: iterations in training, epochs after.
    (scalars,) = tmp_path.glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in scalars.read_text().splitlines()]
    assert len(lines) == 5  # two of them are the cost of an epoch
    for name in SCALARS:
        points = {line['step']: line[name] for line in lines if name in line}
        events = {event.step: event.value for event in shown.Scalars(name)}
        assert events == pytest.approx(points), name
        assert list(events) == ([2] if '/' in name else [6, 12])
    for event in shown.Scalars('batch_coverage'):
        assert 0.1 <= event.value <= 1


@pytest.mark.long
def test_wandb_offline(run, tmp_path):
    pytest.importorskip('wandb')
    done = run(
        *(sys.executable, TRAIN, CE, '--work-dir', tmp_path),
        *('--log', 'wandb', '--cfg-options', 'train_cfg.max_epochs=1'),
        WANDB_MODE='offline',
    )
    # wandb shows some of the figures only.
    assert 'accuracy/few' in done.stdout.split('Run summary:')[1]
    (log,) = tmp_path.glob('*/vis_data/wandb/offline-run-*/run-*.wandb')
    content = log.read_bytes()
    assert str(tmp_path).encode() in content  # the run's name
    assert b'loss_cls' in content and b'batch_size' in content
    assert b'source-bcl_mm' not in content  # no copy of code
    assert list(tmp_path.glob('*/vis_data/scalars.json'))


def test_backends_are_added_once(log_backends):
    cfg = Config.fromfile(ROOT / BCL)
    cfg.work_dir = 'work_dirs/mine/'
    log_backends.add_log_backends(cfg, [])
    assert cfg.visualizer == Config.fromfile(ROOT / BCL).visualizer
    for _ in range(2):
        log_backends.add_log_backends(cfg, ['tensorboard', 'wandb', 'wandb'])
        local, tensorboard, wandb = cfg.visualizer.vis_backends
        assert local.type == 'LocalVisBackend'
        assert tensorboard == dict(type='TensorboardVisBackend')
        assert wandb.init_kwargs == dict(
            project='bcl_mm', name='work_dirs/mine'
        )


def test_backends_of_the_config_stay(log_backends):
    own = dict(type='mmengine.WandbVisBackend', init_kwargs=dict(project='x'))
    cfg = Config(dict(work_dir='w', visualizer=dict(vis_backends=[own])))
    log_backends.add_log_backends(cfg, ['wandb'])
    assert cfg.visualizer.vis_backends == [own]
    for visualizer in (None, dict(type='Visualizer', vis_backends=None)):
        cfg = Config(dict(work_dir='w', visualizer=visualizer))
        log_backends.add_log_backends(cfg, ['tensorboard'])
        types = [backend.type for backend in cfg.visualizer.vis_backends]
        assert types == ['LocalVisBackend', 'TensorboardVisBackend']


@pytest.mark.parametrize('name', ['tensorboard', 'wandb'])
def test_a_missing_package_is_a_sentence(
    log_backends, monkeypatch, tmp_path, name
):
    cfg = Config(dict(work_dir='w'))
    message = f'--log {name} needs the package {name}: pip install {name}'
    monkeypatch.setattr(log_backends, 'find_spec', lambda _: None)
    with pytest.raises(ValueError, match=message):
        log_backends.add_log_backends(cfg, [name])
    # A folder of logs is no package.
    monkeypatch.undo()
    (tmp_path / 'folder_of_logs').mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(log_backends.BACKENDS, 'folder_of_logs', '')
    with pytest.raises(ValueError, match='pip install folder_of_logs'):
        log_backends.check_log_packages(['folder_of_logs'])
