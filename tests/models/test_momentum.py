"""Keys of a slowly moving encoder."""

import pytest
import torch
from torch.nn.functional import normalize

from bcl_mm.engine.hooks import ProgressHook
from bcl_mm.registry import MODELS
from bcl_mm.utils.modules import parts_of
from bcl_mm.utils.protocols import TakesProgress
from tests.engine.hooks.common import make
from tests.models.test_branches import (
    EMA,
    HOOKS,
    THREE_VIEWS,
    assert_same,
    state,
)

HEAD = dict(
    type='bcl_mm.LongTailHead',
    loss_cls=None,
    branches=dict(
        paco=dict(
            type='bcl_mm.GPaCo',
            queue_size=70,
            hidden_channels=8,
            out_channels=8,
        )
    ),
)


def trained(folder, epochs=2, head=HEAD, **options):
    runner = make(
        folder,
        train=THREE_VIEWS,
        head=head,
        model=dict(type='bcl_mm.MomentumClassifier', momentum=0.9),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        default_hooks=HOOKS,
        custom_hooks=[EMA],
        **options,
    )
    runner.train()
    return runner


def model(momentum=0.9):
    torch.manual_seed(0)
    return MODELS.build(
        dict(
            type='bcl_mm.MomentumClassifier',
            momentum=momentum,
            backbone=dict(
                type='bcl_mm.CIFARResNet',
                depth=8,
                in_channels=1,
                base_channels=4,
            ),
            neck=dict(type='mmpretrain.GlobalAveragePooling'),
            head=dict(HEAD, num_classes=10, in_channels=16),
        )
    )


def test_the_encoder_follows_the_model():
    ours = model()
    own = [*ours.backbone.parameters(), *ours.head.projection.parameters()]
    keys = list(ours.key_encoder.parameters())
    assert len(own) == len(keys)
    ours.init_weights()
    expected = None
    for step in range(3):
        with torch.no_grad():
            for parameter in own:
                parameter.add_(torch.randn_like(parameter))
        for part in parts_of(ours, TakesProgress):
            part.set_progress(step / 3)
        now = [p.detach().clone() for p in own]
        if expected is None:
            expected = now  # the first time, it is a copy
        else:
            pairs = zip(expected, now)
            expected = [0.9 * key + 0.1 * value for key, value in pairs]
        for key, value in zip(keys, expected):
            assert torch.allclose(key, value, atol=1e-6)
    assert not any(key.requires_grad for key in keys)


def test_keys_are_projections_of_the_copy():
    ours = model()
    for part in parts_of(ours, TakesProgress):
        part.set_progress(0)
    ours.eval()
    images = torch.randn(4, 1, 8, 8)
    (rows,) = ours.extract_feat(images)
    expected = normalize(ours.head.projection.projector(rows), dim=1)
    assert torch.allclose(ours.keys(images), expected, atol=1e-6)
    assert not ours.keys(images).requires_grad


@pytest.mark.long
def test_training_and_resuming_give_the_same_bits(tmp_path):
    whole = trained(tmp_path / 'whole', 3)
    trained(tmp_path / 'parts', 2)
    resumed = trained(tmp_path / 'parts', 3, resume=True)
    assert_same(state(resumed), state(whole))
    keys = [k for k in state(whole) if k.startswith('key_encoder.')]
    assert keys and int(whole.model.has_keys) == 1
    assert any(isinstance(hook, ProgressHook) for hook in whole.hooks)


@pytest.mark.long
def test_the_passes_of_sam_see_the_same_keys(tmp_path):
    plain = trained(tmp_path / 'plain')
    wrapper = dict(type='bcl_mm.SAMOptimWrapper', rho=0.0)
    wrapper['optimizer'] = dict(type='SGD', lr=0.01)
    ours = trained(tmp_path / 'sam', optim_wrapper=wrapper)
    assert_same(state(ours), state(plain))


def test_bad_settings(tmp_path):
    with pytest.raises(ValueError, match='momentum must be in .0, 1., got'):
        model(momentum=1)
    with pytest.raises(TypeError, match='needs a branch with a projector'):
        trained(tmp_path, head=dict(type='bcl_mm.LongTailHead'))
