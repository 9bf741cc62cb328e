"""The Python of docs/using_a_model.md, in its order, on a trained model."""

import re
import sys

import pytest

from bcl_mm.cli.main import main
from tests.conftest import ROOT
from tests.docs.commands import code_blocks
from tests.trees import write_classes

PAGE = ROOT / 'docs' / 'using_a_model.md'
WORK_DIR = 'work_dirs/bcl_resnet32_custom'


@pytest.mark.slow
@pytest.mark.documents
def test_the_python_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('LOCAL_RANK', '0')
    write_classes(tmp_path / 'data', (8, 5, 3))
    write_classes(tmp_path, (2,), names=['photos'])
    (tmp_path / 'photos' / '0.JPG').rename(tmp_path / 'photos/img 000.JPG')

    def call(*words):
        capsys.readouterr()
        monkeypatch.setattr(sys, 'argv', ['bcl-mm'])
        main(list(words))
        return capsys.readouterr().out

    call(
        *('train', 'bcl_resnet32_custom', '--cfg-options', 'data_root=data'),
        *('train_cfg.max_epochs=1', 'train_dataloader.num_workers=0'),
        *('train_dataloader.batch_size=4', 'val_dataloader.num_workers=0'),
    )
    for name in ('model.onnx', 'model.pt2'):
        call('export', WORK_DIR, '-o', name)
    for name in ('gallery', 'photos'):
        files = '--out', f'{name}.csv', '--features', f'{name}.npz'
        call('predict', WORK_DIR, 'photos', *files)
    shown = call('predict', WORK_DIR, 'photos/img 000.JPG', '--top-k', '1')
    name, score = re.fullmatch(r'.*JPG +(.*) (\S+)\n', shown).groups()
    scope, printed = {}, []
    for _, block in code_blocks(PAGE, 'python'):
        code = block.replace('epoch_100', 'epoch_1')
        exec(compile(code, str(PAGE), 'exec'), scope)
        printed.append(capsys.readouterr().out)
    (best,) = [text for text in printed if text.endswith('False\n')]
    found = re.fullmatch(r'(.*) (\S+) False\n', best)
    assert found[1] == name
    assert float(found[2]) == pytest.approx(float(score), abs=6e-4)
    assert scope['probabilities'].shape == (1, 3)
