"""LIFT on a folder of images, from training to an exported model."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS

from tests.conftest import ROOT
from tests.lift import write_weights
from tests.trees import write_classes

VIT = dict(
    type='mmpretrain.VisionTransformer',
    arch=dict(
        embed_dims=8, num_layers=1, num_heads=2, feedforward_channels=12
    ),
    patch_size=56,
)
CONFIG = f"""
_base_ = __import__('bcl_mm').config_path('lift_vit_base_custom')
model = dict(
    backbone=dict(frozen=dict(_delete_=True, **{VIT})),
    head=dict(in_channels=8),
)
train_dataloader = dict(num_workers=0, batch_size=4)
val_dataloader = dict(num_workers=0)
test_dataloader = dict(num_workers=0)
train_cfg = dict(max_epochs=1)
log_level = 'ERROR'
"""


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Data, config and backbones; the test that trains comes first."""
    folder = tmp_path_factory.mktemp('lift')
    write_classes(folder / 'tree', (6, 4, 3))
    (folder / 'lift.py').write_text(CONFIG)
    for seed in range(2):
        write_weights(folder / f'vit{seed}.pth', VIT, seed)
    return folder


@pytest.fixture
def lift(call, folder, monkeypatch):
    """Call a command with the config; relative paths are of the folder."""
    monkeypatch.chdir(folder)

    def call_lift(name, *arguments, options=()):
        options = ('--cfg-options', 'data_root=tree', *options)
        return call(name, 'lift.py', *arguments, *options)

    return call_lift


@pytest.fixture
def checkpoint(lift, folder):
    path = folder / 'run' / 'epoch_1.pth'
    if not path.exists():
        options = ['pretrained=vit0.pth']
        status, _, errors = lift('train', '--work-dir', 'run', options=options)
        assert status == 0, errors
    return path


def test_the_checkpoint_names_its_backbone(checkpoint, folder):
    content = torch.load(checkpoint)
    file = str(folder / 'vit0.pth')
    assert content['meta']['frozen_backbone']['file'] == file
    assert f'"weights_file": "{file}"' in (
        checkpoint.with_name('config.json').read_text()
    )
    weights = torch.load(file)
    assert sum(map(torch.numel, weights.values())) > 10 * sum(
        map(torch.numel, content['state_dict'].values())
    )


def test_it_is_tested_anywhere(lift, call, checkpoint, monkeypatch, tmp_path):
    status, output, errors = lift('test', checkpoint, '--work-dir', tmp_path)
    assert status == 0, errors
    monkeypatch.chdir(tmp_path)
    config = checkpoint.with_name('config.json')
    images = checkpoint.parents[1] / 'tree'
    status, output, errors = call('predict', config, checkpoint, images)
    assert status == 0, errors
    assert output.count('class 01') >= 13


def test_another_and_a_missing_backbone(lift, checkpoint, folder):
    for command in ('test', 'predict', 'export'):
        more = dict(predict=['tree'], export=['-o', 'm.onnx']).get(command, [])
        status, _, errors = lift(
            command, checkpoint, *more, options=['pretrained=vit1.pth']
        )
        assert status == 1
        assert errors.splitlines()[-1].startswith(
            f"Error: the frozen backbone '{folder}/vit1.pth' has other weights"
        )
    file = folder / 'vit0.pth'
    file.rename(folder / 'gone.pth')
    try:
        for command in ('test', 'predict'):
            more = ['tree'] if command == 'predict' else []
            status, _, errors = lift(command, checkpoint, *more)
            assert status == 1
            assert errors.splitlines()[-1] == (
                f"Error: the frozen backbone '{file}' does not exist: give "
                'its file with --cfg-options pretrained=FILE'
            )
        # It may be elsewhere.
        options = ['pretrained=gone.pth']
        status, _, errors = lift(
            'predict', checkpoint, 'tree', options=options
        )
        assert status == 0, errors
    finally:
        (folder / 'gone.pth').rename(file)


@pytest.mark.parametrize('name', ['m.onnx', 'm.pt2'])
def test_export_holds_the_backbone(lift, checkpoint, tmp_path, name):
    out = tmp_path / name
    status, output, errors = lift('export', checkpoint, '-o', out)
    assert status == 0, errors
    # Of the patch embedding alone.
    assert out.stat().st_size > 4 * 8 * 3 * 56 * 56
    difference = output.split('from PyTorch: ')[1].split()[0]
    assert np.float64(difference) < 1e-4


def test_the_documented_leaf_takes_a_file_of_timm(tmp_path):
    text = (ROOT / 'docs' / 'methods.md').read_text()
    code = text.split('```python\n# lift_timm.py')[1].split('```')[0]
    (tmp_path / 'lift_timm.py').write_text(code)
    backbone = Config.fromfile(tmp_path / 'lift_timm.py').model.backbone
    assert set(backbone.frozen) == {'type', 'name'}
    backbone.frozen.update(depth=1, num_heads=2, embed_dim=8)
    file = write_weights(tmp_path / 'timm.pth', backbone.frozen)
    built = MODELS.build(dict(backbone, weights_file=file))
    weights = torch.load(file)
    assert 'blocks.0.mlp.fc1.weight' in weights
    for name, value in built.frozen.model.state_dict().items():
        assert torch.equal(value, weights[name])


def test_sources_that_cannot_be(lift):
    for option, message in {
        'pretrained=none.pth': "none.pth' does not exist: give its file with",
        'pretrained=timm://vit_base_patch16_224': (
            'needs a file of its weights: give pretrained=FILE instead of '
        ),
        'data_root=tree': 'the frozen backbone needs its weights: give its',
        'model.backbone.chanels=3': 'is model.backbone.channels meant?',
    }.items():
        status, _, errors = lift(
            'train', '--work-dir', 'other', options=[option]
        )
        assert status == 1
        assert message in errors.splitlines()[-1]
