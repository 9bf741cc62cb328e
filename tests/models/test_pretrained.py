"""Pretrained weights of backbones."""

import builtins
from functools import partial

import numpy as np
import pytest
import timm
import torch
import torchvision
from mmengine.config import Config, ConfigDict
from mmengine.optim import OptimWrapper
from mmengine.registry import MODELS, DefaultScope
from mmpretrain.structures import DataSample

import bcl_mm
from bcl_mm.classes import ClassInfo
from bcl_mm.models.pretrained import apply_pretrained
from bcl_mm.utils.modules import set_class_info

VIEWS, CLASSES = 3, 5


def read(source, method='bcl', size='resnet50', **backbone):
    cfg = Config.fromfile(bcl_mm.config_path(f'{method}_{size}_custom'))
    cfg.model.head.num_classes = CLASSES
    cfg.model.backbone.update(backbone)
    cfg.pretrained = source and str(source)
    return cfg


def build(cfg):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(
            dict(cfg.model, data_preprocessor=cfg.data_preprocessor)
        )
        model.init_weights()
    return model


def step(model, size):
    """Run a training step on two images, and return its losses."""
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    views = VIEWS if model.head.branches else 1
    images = [torch.randint(0, 255, (2, 3, size, size)) for _ in range(views)]
    if not model.head.branches:
        (images,) = images
    samples = [DataSample().set_gt_label(i) for i in range(2)]
    set_class_info(model.head, ClassInfo(range(1, CLASSES + 1)))
    model.train()
    return model.train_step(
        dict(inputs=images, data_samples=samples), optimizer
    )


def torchvision_net(path, name='resnet18'):
    """Save torchvision's net with changed statistics."""
    net = torchvision.models.get_model(name, weights=None)
    net(torch.randn(4, 3, 64, 64) + 1)
    torch.save(net.state_dict(), path)
    return net.eval()


@pytest.mark.long
def test_torchvisions_weights_arrive(tmp_path):
    path = tmp_path / 'resnet50.pth'
    net = torchvision_net(path, 'resnet50')
    cfg = read(path)
    assert apply_pretrained(cfg) == (
        f'pretrained={path}: 318 of its 320 tensors go to the backbone; left '
        'out: fc.weight, fc.bias'
    )
    assert cfg.model.backbone.init_cfg == dict(
        type='Pretrained', checkpoint=str(path), prefix=None
    )
    model = build(cfg).eval()
    theirs = {k: v for k, v in net.state_dict().items() if k[:3] != 'fc.'}
    ours = model.backbone.state_dict()
    assert set(ours) == set(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    image = torch.randint(0, 255, (1, 3, 64, 64), dtype=torch.uint8)
    data = model.data_preprocessor(dict(inputs=image.flip(1)), training=False)
    mean, std = (
        torch.tensor(values)[:, None, None]
        for values in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    )
    with torch.no_grad():
        (features,) = model.extract_feat(data['inputs'])
        net.fc = torch.nn.Identity()
        expected = net((image / 255 - mean) / std)
    assert features.shape == (1, 2048)
    assert torch.allclose(features, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize('prefix', ['', 'module.'])
@pytest.mark.parametrize('name', ['backbone.', ''])
def test_whole_checkpoints(tmp_path, prefix, name):
    source = build(read(None, 'ce', 'resnet32', depth=8))
    part = source if name else source.backbone
    state = {prefix + k: v for k, v in part.state_dict().items()}
    path = tmp_path / 'a.pth'
    torch.save(dict(state_dict=state, meta=dict(epoch=1)), path)
    cfg = read(path, 'la', 'resnet32', depth=8)
    message = apply_pretrained(cfg)
    total, loaded = len(state), len(source.backbone.state_dict())
    assert f'{loaded} of its {total} tensors' in message
    assert ('left out' in message) == bool(name)
    assert cfg.model.backbone.init_cfg.prefix == (prefix + name or None)
    model = build(cfg)
    for key, value in source.backbone.state_dict().items():
        assert torch.equal(model.backbone.state_dict()[key], value)


def test_a_checkpoint_with_the_weights_needs_no_others():
    cfg = read('/no/such/file.pth')
    before = cfg.model.to_dict()
    apply_pretrained(cfg, load=False)
    assert cfg.model.to_dict() == before
    cfg = read(None)
    apply_pretrained(cfg)
    assert cfg.model.to_dict() == before


@pytest.mark.long
def test_weights_that_do_not_fit(tmp_path):
    path = tmp_path / 'a.pth'

    def refuse(message, *arguments, kind=ValueError):
        with pytest.raises(kind, match=message):
            apply_pretrained(read(path, *arguments, depth=18))

    refuse('there is no checkpoint', kind=FileNotFoundError)
    torchvision_net(path, 'resnet34')  # has all of ResNet-18's, and more
    refuse(
        r"pretrained='.*a.pth' does not fit model.backbone \(ResNet\) in \d* "
        r'weights: layer1.2.conv1.weight belongs to a different net; .* \.'
        r'\.\. \(the file starts with conv1.weight, bn1.weight'
    )
    torch.save(dict(conv1=1), path)
    refuse('conv1.weight is missing.*file starts with conv1')
    state = torchvision.models.resnet18(weights=None).state_dict()
    state['layer4.1.conv2.weight'] = torch.ones(2, 3)
    torch.save(state, path)
    refuse(
        r'in 1 weights: layer4.1.conv2.weight has shape \(2, 3\), not '
        r'\(512, 512, 3, 3\) \(the'
    )
    torch.save([1], path)
    refuse('must be a dict of weights, got list')
    torch.save(dict(state_dict=[1]), path)
    refuse('state_dict must be a dict of weights, got list')
    path.write_bytes(b'x')
    refuse("a.pth' is refused")
    path.write_bytes(b'')
    refuse('is damaged')


@pytest.mark.parametrize(
    ('source', 'message'),
    [
        (
            's3://x',
            r'weights must be a file, http\(s\)://..., .*, got .s3://x',
        ),
        (
            'torchvision://resnet5',
            "no weights 'resnet5'; similar are r",
        ),
        ('timm://resnet5', "timm has no model 'resnet5'; similar are r"),
        ('timm://', "timm has no model ''$"),
    ],
)
def test_addresses_that_cannot_be(source, message):
    with pytest.raises(ValueError, match=message):
        apply_pretrained(read(source))
    with pytest.raises(TypeError, match='pretrained must be text, got 3'):
        apply_pretrained(ConfigDict(pretrained=3))


def test_torchvisions_own_downloads_serve(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'home'))
    path = tmp_path / 'net.pth'
    net = torchvision_net(path)
    folder = tmp_path / 'home/hub/checkpoints'
    folder.mkdir(parents=True)
    # torchvision's own download has the file name of its address.
    (folder / 'resnet18-f37072fd.pth').symlink_to(path)
    cfg = read('torchvision://resnet18', depth=18)
    apply_pretrained(cfg)
    model = build(cfg)
    weight = model.backbone.conv1.weight
    assert torch.equal(weight, net.state_dict()['conv1.weight'])


@pytest.fixture
def timm_offline(monkeypatch):
    """Replace timm's downloads by random weights; records the requests."""
    wanted = []
    create = timm.create_model

    def create_offline(name, pretrained, **options):
        wanted.append(pretrained)
        torch.manual_seed(7)
        return create(name, pretrained=False, **options)

    monkeypatch.setattr(timm, 'create_model', create_offline)
    return wanted


@pytest.mark.parametrize(
    ('name', 'width', 'size'),
    [
        ('resnet10t', 512, 32),
        ('mobilenetv3_small_050', 1024, 32),  # not its num_features
        ('test_vit', 64, 160),  # tokens
        ('test_convnext', 64, 32),
    ],
)
def test_timms_models(timm_offline, name, width, size):
    cfg = read(f'timm://{name}', 'bcl' if size == 32 else 'ce')
    apply_pretrained(cfg)
    assert timm_offline == [True]
    assert cfg.model.head.in_channels == width
    again = Config(cfg.to_dict())  # as the dumped config does
    apply_pretrained(again)
    assert again.to_dict() == cfg.to_dict()
    model = build(cfg)
    torch.manual_seed(7)
    start = timm.create_model(name, pretrained=False, num_classes=0)
    for key, value in start.state_dict().items():  # not initialised again
        assert torch.equal(model.backbone.model.state_dict()[key], value)
    losses = step(model, size)
    assert np.isfinite(losses['loss'].item())
    assert not torch.equal(
        next(model.backbone.parameters()), next(start.parameters())
    )


def test_timms_mean_and_a_tested_checkpoint(timm_offline):
    cfg = read('timm://vit_tiny_patch16_224.augreg_in21k_ft_in1k', 'ce')
    apply_pretrained(cfg, load=False)
    assert timm_offline == [False]
    assert cfg.data_preprocessor.mean == [127.5] * 3
    assert not cfg.model.backbone.pretrained
    assert cfg.model.neck is None


def test_timm_is_not_there(monkeypatch):
    real = builtins.__import__

    def without_timm(name, *arguments, **options):
        if name == 'timm':
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, '__import__', without_timm)
    with pytest.raises(ValueError, match='needs timm: pip install timm'):
        apply_pretrained(read('timm://resnet18'))


def test_a_timm_backbone_from_a_checkpoint(tmp_path):
    kind = partial(dict, type='bcl_mm.TimmBackbone', name='resnet10t')
    net = MODELS.build(kind())
    state = {f'backbone.{k}': v for k, v in net.state_dict().items()}
    torch.save(dict(state_dict=state), tmp_path / 'a.pth')
    cfg = read(tmp_path / 'a.pth', 'ce')
    cfg.model.backbone = kind()
    cfg.model.neck = None
    cfg.model.head.in_channels = net.out_channels
    apply_pretrained(cfg)
    model = build(cfg)
    for key, value in net.state_dict().items():
        assert torch.equal(model.backbone.state_dict()[key], value)
