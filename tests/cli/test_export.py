"""export.py, with the formats' own runtimes."""

import importlib.util
import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from mmengine.config import Config
from mmengine.utils import digit_version
from mmpretrain import get_model
from PIL import Image
from sklearn.datasets import load_sample_image

from bcl_mm.apis import export
from bcl_mm.apis.inference import load_model
from tests.cli.common import BCL
from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(
    digit_version(torch.__version__) < digit_version('2.7'),
    reason='its torch.export fails on our models',
)
SMALL = """
_base_ = {bases}
model = dict(
    backbone=dict(type='bcl_mm.CIFARResNet', depth=8),
    head=dict(num_classes=4, in_channels=64, {head}),
)
"""
COUNTS = 'class_counts=[40, 20, 10, 5]'


def test_onnx(call, trained, digits, tmp_path):
    out = tmp_path / 'digits.onnx'
    arguments = BCL, trained, '-o', out, '--posthoc-tau', -1, '--opset', 18
    status, output, errors = call('export', *arguments)
    assert (status, errors) == (0, f'Model: {trained} (epoch 1)\n')
    assert 'largest difference from PyTorch: ' in output
    model = onnx.load(out)
    onnx.checker.check_model(model, full_check=True)
    assert [
        entry.version for entry in model.opset_import if not entry.domain
    ] == [18]
    # Batch norm is folded, and there is no more than backbone and classifier.
    weights = sum(np.prod(w.dims) for w in model.graph.initializer)
    needed = get_model(Config.fromfile(ROOT / BCL))
    parameters = sum(
        weight.numel()
        for name, weight in needed.named_parameters()
        if 'projector' not in name
    )
    assert abs(weights - parameters) < 0.05 * parameters
    assert 'projector' not in str(model.graph)
    assert str(ROOT) not in str(model)
    session = onnxruntime.InferenceSession(out)
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata['classes']) == list('0123456789')
    assert metadata['posthoc_tau'] == '-1.0'
    assert metadata['images'].startswith('(N, 1, 8, 8), float32, grey')
    # What predict.py says of files, for any number of them.
    images = np.stack([np.array(Image.open(path)) for path in digits])
    images = images[:, None].astype(np.float32)
    logits, probabilities = session.run(None, dict(images=images))
    assert np.allclose(
        probabilities,
        predicted(call, tmp_path, arguments[:2], *digits, '--posthoc-tau', -1),
        atol=1e-5,
    )
    exponentials = np.exp(logits)
    assert np.allclose(
        exponentials / exponentials.sum(1, keepdims=True),
        probabilities,
        atol=1e-5,
    )
    alone, _ = session.run(None, dict(images=images[:1]))
    assert np.allclose(alone, logits[:1], atol=1e-5)


def predicted(call, tmp_path, model, *arguments):
    """(N, C) scores of predict.py."""
    out = tmp_path / 'out.json'
    options = '--top-k', 10, '--out', out
    status, _, errors = call('predict', *model, *arguments, *options)
    assert status == 0, errors
    return [
        [
            c['score']
            for c in sorted(image['classes'], key=lambda c: c['label'])
        ]
        for image in json.loads(out.read_text())
    ]


@pytest.mark.parametrize(
    ('method', 'data', 'head'),
    [
        # Images in RGB; images in BGR; no adjustment; linear classifiers.
        ('ce', 'cifar10_lt', f'posthoc_tau=1.0, {COUNTS}'),
        ('bcl', 'folder_small', COUNTS),
        ('tau_norm', 'folder_small', COUNTS),
        (
            'ce',
            'folder_small',
            "_delete_=True, type='mmpretrain.LinearClsHead'",
        ),
    ],
)
def test_colours_and_heads(call, tmp_path, method, data, head):
    config, checkpoint = tmp_path / 'config.py', tmp_path / 'model.pth'
    bases = [
        str(ROOT / 'configs' / '_base_' / f'{base}.py')
        for base in (f'methods/{method}', f'datasets/{data}')
    ]
    config.write_text(SMALL.format(bases=bases, head=head))
    weights = get_model(Config.fromfile(config)).state_dict()
    # A model without training says nothing clearly.
    for name in {'head.classifier.weight', 'head.fc.weight'} & set(weights):
        weights[name] *= 20
    torch.save(dict(state_dict=weights), checkpoint)
    image = load_sample_image('flower.jpg')[100:132, 200:232]
    Image.fromarray(image).save(tmp_path / 'flower.png')
    out = tmp_path / 'model.pt2'
    status, output, _ = call('export', config, checkpoint, '-o', out)
    assert status == 0
    assert '(N, 3, 32, 32), float32, RGB' in output
    extra = dict(classes='')
    program = torch.export.load(out, extra_files=extra)
    assert len(json.loads(extra['classes'])) == 4
    assert not [name for name in program.state_dict if 'projector' in name]
    images = torch.from_numpy(image).float().permute(2, 0, 1)[None]
    _, probabilities = program.module()(images)
    model = config, checkpoint
    expected = predicted(call, tmp_path, model, tmp_path / 'flower.png')
    assert np.allclose(probabilities, expected, atol=1e-5)
    _, swapped = program.module()(images.flip(1))
    assert not np.allclose(swapped, expected, atol=1e-3)


@pytest.mark.parametrize(
    ('error', 'found'), [(1e-3, '.*e-03'), (float('nan'), 'nan')]
)
def test_a_model_that_differs_is_not_written(
    monkeypatch, trained, tmp_path, error, found
):
    out = tmp_path / 'model.pt2'
    out.write_text('an older one')
    _, model = load_model(ROOT / BCL, trained, device='cpu')
    to_pt2, load_pt2 = export.EXPORTERS['.pt2']

    def run(content):
        exported = load_pt2(content)
        return lambda images: [y + error for y in exported(images)]

    monkeypatch.setitem(export.EXPORTERS, '.pt2', (to_pt2, run))
    message = rf'differs from .* by {found} .*, and nothing was written'
    with pytest.raises(ValueError, match=message):
        export.export_model(model, out)
    assert out.read_text() == 'an older one'


def test_another_size(call, trained, tmp_path):
    options = '--shape', 16, 8, '-o', tmp_path / 'model.pt2'
    status, output, _ = call('export', BCL, trained, *options)
    assert status == 0
    assert '(N, 1, 16, 8), float32, grey' in output


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['m.pt'], '--out: must end in .onnx or .pt2, got m.pt'),
        (['none/m.pt2'], '--out: folder none does not exist'),
        (
            ['m.pt2', '--shape', '0', '8'],
            "--shape: must be a whole number >= 1, got '0'",
        ),
        (['m.pt2', '--opset', '18'], '--opset is for .onnx files only'),
    ],
)
def test_wrong_arguments(call, arguments, message):
    status, _, errors = call('export', BCL, 'none.pth', '-o', *arguments)
    assert status == 2
    assert message in errors


def test_a_missing_package_is_named(call, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        export,
        'find_spec',
        lambda name: None if name == 'onnxscript' else find_spec(name),
    )
    status, _, errors = call('export', BCL, 'none.pth', '-o', 'm.onnx')
    assert status == 1
    assert "files need onnxscript: pip install 'bcl-mm[export]'" in errors


def test_an_old_torch_is_named(call, monkeypatch):
    monkeypatch.setattr(torch, '__version__', '2.6.0+cu124')
    status, _, errors = call('export', BCL, 'none.pth', '-o', 'm.pt2')
    assert status == 1
    assert 'needs a torch newer than 2.6, got 2.6.0+cu124' in errors
