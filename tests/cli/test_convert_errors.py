"""Checkpoints that are not converted."""

import os

import pytest
import torch
import torch.nn as nn

from tests.cli.reference import RESNET18, make_resnet18, write_leaf
from tests.utils.test_checkpoint import Call


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (
            lambda state: state.pop('fc.weight'),
            'lacks fc.weight, and its first keys are encoder.conv1.',
        ),
        (
            lambda state: state.pop('encoder.layer2.0.conv1.weight'),
            'lacks encoder.layer2.0.conv1.weight, and its first keys',
        ),
        (
            lambda state: state.pop('head_fc.1.running_var'),
            'head_fc must be complete or absent, but it lacks head_fc.1.runn',
        ),
        (
            lambda state: state.update({'fc.weight': torch.ones(3, 512)}),
            'fc.weight without fc.bias must be (in_channels, num_classes) = '
            '(512, num_classes), got shape (3, 512)',
        ),
        (
            lambda state: state.update({'fc.bias': torch.ones(3)}),
            'fc.weight with fc.bias must be (num_classes, in_channels) = '
            '(num_classes, 512), got shape (512, 3)',
        ),
        (
            lambda state: state.update({'fc.weight': torch.ones(512)}),
            'got shape (512,)',
        ),
        (
            lambda state: state.update({'fc.weight': 1}),
            'fc.weight must be a tensor, got int',
        ),
        (
            lambda state: state['encoder.layer1.0.conv1.weight'][0, 0].fill_(
                torch.nan
            ),
            'encoder.layer1.0.conv1.weight must be finite, but 9 of its '
            '36864 numbers are not',
        ),
        (
            lambda state: state['fc.weight'][0, 0].fill_(-torch.inf),
            'fc.weight must be finite, but 1 of its 1536 numbers are not',
        ),
        (
            lambda state: state.update({'head.0.weight': torch.ones(48, 9)}),
            "head.0.weight must have 512 columns, the backbone's channels, "
            'got shape (48, 9)',
        ),
        (
            lambda state: state.update({'head.3.weight': torch.ones(8, 48)}),
            "head and head_fc must have the same widths, got {'hidden_channel",
        ),
    ],
)
def test_broken_layouts(refused, change, message):
    state = make_resnet18().state_dict()
    change(state)
    assert message in refused(dict(state_dict=state))


def test_checkpoint_of_another_project(refused):
    ours = {'backbone.conv1.weight': torch.ones(1), 'head.fc': torch.ones(1)}
    message = refused(dict(state_dict=ours, meta={}))
    assert 'in.pth: the reference has keys encoder.*, head.*, ' in message
    assert 'lacks encoder.conv1.weight, encoder.bn1.weight' in message
    assert message.endswith('first keys are backbone.conv1.weight, head.fc')
    assert 'its first keys are none' in refused({})
    assert 'must be a dict of weights, got list' in refused([1])
    assert 'must be a dict of weights, got list' in refused(
        dict(state_dict=[1])
    )


def test_code_is_refused_and_not_run(refused, tmp_path):
    mark = tmp_path / 'was_run'
    state = make_resnet18().state_dict()
    for content in (
        Call(os.system, f'touch {mark}'),
        dict(state_dict=state, best_acc1=Call(os.system, f'touch {mark}')),
    ):
        message = refused(content)
        assert 'is refused, and nothing of it was run: it asks' in message
        assert f'for {os.system.__module__}.system, which is more' in message
        assert 'weights_only' not in message
        assert not mark.exists()
    assert 'asks for torch.nn' in refused(dict(state_dict=nn.Linear(1, 1)))


def test_damaged_and_missing_files(refused, tmp_path):
    path = tmp_path / 'in.pth'
    assert f'there is no checkpoint {str(path)!r}' in refused(None)
    path.touch()
    assert "in.pth' is damaged: it is cut short" in refused(None)
    path.write_bytes(b'no checkpoint')
    assert 'it is damaged, or holds more than weights' in refused(None)
    torch.save(make_resnet18().state_dict(), path)
    with path.open('r+b') as file:
        file.truncate(path.stat().st_size // 2)
    assert "in.pth' is damaged: it is cut short" in refused(None)


def test_out_must_be_another_file(refused, tmp_path):
    path, out = tmp_path / 'in.pth', tmp_path / 'out.pth'
    torch.save(make_resnet18().state_dict(), path)
    before = path.read_bytes()
    out.symlink_to(path)

    for target in (path, out):
        message = f'OUT must be another file than IN, got {str(target)!r}'
        assert refused(None, out=target) == message
    out.unlink()
    message = 'OUT must be a file, got the folder'
    assert message in refused(None, out=tmp_path)
    message = "none/out.pth', does not exist"
    assert message in refused(None, out=tmp_path / 'none' / 'out.pth')
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_config_that_does_not_fit(refused, tmp_path):
    state = make_resnet18().state_dict()
    assert refused(state, '--config', 'none.py') == (
        "there is no config 'none.py'"
    )
    leaf = tmp_path / 'leaf.py'
    write_leaf(leaf, RESNET18, 4, 512, 'linear')
    lines = refused(state, '--config', leaf).splitlines()
    assert lines == [
        f'2 keys do not fit the model of {leaf}, and nothing was written:',
        '  head.classifier.bias is missing',
        '  head.classifier.weight has shape (3, 512), not (4, 512)',
    ]
    state['encoder.layer1.5.conv1.weight'] = torch.ones(1)
    write_leaf(leaf, RESNET18, 3, 512)
    message = 'backbone.layer1.5.conv1.weight is unknown to the config'
    assert message in refused(state, '--config', leaf)


def test_nothing_is_left_of_a_failed_write(refused, tmp_path, monkeypatch):
    def fail(content, file):
        file.write(b'half')
        raise OSError(28, 'No space left on device')

    torch.save(make_resnet18().state_dict(), tmp_path / 'in.pth')
    monkeypatch.setattr(torch, 'save', fail)
    assert 'No space left on device' in refused(None)
