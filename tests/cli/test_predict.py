"""predict.py, and mmpretrain's own inferencer."""

import argparse
import csv
import io
import json
import re
import shutil
import sys

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmpretrain import get_model
from PIL import Image

from bcl_mm.apis.config import load_config
from bcl_mm.cli.options import add_cfg_options
from bcl_mm.datasets import Digits
from bcl_mm.utils import progress
from tests.cli.common import BCL, CE
from tests.conftest import ROOT

COUNTS = [120, 77, 50, 32, 21, 13, 8, 5, 3, 2]
INFERENCER = r"""
import sys
from mmpretrain import ImageClassificationInferencer
config, checkpoint, *images = sys.argv[1:]
inferencer = ImageClassificationInferencer(config, pretrained=checkpoint)
for image in inferencer(images):
    print('\n=', image['pred_class'], *image['pred_scores'].tolist())
"""


@pytest.fixture
def predict(call, trained, tmp_path):
    """Predictions (JSON) of images or folders, path -> classes."""
    out = tmp_path / 'out.json'

    def predict_images(*arguments, checkpoint=trained):
        status, _, errors = call(
            *('predict', BCL, checkpoint, *arguments),
            *('--top-k', 10, '--out', out),
        )
        assert status == 0, errors
        content = json.loads(out.read_text())
        return {image['path']: image['classes'] for image in content}

    return predict_images


def scores_of(classes):
    """(C,) scores in the order of labels."""
    assert [c['score'] for c in classes] == sorted(
        (c['score'] for c in classes), reverse=True
    )
    return np.array([c['score'] for c in sorted(classes, key=by_label)])


def by_label(entry):
    return entry['label']


def test_scores_are_those_of_testing_and_of_mmpretrain(
    run, predict, trained, digits
):
    ours = predict(digits[0].parent)
    assert list(ours) == list(map(str, digits))
    ours = np.stack(list(map(scores_of, ours.values())))
    # The data set's own arrays.
    cfg = Config.fromfile(ROOT / BCL)
    model = get_model(cfg, str(trained))
    dataset = Digits(
        split='test',
        test_mode=True,
        pipeline=cfg.test_dataloader.dataset.pipeline,
    )
    with torch.no_grad():
        samples = model.test_step(
            default_collate([dataset[i] for i in (0, 1, 2, 3, 4)])
        )
    expected = np.stack([sample.pred_score.numpy() for sample in samples])
    assert np.allclose(ours, expected, atol=1e-6)
    # In a fresh process: nobody has imported bcl_mm before the config.
    done = run(sys.executable, '-c', INFERENCER, ROOT / BCL, trained, *digits)
    lines = [
        line.split() for line in done.stdout.splitlines() if line[:1] == '='
    ]
    assert np.allclose(np.array(lines)[:, 2:].astype(float), ours, atol=1e-6)
    assert [line[1] for line in lines] == [str(row.argmax()) for row in ours]


def test_a_folder_with_what_cannot_be_loaded(call, trained, digits, tmp_path):
    folder = tmp_path / 'digits'
    shutil.copytree(digits[0].parent, folder)
    (folder / 'a').mkdir()
    image = Image.open(digits[0]).resize((200, 100)).convert('RGB')
    image.save(folder / 'a' / 'big.JPG')
    (folder / 'broken.png').write_bytes(digits[1].read_bytes()[:60])
    (folder / '._0.png').write_bytes(b'of macOS')
    (folder / '.hidden').mkdir()  # as for training
    shutil.copy(digits[0], folder / '.hidden' / 'digit.png')
    (folder / 'a' / 'circle').symlink_to(folder)
    (folder / 'notes.txt').write_text('no image')
    options = '--top-k', 2, '--batch-size', 2, '--workers', 1
    arguments = BCL, trained, folder, digits[0], *options
    status, table, errors = call('predict', *arguments)
    assert status == 1
    assert 'left out: 1 file of no image format (1 .txt), such' in errors
    assert errors.endswith('1 of 8 images were left out\n')
    assert f"Left out: image '{folder / 'broken.png'}' is cut short" in errors
    paths = [folder / path.name for path in digits]
    paths += folder / 'a' / 'big.JPG', digits[0]
    rows = [line.split() for line in table.splitlines()]
    assert [row[0] for row in rows] == list(map(str, paths))
    assert all(len(row) == 5 for row in rows)  # path, two names and scores
    out = tmp_path / 'out.csv'
    status, output, errors = call('predict', *arguments, '--out', out)
    assert status == 1
    assert errors.endswith('1 of 8 images were left out\n')
    assert output == f'{out}: 7 images\n'
    header, *lines = csv.reader(io.StringIO(out.read_text()))
    assert header == ['path', 'class_1', 'score_1', 'class_2', 'score_2']
    for line, row in zip(lines, rows):
        assert line[:2] == row[:2]
        assert float(line[2]) == pytest.approx(float(row[2]), abs=1e-3)
    assert not list(tmp_path.glob('*.part'))


def test_posthoc_tau_changes_the_prior(predict, digits):
    plain, adjusted = predict(*digits), predict(*digits, '--posthoc-tau', -1)
    prior = np.array(COUNTS) / sum(COUNTS)
    for path in plain:
        expected = scores_of(plain[path]) * prior
        expected /= expected.sum()
        assert np.allclose(scores_of(adjusted[path]), expected, atol=1e-5)


def test_features(call, trained, digits, tmp_path):
    out = tmp_path / 'features.npz'
    options = '--features', out, '--out', tmp_path / 'out.csv'
    model = get_model(Config.fromfile(ROOT / BCL), str(trained))
    dataset = Digits(split='test', test_mode=True)
    images = np.stack([dataset[i]['img'] for i in range(5)])
    inputs = torch.from_numpy((images[:, None] - 77.8) / 95.8).float()
    with torch.no_grad():
        expected = model.extract_feat(inputs)[-1]
        projected = model.head.projection.project(expected)
    for kind, features in (('backbone', expected), ('projected', projected)):
        status, output, _ = call(
            *('predict', BCL, trained, *digits, *options),
            *('--feature-kind', kind, '--batch-size', 2, '--workers', 0),
        )
        assert status == 0
        assert f'{out}: features of shape (5, 64)' in output
        content = np.load(out)
        assert content['paths'].tolist() == list(map(str, digits))
        assert np.allclose(content['features'], features, atol=1e-5)
    assert np.allclose(np.linalg.norm(content['features'], axis=1), 1)


@pytest.mark.parametrize(
    ('classes', 'shown'),
    [
        ([f'class {i}' for i in range(10)], 'class 7'),
        (None, '7'),  # the data set's
        (['too', 'few'], '7'),
    ],
)
def test_names_of_the_classes(
    predict, trained, digits, tmp_path, classes, shown
):
    content = torch.load(trained)
    content['meta']['dataset_meta'] = dict(classes=classes)
    if classes is None:
        del content['meta']['dataset_meta']
    checkpoint = tmp_path / 'named.pth'
    torch.save(content, checkpoint)
    (found,) = predict(digits[0], checkpoint=checkpoint).values()
    assert sorted(found, key=by_label)[7]['class'] == shown


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (
            ['--out', 'out.txt'],
            '--out: must end in .csv or .json, got',
        ),
        (['--out', 'none/out.csv'], '--out: folder none does not exist'),
        (['--features', 'f.npy'], '--features: must end in .npz, got f.npy'),
        (['--top-k', '0'], "--top-k: must be a whole number >= 1, got '0'"),
        (
            ['--batch-size', '0'],
            "--batch-size: must be a whole number >= 1, got '0'",
        ),
        (
            ['--workers', '-1'],
            "--workers: must be a whole number >= 0, got '-1'",
        ),
        (['none.png'], 'image or folder none.png does not exist'),
        (['configs'], 'folder configs has no image (.bmp .jfif .jpe '),
        (['--posthoc-tau', 'nan'], 'posthoc_tau must be finite, got nan'),
    ],
)
def test_wrong_arguments(call, trained, arguments, message):
    arguments = BCL, trained, 'setup.py', *arguments
    status, _, errors = call('predict', *arguments)
    assert message in errors
    is_parsed = message.startswith(('--', 'argument'))
    assert status == (2 if is_parsed else 1)


LINEAR = f"""
_base_ = '{ROOT / CE}'
model = dict(
    head=dict(
        _delete_=True,
        type='mmpretrain.LinearClsHead',
        num_classes=10,
        in_channels=64,
    )
)
"""


def test_wrong_models(call, trained, digits, tmp_path):
    config, other = tmp_path / 'linear.py', tmp_path / 'linear.pth'
    config.write_text(LINEAR)
    torch.save(get_model(Config.fromfile(config)).state_dict(), other)

    def error(*arguments):
        status, _, errors = call('predict', *arguments)
        assert status in (0, 1)
        return errors

    options = '--features', tmp_path / 'f.npz', '--feature-kind', 'projected'
    message = 'head.classifier.weight is missing'
    assert message in error(BCL, other, digits[0])
    message = 'needs a head that knows the class counts'
    assert message in error(config, other, digits[0], '--posthoc-tau', 1)
    message = 'LinearClsHead of .* has no projector'
    assert re.search(message, error(config, other, digits[0], *options))
    # The projector matters to those who look at it.
    content = torch.load(trained)
    del content['state_dict']['head.branches.con.projector.0.weight']
    torch.save(content, other)
    assert call('predict', BCL, other, digits[0])[0] == 0
    message = 'head.branches.con.projector.0.weight is missing'
    assert message in error(BCL, other, digits[0], *options)
    del content['state_dict']['head.class_counts']
    del content['meta']['class_counts']
    torch.save(content, other)
    message = 'posthoc_tau or Focal-SAM) needs class_counts'
    assert message in error(BCL, other, digits[0], '--posthoc-tau', 1)
    options = '--cfg-options', 'model.head.posthoc_tau=1'
    assert message in error(BCL, other, digits[0], *options)
    config.write_text(LINEAR + 'test_dataloader = None\n')
    message = 'has no test_dataloader.dataset.pipeline'
    assert message in error(config, other, digits[0])


@pytest.mark.usefixtures('call')
def test_nothing_is_downloaded_for_a_checkpoint(tmp_path):
    config = tmp_path / 'timm.py'
    config.write_text(
        f"_base_ = '{ROOT / CE}'\n"
        "backbone = dict(_delete_=True, type='mmpretrain.TIMMBackbone',\n"
        "    model_name='resnet10t', pretrained=True)\n"
        "model = dict(pretrained='http://elsewhere', backbone=backbone)\n"
    )
    parser = argparse.ArgumentParser()
    add_cfg_options(parser)
    args = parser.parse_args([])
    args.config = str(config)
    assert load_config(args).model.backbone.pretrained is True
    args.checkpoint = 'some.pth'
    model = load_config(args).model
    assert model.backbone.pretrained is False
    assert model.pretrained is None


def test_progress_is_lines(monkeypatch):
    monkeypatch.setattr(progress, 'PROGRESS_SECONDS', 0)
    times = iter([0, 2, 4, 6])
    monkeypatch.setattr(progress.time, 'monotonic', lambda: next(times))
    stream = io.StringIO()
    items = progress.show_progress('abc', 3, 'images', stream)
    assert list(items) == ['a', 'b', 'c']
    assert stream.getvalue().splitlines() == [
        '1 of 3 images',
        '2 of 3 images, 0:00:02 left',
        '3 of 3 images, 0:00:00 left',
    ]
