"""A preset of augmentation, from training to the test."""

import json
import sys

import pytest

from bcl_mm.apis.inference import load_test_config
from bcl_mm.utils.errors import InputValueError
from tests.cli.common import SHORT
from tests.trees import write_classes

LEAF = 'ce_resnet32_custom'


def test_a_run_keeps_its_preset(run_warm, tmp_path):
    write_classes(tmp_path / 'data', (6, 4))
    work_dir = tmp_path / 'run'
    done = run_warm(
        *(sys.executable, '-m', 'bcl_mm', 'train', LEAF),
        *('--work-dir', work_dir, '--cfg-options', *SHORT),
        *(f'data_root={tmp_path / "data"}', 'augmentation=symbols'),
    )
    assert 'augmentation=symbols: no flips, large crops' in done.stdout
    path, checkpoint = work_dir / 'config.json', work_dir / 'epoch_1.pth'
    text = json.dumps(json.loads(path.read_text())['train_dataloader'])
    assert '"prob": 0.0' in text and '"prob": 0.5' not in text
    cfg = load_test_config(path, checkpoint)
    assert cfg.augmentation == 'symbols'
    with pytest.raises(InputValueError, match='changed to .symbols.'):
        load_test_config(path, checkpoint, ['augmentation=photos'])
    done = run_warm(
        *(sys.executable, '-m', 'bcl_mm', 'test', path, checkpoint, '--tta'),
        ok=False,
    )
    assert 'its mirror image, which is another symbol' in done.stdout
