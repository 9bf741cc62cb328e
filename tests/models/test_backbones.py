import pytest
import torch
from mmengine.registry import MODELS

from bcl_mm.models.backbones import CIFARResNet


def num_parameters(module):
    return sum(p.numel() for p in module.parameters())


def test_depth_32_is_the_literatures():
    backbone = MODELS.build(dict(type='bcl_mm.CIFARResNet', depth=32))
    backbone.init_weights()
    linear = torch.nn.Linear(64, 10)
    assert num_parameters(backbone) + num_parameters(linear) == 464_154
    (features,) = backbone(torch.randn(2, 3, 32, 32))
    assert features.shape == (2, 64, 8, 8)
    weight = backbone.blocks[-1].residual[0].weight
    assert weight.std().item() == pytest.approx(
        (2 / (64 * 9)) ** 0.5, rel=0.02
    )


def test_arguments():
    backbone = CIFARResNet(
        8, in_channels=1, base_channels=8, stem_stride=2, shortcut='projection'
    )
    (features,) = backbone(torch.randn(2, 1, 28, 28))
    assert features.shape == (2, 32, 4, 4)
    assert num_parameters(backbone) > num_parameters(
        CIFARResNet(8, in_channels=1, base_channels=8, stem_stride=2)
    )
    grouped = CIFARResNet(8, norm_cfg=dict(type='GN', num_groups=4))
    layers = [type(module).__name__ for module in grouped.modules()]
    assert layers.count('GroupNorm') == 7
    assert 'BatchNorm2d' not in layers


def test_width_4_is_the_resnet_32_of_glmc():
    # 7.41 million parameters, with a layer for 100 classes.
    backbone = CIFARResNet(32, width=4)
    linear = torch.nn.Linear(256, 100)
    assert num_parameters(backbone) + num_parameters(linear) == 7_409_316
    (features,) = backbone(torch.randn(1, 3, 32, 32))
    assert features.shape == (1, 256, 8, 8)


def test_pad_shortcut_keeps_the_input():
    block = CIFARResNet(8).blocks[1]
    x = torch.randn(1, 16, 4, 4)
    padded = block.shortcut(x)
    assert torch.equal(padded[:, 8:24], x[:, :, ::2, ::2])
    assert not padded[:, :8].any()
    assert not padded[:, 24:].any()


@pytest.mark.parametrize('wrap', [dict, lambda **cfg: [cfg]])
def test_weights_of_a_checkpoint(tmp_path, wrap):
    weights = CIFARResNet(8).state_dict()
    torch.save(weights, tmp_path / 'weights.pth')
    backbone = CIFARResNet(
        8,
        init_cfg=wrap(
            type='Pretrained', checkpoint=str(tmp_path / 'weights.pth')
        ),
    )
    backbone.init_weights()
    for name, value in backbone.state_dict().items():
        assert value.equal(weights[name])


@pytest.mark.parametrize('depth', [2, 10, 33])
def test_wrong_depth(depth):
    with pytest.raises(ValueError, match=rf'6n \+ 2, n >= 1, got {depth}'):
        CIFARResNet(depth)


def test_wrong_shortcut():
    with pytest.raises(ValueError, match="shortcut must be .*, got 'A'"):
        CIFARResNet(8, shortcut='A')
