"""Presets of augmentation."""

import argparse

import numpy as np
import pytest
from mmcv.transforms import Compose
from mmengine.registry import DefaultScope

from bcl_mm.apis.augmentation import PRESETS, SUMMARIES
from bcl_mm.apis.config import load_config
from bcl_mm.apis.from_data import nested_dicts
from bcl_mm.utils.errors import InputValueError

COLOURS = {'Invert', 'Posterize', 'Solarize', 'SolarizeAdd', 'Equalize'}


def read(name, *options):
    return load_config(argparse.Namespace(config=name, cfg_options=options))


def steps(cfg):
    """Transforms of the training pipeline: name -> their settings."""
    found = {}
    for part in nested_dicts(cfg.train_dataloader.to_dict()):
        if 'type' in part:
            found.setdefault(part['type'].rpartition('.')[2], []).append(part)
    return found


@pytest.mark.parametrize('leaf', ['bcl_resnet32_custom', 'ce_resnet50_custom'])
def test_photos_are_the_configs_pipelines(leaf):
    default = read(leaf)
    assert default.augmentation == 'photos'
    chosen = read(leaf, 'augmentation=photos')
    assert chosen.train_dataloader == default.train_dataloader


@pytest.mark.parametrize(
    'leaf',
    ['bcl_resnet32_custom', 'bcl_resnet50_custom', 'la_resnet50_custom'],
)
def test_what_the_presets_change(leaf):
    photos = steps(read(leaf))
    has_policies = 'RandAugment' in photos
    assert {flip['prob'] for flip in photos['RandomFlip']} == {0.5}
    symbols = steps(read(leaf, 'augmentation=symbols'))
    assert {flip['prob'] for flip in symbols['RandomFlip']} == {0.0}
    assert symbols.get('ColorJitter') == photos.get('ColorJitter')
    medical = steps(read(leaf, 'augmentation=medical'))
    assert medical['RandomFlip'] == photos['RandomFlip']
    assert {step['hue'] for step in medical.get('ColorJitter', ())} <= {0}
    assert not COLOURS & medical.keys()
    assert bool(COLOURS & photos.keys()) == has_policies
    for found in symbols, medical:
        crops = found.get('RandomResizedCrop', ())
        assert all(crop['scale'][0] >= 0.5 for crop in crops)
    satellite = steps(read(leaf, 'augmentation=satellite'))
    for flip in satellite['RandomFlip']:
        assert (flip['directions'], flip['prob']) == ('all', 0.5)
    for name in satellite.keys() - {'RandomFlip', 'MultiView', 'CustomImages'}:
        assert satellite[name] == photos[name]


def test_a_preset_goes_with_another_data_sets_config():
    found = steps(read('bcl_resnet32_cifar100_lt', 'augmentation=symbols'))
    assert {flip['prob'] for flip in found['RandomFlip']} == {0.0}
    # CMO has a pipeline of its own, for the partners.
    found = steps(read('la_cmo_resnet32_cifar100_lt', 'augmentation=symbols'))
    assert {flip['prob'] for flip in found['RandomFlip']} == {0.0}


@pytest.mark.parametrize('name', PRESETS)
@pytest.mark.parametrize(
    'leaf', ['bcl_resnet32_custom', 'bcl_resnet50_custom']
)
def test_every_preset_makes_views(name, leaf):
    pipeline = read(leaf, f'augmentation={name}').train_dataloader.dataset
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        view = Compose(pipeline.pipeline[1:])
    rng = np.random.default_rng(0)
    img = rng.integers(0, 256, (50, 70, 3), np.uint8)
    side = 32 if '32' in leaf else 224
    for _ in range(8):
        sample = view(dict(img=img.copy(), gt_label=0, img_shape=(50, 70)))
        shapes = [tuple(one.shape) for one in sample['inputs']]
        assert shapes == [(3, side, side)] * 3


def test_mistakes():
    assert PRESETS.keys() == SUMMARIES.keys()
    message = 'augmentation must be one of photos, symbols, .* got .symbol.'
    with pytest.raises(InputValueError, match=message):
        read('bcl_resnet32_custom', 'augmentation=symbol')
    with pytest.raises(InputValueError, match='turns images where'):
        read('bcl_resnet8_digits_lt', 'augmentation=satellite')
