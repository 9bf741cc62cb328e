"""Checkpoints of the reference implementation, converted and tested."""

import sys

import mmengine
import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms
from torchvision.models import resnext50_32x4d

from tests.cli.reference import (
    CONVERT,
    RESNET18,
    TEST,
    Reference,
    assert_equal_models,
    make_resnet18,
    with_prefix,
    write_leaf,
)
from tests.trees import write_lists


def test_the_papers_model_from_their_file_to_our_metrics(
    run, run_warm, tmp_path
):
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

    done = run_warm(
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
