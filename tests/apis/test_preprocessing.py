"""An exported model with its preprocessing predicts what predict does."""

import json

import numpy as np
import onnxruntime
import pytest
import torch
from mmengine.config import Config
from mmpretrain import get_model

from bcl_mm.apis.export import export_model
from bcl_mm.apis.inference import Predictor, load_model
from bcl_mm.utils.preprocessing import preprocess
from tests.conftest import ROOT
from tests.utils.test_preprocessing import ODD

NET = """
_base_ = {base!r}
model = dict(
    backbone=dict(_delete_=True, type='bcl_mm.CIFARResNet', depth=8),
    head=dict(num_classes=4, in_channels=64),
)
"""
DATA = {
    '32 pixels': 'ce_resnet32_custom',
    '224 pixels': 'ce_resnet50_custom',
    'grey': 'ce_resnet8_digits_lt',
    'CIFAR, RGB': 'ce_resnet32_cifar100_lt',
}


def write_model(folder, base, more=''):
    """A config and a checkpoint of a small network that says something."""
    config, checkpoint = folder / 'config.py', folder / 'model.pth'
    base = str(ROOT / 'configs' / f'{base}.py')
    config.write_text(NET.format(base=base) + more)
    model = get_model(Config.fromfile(config))
    weights = model.state_dict()
    weights['head.classifier.weight'] *= 20
    counts = dict(class_counts=[9, 5, 3, 2])
    torch.save(dict(state_dict=weights, meta=counts), checkpoint)
    return config, checkpoint


def export(model, folder, **options):
    """Session and metadata of the exported model."""
    path = folder / 'model.onnx'
    export_model(model, path, **options)
    session = onnxruntime.InferenceSession(path)
    return session, session.get_modelmeta().custom_metadata_map


@pytest.mark.parametrize('data', DATA)
@pytest.mark.long
def test_predictions_are_those_of_the_product(tmp_path, data):
    base = DATA[data]
    more = ''
    if data == 'grey':
        more = "model['backbone']['in_channels'] = 1\n"
    config, checkpoint = write_model(tmp_path, base, more)
    _, model = load_model(config, checkpoint, device='cpu')
    session, metadata = export(model, tmp_path)
    paths = []
    for number, content in enumerate(ODD.values()):
        paths.append(str(tmp_path / f'{number}.img'))
        (tmp_path / f'{number}.img').write_bytes(content)
    with pytest.raises(ValueError, match='projector, got LongTailHead'):
        Predictor(model, 'projected')
    predictor = Predictor(model)
    expected = np.stack([p.scores for p in predictor.predict(paths)])
    images = np.stack([preprocess(path, metadata) for path in paths])
    for path, image in zip(paths, images):  # pixel for pixel
        theirs = predictor.inferencer.pipeline(
            predictor.load(dict(img_path=path))
        )['inputs'].numpy()
        is_bgr = data.endswith('pixels')
        assert np.array_equal(image, theirs[::-1] if is_bgr else theirs)
    _, found = session.run(None, dict(images=images))
    assert np.ptp(expected, axis=0).max() > 0.01  # images do differ
    assert np.abs(found - expected).max() < 1e-5
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).all()


@pytest.mark.parametrize(
    ('step', 'options', 'message'),
    [
        (
            dict(type='mmpretrain.Resize', scale=(32, 32)),
            {},
            "Resize has the backend 'cv2', not 'pillow'",
        ),
        (
            dict(
                type='mmpretrain.Resize',
                scale=(32, 32),
                keep_ratio=True,
                backend='pillow',
            ),
            {},
            'Resize keeps the ratio of the sides',
        ),
        (
            dict(type='mmpretrain.CenterCrop', crop_size=32, auto_pad=True),
            {},
            'CenterCrop, as it is set, is not one of its steps',
        ),
        (
            dict(type='mmpretrain.Resize', scale=(32, 32), backend='pillow'),
            dict(shape=(16, 16)),
            r'gives images of shape \(3, 32, 32\), and the model was exported',
        ),
    ],
)
@pytest.mark.long
def test_what_it_cannot_do_is_told(tmp_path, step, options, message):
    base = 'ce_resnet32_custom'
    pipeline = (
        'test_dataloader = dict(dataset=dict(pipeline=[\n'
        "    dict(type='LoadImageFromFile', _scope_='bcl_mm'),\n"
        f"    {step!r}, dict(type='mmpretrain.PackInputs')]))\n"
    )
    config, checkpoint = write_model(tmp_path, base, pipeline)
    _, model = load_model(config, checkpoint, device='cpu')
    _, metadata = export(model, tmp_path, **options)
    with pytest.raises(ValueError, match=f'needs other preproc.*{message}'):
        preprocess(ODD['PNG 1'], metadata)
    assert list(json.loads(metadata['preprocessing'])) == ['problem']


@pytest.mark.long
def test_another_loader_is_told(tmp_path):
    config, checkpoint = write_model(tmp_path, 'ce_resnet32_custom')
    options = [
        "test_dataloader.dataset.pipeline.0.imdecode_backend='pillow'",
    ]
    _, model = load_model(
        config, checkpoint, device='cpu', cfg_options=options
    )
    _, metadata = export(model, tmp_path)
    with pytest.raises(ValueError, match='LoadImageFromFile has other settin'):
        preprocess(ODD['PNG 1'], metadata)
