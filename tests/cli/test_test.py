"""test.py: test-time augmentation, and pictures of predictions."""

import pickle
import sys
from pathlib import Path

import mmpretrain
import pytest
import torch
from mmengine.runner import Runner

from bcl_mm.apis.inference import load_model
from bcl_mm.utils.errors import InputValueError
from tests.cli.common import BCL, accuracies
from tests.conftest import ROOT

STOCK = Path(mmpretrain.__file__).parent / '.mim' / 'tools' / 'test.py'


def scores_of(path):
    rows = pickle.loads(path.read_bytes())
    return torch.stack([row['pred_score'] for row in rows])


def test_augmented_scores_are_means_over_both_images(call, trained, tmp_path):
    out = tmp_path / 'out.pkl'
    words = *('test', BCL, trained), '--work-dir', tmp_path / 'test'
    status, output, errors = call(*words, '--tta', '--out', out)
    assert status == 0
    lines = (output + errors).splitlines()
    assert len(lines) <= 5 and any('accuracy/top1' in line for line in lines)
    status, output, errors = call(*words, '--verbose')
    assert status == 0 and len((output + errors).splitlines()) > 100
    cfg, model = load_model(ROOT / BCL, trained, device='cpu')
    (batch,) = Runner.build_dataloader(cfg.test_dataloader)
    mirrored = dict(batch, inputs=batch['inputs'].flip(-1))
    expected = sum(
        torch.stack([sample.pred_score for sample in model.test_step(data)])
        for data in (mirrored, batch)
    )
    torch.testing.assert_close(scores_of(out), expected / 2)


@pytest.mark.parametrize('device', ['foo', 'meta', 'cuda:99'])
def test_a_device_that_is_not_there_is_named(trained, device):
    message = f"the device '{device}' cannot be used: "
    with pytest.raises(InputValueError, match=message):
        load_model(ROOT / BCL, trained, device=device)


def test_pictures(call, trained, tmp_path):
    folder = tmp_path / 'new' / 'pictures'
    shared = 'test', BCL, trained, '--work-dir', tmp_path / 'test'
    show = '--show-dir', folder, '--interval', 100
    status, *_ = call(*shared, *show)
    assert status == 0
    assert len(list(folder.glob('*.png'))) == 5  # of 500
    status, _, errors = call(*shared, *show, '--tta')
    assert status == 2
    assert '--show and --show-dir draw no images of --tta' in errors


@pytest.mark.slow
@pytest.mark.skipif(not STOCK.is_file(), reason='not in this mmpretrain')
def test_the_stock_tool_augments_alike(run, trained, tmp_path):
    found = [
        accuracies(
            run(
                *(sys.executable, tool, ROOT / BCL, trained, '--tta'),
                *('--work-dir', tmp_path),
            ).stdout
        )
        for tool in (STOCK, ROOT / 'tools' / 'test.py')
    ]
    assert len(found[0]) == 1
    assert found[0] == found[1]
