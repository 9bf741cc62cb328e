"""The work dir of a training is all that the commands need."""

import json
import shutil

import numpy as np
import pytest
import torch

from bcl_mm.apis.inference import load_model
from bcl_mm.apis.trained_models import find_model
from bcl_mm.engine.resume import latest_checkpoint
from tests.cli.common import BCL
from tests.trees import write_classes

STOP = 'default_hooks.early_stopping'
BEST = 'best_accuracy_balanced_epoch_1.pth'


@pytest.fixture
def work_dir(trained, tmp_path):
    """A copy of the run, moved: with a best checkpoint of other weights."""
    folder = tmp_path / 'moved'
    shutil.copytree(trained.parent, folder)
    content = torch.load(folder / trained.name)
    info = content['message_hub']['runtime_info']
    info['best_ckpt'] = f'/elsewhere/{BEST}'
    torch.save(content, folder / trained.name)
    content['state_dict']['head.classifier.weight'].mul_(-1)
    torch.save(content, folder / BEST)
    return folder


def scores(call, tmp_path, *arguments):
    """(N, C) scores, and what stderr says."""
    out = tmp_path / 'out.json'
    status, _, errors = call(
        'predict', *arguments, '--top-k', 10, '--out', out
    )
    assert status == 0, errors
    rows = [
        [c['score'] for c in sorted(i['classes'], key=lambda c: c['label'])]
        for i in json.loads(out.read_text())
    ]
    return np.array(rows), errors


def test_predict(call, trained, digits, work_dir, tmp_path):
    expected, told = scores(call, tmp_path, BCL, trained, *digits)
    assert told == f'Model: {trained} (epoch 1)\n'
    last, best = work_dir / 'epoch_1.pth', work_dir / BEST
    for model, names in (
        ((work_dir,), last),
        ((tmp_path, '--select', 'last'), last),  # the only run below
        ((last,), last),
        ((work_dir, last), last),
        ((best,), best),
        ((work_dir, '--select', 'best'), best),
    ):
        found, told = scores(call, tmp_path, *model, *digits)
        assert told == f'Model: {names} (epoch 1)\n'
        is_same = np.allclose(found, expected, atol=1e-6)
        assert is_same == (names == last)
    # A single image is not a checkpoint.
    assert len(scores(call, tmp_path, work_dir, digits[0])[0]) == 1


def test_export_and_python(call, work_dir, tmp_path):
    out = tmp_path / 'model.pt2'
    best = work_dir / BEST
    options = '--select', 'best', '-o', out
    status, _, errors = call('export', work_dir, *options)
    assert (status, errors) == (0, f'Model: {best} (epoch 1)\n')
    _, model = load_model(work_dir, select='best', device='cpu')
    images = torch.rand(2, 1, 8, 8) * 255
    inputs = model.data_preprocessor(dict(inputs=images))['inputs']
    logits, _ = torch.export.load(out).module()(images)
    expected = model(inputs, mode='tensor')
    assert torch.allclose(logits, expected, atol=1e-4)


def test_a_test_leaves_the_work_dir_as_it_was(call, work_dir, tmp_path):
    before = {p: p.read_bytes() for p in work_dir.iterdir() if p.is_file()}
    out = tmp_path / 'metrics.json'
    figures = []
    options = '--out', out, '--out-item', 'metrics'
    named = BCL, work_dir / 'epoch_1.pth', '--work-dir', tmp_path / 'logs'
    for arguments in ((work_dir,), named):
        status, _, errors = call('test', *arguments, *options)
        assert status == 0, errors
        figures.append(json.loads(out.read_text()))
    assert figures[0] == figures[1]
    assert before == {p: p.read_bytes() for p in before}
    assert (work_dir / 'test').is_dir()


def test_options_between_the_words(call, work_dir, digits, tmp_path):
    out = tmp_path / 'out.csv'
    for words in (
        (work_dir, '--out', out, digits[0]),
        (BCL, '--out', out, work_dir / 'epoch_1.pth', digits[0]),
    ):
        status, output, _ = call('predict', *words)
        assert (status, output) == (0, f'{out}: 1 image\n')


def test_the_last_one_is_never_the_best_one(work_dir):
    (work_dir / 'last_checkpoint').unlink()
    assert latest_checkpoint(work_dir)[0] == str(work_dir / 'epoch_1.pth')
    found = find_model(work_dir)
    assert found.checkpoint == str(work_dir / 'epoch_1.pth')


@pytest.mark.parametrize('command', ['predict', 'export', 'test'])
def test_what_cannot_be_found_is_told(call, work_dir, tmp_path, command):
    (tmp_path / 'empty').mkdir()
    shutil.copytree(work_dir, tmp_path / 'two')
    alone = tmp_path / 'empty' / 'alone.pth'
    shutil.copy(work_dir / 'epoch_1.pth', alone)
    more = {
        'predict': [work_dir / 'views.png'],
        'export': ['-o', tmp_path / 'm.pt2'],
        'test': [],
    }[command]
    best = '--select', 'best'
    neither = 'is neither a work dir nor a checkpoint in one: give one of the'
    for words, message in (
        ((tmp_path / 'empty',), "empty' holds no run: a run is a work dir"),
        ((tmp_path,), 'holds 2 runs: name one of them, such as '),
        ((tmp_path / 'none',), neither),
        ((BCL,), neither),
        ((tmp_path / 'none.pth',), neither),
        ((alone,), 'beside the checkpoint .* there is no config.json of its'),
        ((BCL, alone, *best), "select='best' chooses among the checkpoints"),
        ((work_dir / BEST, *best), "select='best' chooses among the check"),
    ):
        status, _, errors = call(command, *words, *more)
        assert status == 1
        assert len(errors.strip().splitlines()) == 1
        with pytest.raises(Exception, match=message):
            raise Exception(errors)


def test_no_best_checkpoint(call, trained, work_dir):
    arguments = '--select', 'best', trained.parent / 'views.png'
    status, _, errors = call('predict', trained.parent, *arguments)
    assert status == 1
    message = 'has no best checkpoint: a training keeps one with --cfg-option'
    assert message in errors
    last = work_dir / 'epoch_1.pth'
    content = torch.load(last)
    info = content['message_hub']['runtime_info']
    info['best_ckpt_accuracy/few'] = '/elsewhere/best_accuracy_few.pth'
    torch.save(content, last)
    with pytest.raises(ValueError, match='has several best checkpoints, of'):
        find_model(work_dir, select='best')
    del info['best_ckpt']
    torch.save(content, last)
    with pytest.raises(FileNotFoundError, match=r'few.pth. is missing'):
        find_model(work_dir, select='best')
    with pytest.raises(ValueError, match="select must be 'last' or 'best', "):
        find_model(work_dir, select='beste')


def test_own_data_keeps_the_best_one(call, tmp_path):
    write_classes(tmp_path / 'data', (8, 4))
    work_dir = tmp_path / 'run'
    status, _, errors = call(
        *('train', 'ce_resnet32_custom', '--work-dir', work_dir),
        *('--cfg-options', f'data_root={tmp_path / "data"}'),
        *('train_cfg.max_epochs=3', 'train_cfg.val_interval=1'),
        *('train_dataloader.num_workers=0', 'val_dataloader.num_workers=0'),
        *('train_dataloader.batch_size=4', 'model.backbone.depth=8'),
        f'{STOP}.type=bcl_mm.EarlyStoppingHook',
        *(f'{STOP}.patience=1', f'{STOP}.min_delta=1000'),
    )
    assert status == 0, errors
    (best,) = work_dir.glob('best_accuracy_balanced_epoch_*.pth')
    found = find_model(work_dir, select='best')
    assert (found.checkpoint, found.progress) == (str(best), '')
    assert find_model(work_dir).checkpoint == str(work_dir / 'epoch_2.pth')
    status, output, errors = call('test', work_dir, '--select', 'best')
    assert status == 0, errors
    assert 'accuracy/balanced' in output + errors


def test_an_unfinished_training_is_told(call, work_dir, digits, tmp_path):
    config = work_dir / 'config.json'
    content = json.loads(config.read_text())
    content['train_cfg']['max_epochs'] = 7
    config.write_text(json.dumps(content))
    _, told = scores(call, tmp_path, work_dir, *digits)
    message = '(epoch 1, of a training that is unfinished: epoch 1 of 7)'
    assert message in told
