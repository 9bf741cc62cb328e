"""Small frozen transformers, for the tests of LIFT."""

import torch
from mmengine.registry import MODELS

# Small transformers of mmpretrain and of timm, with everything that training
# would draw.
ARCH = dict(embed_dims=8, num_layers=2, num_heads=2, feedforward_channels=12)
VIT = dict(
    type='mmpretrain.VisionTransformer',
    arch=ARCH,
    img_size=8,
    patch_size=4,
    drop_rate=0.5,
    drop_path_rate=0.5,
)
TIMM = dict(
    type='bcl_mm.TimmBackbone',
    name='vit_tiny_patch16_224',
    img_size=8,
    patch_size=4,
    embed_dim=8,
    depth=2,
    num_heads=2,
    proj_drop_rate=0.5,
    drop_path_rate=0.5,
)


def write_weights(path, vit=VIT, seed=0):
    """Write random weights of a backbone to a file."""
    torch.manual_seed(seed)
    net = MODELS.build(vit)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(std=0.3)
    timm = getattr(net, 'model', None)
    torch.save((timm or net).state_dict(), path)
    return str(path)


def randomise(adapted):
    """Adapters as after some training: they start as zero."""
    with torch.no_grad():
        for parameter in adapted.adapters.parameters():
            parameter.normal_()
    return adapted


def build(folder, vit=VIT, seed=0, **options):
    """An AdaptedBackbone of random weights, which are written to a file."""
    file = write_weights(folder / f'{seed}.pth', vit, seed)
    kind = dict(type='bcl_mm.AdaptedBackbone', frozen=vit, channels=3)
    return MODELS.build(dict(kind, weights_file=file, **options))
