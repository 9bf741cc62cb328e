"""A model as the reference implementation saves it."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import MODELS
from mmengine.runner.checkpoint import load_checkpoint
from torchvision.models import resnet18

from tests.conftest import ROOT

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
