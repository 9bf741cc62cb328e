"""calibrate, and what predict and export make of it."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from scipy.special import softmax

from bcl_mm.apis.calibration import read_calibration
from tests.cli.common import CE
from tests.conftest import ROOT
from tests.trees import write_classes


@pytest.fixture(scope='module')
def skilled(tmp_path_factory):
    """Run of a model that is often, but not always right about digits."""
    cfg = Config.fromfile(ROOT / CE)
    cfg.train_cfg = dict(by_epoch=True, max_epochs=12, val_interval=12)
    cfg.default_hooks.checkpoint.interval = 12
    cfg.train_dataloader.num_workers = 0
    cfg.train_dataloader.persistent_workers = False
    cfg.val_dataloader = cfg.test_dataloader  # no images of its own
    cfg.log_level = 'ERROR'
    cfg.work_dir = str(tmp_path_factory.mktemp('skilled') / 'run')
    Runner.from_cfg(cfg).train()
    return Path(cfg.work_dir)


@pytest.fixture
def work_dir(skilled, tmp_path):
    """A copy of that run."""
    return Path(shutil.copytree(skilled, tmp_path / 'run'))


def calibrate(call, folder, *options):
    status, output, errors = call(
        'calibrate', folder, '--target-accuracy', 0.9, *options
    )
    assert status == 0, errors
    return output


def predicted(call, tmp_path, *arguments):
    """Scores (N, C) and whether the model abstains (N,)."""
    out = tmp_path / 'out.json'
    options = '--top-k', 10, '--out', out
    status, _, errors = call('predict', *arguments, *options)
    assert status == 0, errors
    content = json.loads(out.read_text())
    scores = [
        [c['score'] for c in sorted(i['classes'], key=lambda c: c['label'])]
        for i in content
    ]
    return np.array(scores), [i.get('abstain') for i in content]


def test_predictions(call, work_dir, digits, tmp_path):
    plain, abstains = predicted(call, tmp_path, work_dir, *digits)
    assert abstains == [None] * 5
    output = calibrate(call, work_dir)
    assert 'measured on the same images that it was fitted to: ' in output
    found = read_calibration(work_dir)
    assert f'fitted to {found.num_fitted} validation images' in output
    assert found.nll_after < found.nll_before
    assert found.accuracy_accepted >= 90 > found.accuracy
    assert found.measured_on == 'validation'
    assert abs(found.temperature - 1) > 0.05
    again = (work_dir / 'calibration.json').read_bytes()
    calibrate(call, work_dir)  # is deterministic
    assert (work_dir / 'calibration.json').read_bytes() == again
    scaled, abstains = predicted(call, tmp_path, work_dir, *digits)
    expected = softmax(np.log(plain + 1e-9) / found.temperature, axis=1)
    assert np.allclose(scaled, expected, atol=1e-3)
    assert not np.allclose(scaled, plain, atol=1e-3)
    is_unsure = scaled.max(axis=1) < found.threshold
    assert abstains == is_unsure.tolist()
    off, abstains = predicted(
        call, tmp_path, work_dir, *digits, '--no-calibration'
    )
    assert (off == plain).all()
    assert abstains == [None] * 5
    # Config and checkpoint are no work dir.
    named = CE, work_dir / 'epoch_12.pth'
    assert (predicted(call, tmp_path, *named, *digits)[0] == plain).all()
    # Where it is shown, and in tables.
    words = work_dir / 'epoch_12.pth', *digits, '--top-k', 1
    status, output, _ = call('predict', *words)
    assert status == 0
    marks = ['  abstain  ' in line for line in output.splitlines()]
    assert marks == is_unsure.tolist()
    out = tmp_path / 'out.csv'
    assert call('predict', *words, '--out', out)[0] == 0
    header, *rows = csv.reader(out.read_text().splitlines())
    assert header == ['path', 'class_1', 'score_1', 'abstain']
    assert [row[-1] == '1' for row in rows] == is_unsure.tolist()


def test_some_abstain_and_some_do_not(call, work_dir, digits, tmp_path):
    calibrate(call, work_dir)
    path = work_dir / 'calibration.json'
    scores, _ = predicted(call, tmp_path, work_dir, *digits)
    best = np.sort(scores.max(axis=1))
    content = json.loads(path.read_text())
    content['threshold'] = float(best[1:3].mean())
    path.write_text(json.dumps(content))
    _, abstains = predicted(call, tmp_path, work_dir, *digits)
    assert abstains == (scores.max(axis=1) < best[1:3].mean()).tolist()
    assert sum(abstains) == 2


def test_export(call, work_dir, digits, tmp_path):
    calibrate(call, work_dir, '--posthoc-tau', -1)
    out = tmp_path / 'model.onnx'
    options = '-o', out, '--posthoc-tau', -1
    status, output, _ = call('export', work_dir, *options)
    found = read_calibration(work_dir)
    assert status == 0
    assert f'temperature: {found.temperature:.4g}\n' in output
    session = onnxruntime.InferenceSession(out)
    metadata = session.get_modelmeta().custom_metadata_map
    assert float(metadata['temperature']) == found.temperature
    assert float(metadata['threshold']) == found.threshold
    images = torch.rand(3, 1, 8, 8).numpy() * 255
    logits, probabilities = session.run(None, dict(images=images))
    expected = softmax(logits / found.temperature, axis=1)
    assert np.allclose(probabilities, expected, atol=1e-6)
    options = '--no-calibration', '-o', out
    assert call('export', work_dir, *options)[0] == 0
    session = onnxruntime.InferenceSession(out)
    metadata = session.get_modelmeta().custom_metadata_map
    assert metadata['temperature'], metadata['threshold'] == ('1.0', '0.0')


def test_it_is_bound_to_its_model(call, work_dir, digits, tmp_path):
    calibrate(call, work_dir)
    last = work_dir / 'epoch_12.pth'
    image = digits[0]

    def error(*words):
        status, _, errors = call('predict', *words)
        assert status == 1
        assert errors.strip().splitlines()[-1].endswith('(--no-calibration)')
        return errors

    message = 'of another posthoc_tau, 0, and the model has 1: calibrate epoc'
    assert message in error(work_dir, image, '--posthoc-tau', 1)
    options = '--cfg-options', 'model.head.scale=7'
    message = 'is of another config of the model or of its test pipeline: cal'
    assert message in error(work_dir, image, *options)
    # Which data it was fitted to does not matter.
    options = '--cfg-options', 'val_dataloader.batch_size=7'
    assert call('predict', work_dir, image, *options)[0] == 0
    content = torch.load(last)
    content['state_dict']['head.classifier.weight'].mul_(2)
    torch.save(content, last)
    message = 'of another checkpoint (epoch_12.pth), or that has changed: cali'
    assert message in error(work_dir, image)
    status, _, errors = call('export', work_dir, '-o', tmp_path / 'm.pt2')
    assert status == 1
    assert message in errors


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ('{', 'calibration.json is damaged: Expecting'),
        (dict(temperature=0), 'calibration.json: temperature must be > 0, go'),
        (dict(temperature='2'), "temperature must be a number, got '2'"),
        (dict(threshold=1.5), 'threshold must be in [0, 1], got 1.5'),
        (dict(digest=3), 'calibration.json is damaged: digest must be text'),
        (dict(more=3), 'is damaged: it lacks, or adds, more'),
    ],
)
def test_a_damaged_file_is_named(call, work_dir, digits, change, message):
    calibrate(call, work_dir)
    path = work_dir / 'calibration.json'
    if isinstance(change, dict):
        change = json.dumps({**json.loads(path.read_text()), **change})
    path.write_text(change)
    status, _, errors = call('predict', work_dir, digits[0])
    assert status == 1
    assert message in errors


def test_what_cannot_be_calibrated(call, work_dir, tmp_path):
    options = '--target-accuracy', 0.9999
    status, _, errors = call('calibrate', work_dir, *options)
    if status:  # the surest image may be right
        assert 'is not reached by any threshold' in errors
    status, _, errors = call('calibrate', work_dir, '--target-accuracy', 95)
    assert status == 1
    assert 'target_accuracy must be in (0, 1), got 95' in errors
    (work_dir / 'calibration.json').unlink(missing_ok=True)
    status, _, errors = call(
        'calibrate', work_dir, '--cfg-options', 'val_dataloader=None'
    )
    assert status == 1
    assert 'has no val_dataloader, whose images a calibration' in errors
    assert not (work_dir / 'calibration.json').exists()


def test_a_test_part_is_measured(call, tmp_path):
    data = tmp_path / 'data'
    for part, counts in dict(
        train=(9, 5, 3), val=(8, 8, 8), test=(6, 7, 8)
    ).items():
        write_classes(data / part, counts)
    work_dir = tmp_path / 'run'
    status, _, errors = call(
        *('train', 'ce_resnet32_custom', '--work-dir', work_dir),
        *('--cfg-options', f'data_root={data}', 'train_cfg.max_epochs=1'),
        *('train_dataloader.num_workers=0', 'model.backbone.depth=8'),
        *('val_dataloader.num_workers=0', 'train_dataloader.batch_size=4'),
        'test_dataloader.num_workers=0',
    )
    assert status == 0, errors
    options = '--target-accuracy', 0.2
    status, output, errors = call('calibrate', work_dir, *options)
    assert status == 0, errors
    assert 'fitted to 24 validation images' in output
    assert 'measured on 21 test images' in output
    found = read_calibration(work_dir)
    assert (found.num_fitted, found.num_measured) == (24, 21)
    assert found.measured_on == 'test'
