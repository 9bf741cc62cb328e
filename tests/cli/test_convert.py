"""Checkpoints of the reference implementation, converted and tested."""

import os
import sys

import mmengine
import numpy as np
import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import MODELS
from mmengine.runner.checkpoint import load_checkpoint
from PIL import Image
from torchvision import transforms
from torchvision.models import resnet18, resnext50_32x4d

from bcl_mm.cli.main import main
from tests.conftest import ROOT
from tests.trees import write_lists
from tests.utils.test_checkpoint import Call

TEST = ROOT / 'tools' / 'test.py'
CONVERT = ROOT / 'tools' / 'convert_checkpoint.py'
IMAGENET_LT = ROOT / 'configs' / 'bcl_resnext50_imagenet_lt.py'
LEAF = """
_base_ = '{base}'
model = dict(
    backbone={backbone},
    head=dict(
        num_classes={num_classes},
        in_channels={in_channels},
        classifier='{classifier}',
        hidden_channels=48,
        out_channels=16,
    ),
)
"""
RESNET18 = "dict(_delete_=True, type='mmpretrain.ResNet', depth=18)"


def mlp(in_channels):
    return nn.Sequential(
        nn.Linear(in_channels, 48),
        nn.BatchNorm1d(48),
        nn.ReLU(),
        nn.Linear(48, 16),
    )


class Reference(nn.Module):
    """The layout of the reference's model, from its definition."""

    def __init__(self, encoder, num_classes, classifier='cosine'):
        super().__init__()
        in_channels = encoder.fc.in_features
        encoder.fc = nn.Identity()
        self.encoder = encoder
        self.head = mlp(in_channels)
        self.fc = nn.Linear(in_channels, num_classes)
        self.head_fc = mlp(in_channels)
        self.is_cosine = classifier == 'cosine'
        if self.is_cosine:  # stored the other way round, without bias
            self.fc.weight = nn.Parameter(
                torch.randn(in_channels, num_classes)
            )
            self.fc.bias = None
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                nn.init.uniform_(module.weight, 0.5, 1)
                nn.init.normal_(module.bias, std=0.1)
                nn.init.normal_(module.running_mean, std=0.1)
                nn.init.uniform_(module.running_var, 0.5, 2)

    def forward(self, images):
        """Logits, projections and prototypes."""
        features = self.encoder(images)
        if self.is_cosine:
            classes = self.fc.weight.T  # one row per class
            logits = 30 * F.normalize(features) @ F.normalize(classes).T
        else:
            classes, logits = self.fc.weight, self.fc(features)
        return (
            logits,
            F.normalize(self.head(features), dim=1),
            F.normalize(self.head_fc(classes), dim=1),
        )


def make_resnet18(num_classes=3, classifier='cosine'):
    torch.manual_seed(0)
    return Reference(resnet18(), num_classes, classifier).eval()


def with_prefix(state):
    """As DataParallel names it."""
    return {f'module.{key}': value for key, value in state.items()}


def write_leaf(path, backbone, num_classes, in_channels, classifier='cosine'):
    path.write_text(
        LEAF.format(
            base=IMAGENET_LT,
            backbone=backbone,
            num_classes=num_classes,
            in_channels=in_channels,
            classifier=classifier,
        )
    )
    return path


@pytest.fixture
def convert(tmp_path, capsys):
    """Convert a checkpoint in this process; returns what is printed."""

    def run_main(content, *options, out=tmp_path / 'out.pth'):
        path = tmp_path / 'in.pth'
        if content is not None:
            torch.save(content, path)
        main([str(word) for word in (path, out, *options)], command='convert')
        return capsys.readouterr().out

    return run_main


@pytest.fixture
def refused(convert, capsys, tmp_path):
    """The error of a checkpoint that cannot be converted."""

    def run_convert(content, *options, **out):
        with pytest.raises(SystemExit) as error:
            convert(content, *options, **out)
        assert error.value.code == 1
        assert not list(tmp_path.glob('*.part'))
        assert out or not (tmp_path / 'out.pth').exists()
        message = capsys.readouterr().err
        assert message.startswith('Error: ')
        return message.removeprefix('Error: ').strip()

    return run_convert


def assert_equal_models(reference, config, checkpoint):
    ours = MODELS.build(Config.fromfile(config).model).eval()
    load_checkpoint(ours, str(checkpoint))
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        feats = ours.extract_feat(images)
        found = (
            ours.head(feats),
            ours.head.projection.project(ours.head.pre_logits(feats)),
            ours.head.projection.prototypes(ours.head.class_vectors()),
        )
        for our, their in zip(found, reference(images)):
            assert their.std() > 0.01
            assert torch.allclose(our, their, atol=1e-5, rtol=1e-5)


def test_the_papers_model_from_their_file_to_our_metrics(run, tmp_path):
    data, work_dir = tmp_path / 'imagenet', tmp_path / 'test'
    write_lists(data, per_class=(25, 4, 2))
    reference = Reference(resnext50_32x4d(), num_classes=3).eval()
    state = with_prefix(reference.state_dict())
    state['module.encoder.fc.weight'] = torch.zeros(3, 2048)
    state['module.encoder.fc.bias'] = torch.zeros(3)
    optimizer = torch.optim.SGD(reference.parameters(), lr=0.1, momentum=0.9)
    content = dict(
        epoch=90,
        arch='resnext50',
        state_dict=state,
        best_acc1=np.float64(57.2),
        optimizer=optimizer.state_dict(),
    )
    path, out = tmp_path / 'bcl_ckpt.best.pth.tar', tmp_path / 'ours.pth'
    torch.save(content, path)
    config = write_leaf(tmp_path / 'leaf.py', 'dict()', 3, 2048)

    done = run(sys.executable, CONVERT, path, out, '--config', config)
    number = len(state)
    assert done.stdout.splitlines() == [
        f'{out}: {number - 2} of {number} keys converted',
        'Keys that were not used: 2',
        '  module.encoder.fc.weight',
        '  module.encoder.fc.bias',
        'Entries that were dropped: epoch, arch, best_acc1, optimizer',
        'The config needs, in model.head:',
        '  num_classes=3',
        '  in_channels=2048',
        "  classifier='cosine'",
        '  hidden_channels=48',
        '  out_channels=16',
        f'It fits the model of {config}',
    ]
    assert_equal_models(reference, config, out)

    done = run(
        sys.executable,
        TEST,
        config,
        out,
        '--work-dir',
        work_dir,
        '--out',
        tmp_path / 'predictions.pkl',
        '--cfg-options',
        f'data_root={data}',
        'test_dataloader.num_workers=0',
    )
    assert 'counted 31 images of 3 classes in the training set' in done.stdout
    assert 'accuracy/medium' in done.stdout
    assert 'accuracy/few' in done.stdout
    view = transforms.Compose(
        [
            transforms.Resize(256),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    paths = [
        data / line.split()[0]
        for line in (data / 'ImageNet_LT_test.txt').read_text().splitlines()
    ]
    images = torch.stack([view(Image.open(path)) for path in paths])
    with torch.no_grad():
        expected = reference(images)[0].softmax(dim=1)
    predictions = mmengine.load(tmp_path / 'predictions.pkl')
    found = torch.stack([sample['pred_score'] for sample in predictions])
    assert torch.allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize('classifier', ['cosine', 'linear'])
@pytest.mark.parametrize('num_classes', [7, 512])  # 512 are the channels
def test_classifiers(convert, tmp_path, classifier, num_classes):
    reference = make_resnet18(num_classes, classifier)
    config = write_leaf(
        tmp_path / 'leaf.py', RESNET18, num_classes, 512, classifier
    )
    # A bare state dict, without DataParallel's prefix.
    printed = convert(reference.state_dict(), '--config', config)
    assert 'Keys that were not used: 0\n' in printed
    assert 'Entries that were dropped: none\n' in printed
    assert f'num_classes={num_classes}\n' in printed
    assert f'classifier={classifier!r}\n' in printed
    assert_equal_models(reference, config, tmp_path / 'out.pth')


def test_what_is_written(convert, tmp_path):
    (tmp_path / 'out.pth').write_text('older')
    convert(dict(state_dict=make_resnet18().state_dict()))
    checkpoint = torch.load(tmp_path / 'out.pth')
    assert set(checkpoint) == {'state_dict', 'meta'}
    assert checkpoint['meta'] == dict(converted_from='in.pth')
    assert sorted(p.name for p in tmp_path.iterdir()) == ['in.pth', 'out.pth']


def test_unused_keys_are_named(convert):
    state = make_resnet18().state_dict()
    unused = ['queue', 'encoder.fc.weight', 'fc.scale', 'head.4.weight']
    state.update(dict.fromkeys(unused, torch.ones(1)), note='text')
    lines = convert(state).splitlines()
    first = lines.index('Keys that were not used: 5')
    assert lines[first + 1 : first + 6] == [f'  {k}' for k in unused] + [
        '  note'
    ]
    assert lines[first + 6].startswith('Entries that were dropped')


def test_projectors_are_not_needed_to_test(convert, refused, tmp_path):
    state = make_resnet18().state_dict()
    config = write_leaf(tmp_path / 'leaf.py', RESNET18, 3, 512)
    no_prototypes = {k: v for k, v in state.items() if 'head_fc' not in k}
    message = refused(no_prototypes, '--config', config)
    assert (
        'head.branches.con.prototype_projector.0.weight is missing' in message
    )
    printed = convert(no_prototypes)
    assert 'Note: no head_fc, so no head.branches' in printed
    assert 'hidden_channels=48\n  out_channels=16\n' in printed
    printed = convert({k: v for k, v in state.items() if 'head' not in k})
    assert 'no head, so no head.branches.con.projector' in printed
    assert 'hidden_channels' not in printed


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
