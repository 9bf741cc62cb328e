"""What checkpoints hold of a frozen backbone: its fingerprint."""

import copy
import io
from functools import partial

import pytest
import torch
from mmengine.model import ExponentialMovingAverage
from mmengine.registry import MODELS
from mmengine.runner.checkpoint import get_state_dict, load_state_dict
from mmpretrain.models.peft import LoRAModel
from torch import nn

from bcl_mm.models.lift import fingerprint
from tests.lift import VIT, build, randomise


@pytest.fixture
def make(tmp_path):
    return partial(build, tmp_path)


def test_checkpoints_hold_adapters_and_fingerprint_alone(make):
    wrapper = nn.ModuleDict(dict(before=nn.Linear(1, 1), backbone=make()))
    for state in (wrapper.state_dict(), get_state_dict(wrapper)):
        rest = {n for n in state if not n.startswith('backbone.adapters.')}
        assert rest == {
            'before.weight',
            'before.bias',
            'backbone.fingerprint',
        }
    assert len(state) == 3 + 2 * 5
    other = nn.ModuleDict(dict(before=nn.Linear(1, 1), backbone=make()))
    randomise(wrapper['backbone'])
    other.load_state_dict(wrapper.state_dict(), strict=True)
    images = torch.randn(2, 3, 8, 8)
    outs = [w.eval()['backbone'](images)[0] for w in (wrapper, other)]
    assert torch.equal(*outs)


def test_a_moving_average_keeps_its_own_adapters_and_steps(make):
    """LoRAModel of mmpretrain keeps '.lora_' alone, and loses the steps."""
    adapted = randomise(make())
    average = ExponentialMovingAverage(adapted, 0.5, update_buffers=True)
    assert 'steps' in average.state_dict()
    theirs = LoRAModel(VIT, rank=2, targets=[dict(type='qkv')])
    assert 'steps' not in ExponentialMovingAverage(theirs).state_dict()
    images = torch.randn(2, 3, 8, 8)
    before = average.eval()(images)[0]
    randomise(adapted)
    assert torch.equal(average(images)[0], before)
    for _ in range(2):
        average.update_parameters(adapted)
    torch.testing.assert_close(average(images)[0], adapted(images)[0])
    average.load_state_dict(average.state_dict(), strict=True)


@pytest.mark.parametrize('load', ['torch', 'mmengine'])
def test_another_backbone_is_refused(make, load):
    state, other = make().state_dict(), make(seed=1)

    def load_into(module):
        if load == 'torch':
            module.load_state_dict(copy.copy(state))
        else:
            load_state_dict(module, state)

    load_into(make())
    with pytest.raises(
        ValueError,
        match=r"frozen backbone '.*1.pth' has other weights than the one that "
        'the checkpoint was trained with: give its file with .*pretrained=',
    ):
        load_into(other)
    other.weights_file = None
    with pytest.raises(ValueError, match='backbone needs its weights: give'):
        load_into(other)


def test_the_fingerprint_is_of_names_and_values():
    def digest(**weights):
        module = nn.Module()
        for name, value in weights.items():
            module.register_buffer(name, value)
        return bytes(fingerprint(module).tolist())

    one, two = torch.ones(2), torch.zeros(2)
    digests = {
        digest(a=one, b=two),
        digest(a=two, b=one),
        digest(a=one, c=two),
        digest(a=one.double(), b=two),
        digest(a=one.bfloat16(), b=two),
        digest(a=one[None], b=two),
        digest(a=one),
        digest(a=torch.tensor(True)),
        digest(),
    }
    assert len(digests) == 9
    # Not of their order, nor of their memory.
    assert digest(b=two, a=torch.ones(4)[::2]) == digest(a=one, b=two)


def test_weights_of_all_kinds_of_files(make, tmp_path):
    expected = make().fingerprint
    state = torch.load(tmp_path / '0.pth')
    state = {f'backbone.{name}': value for name, value in state.items()}
    state['head.weight'] = torch.ones(1)
    path = tmp_path / 'whole.pth'
    torch.save(dict(state_dict=state, meta={}), path)
    config = dict(
        type='bcl_mm.AdaptedBackbone', frozen=VIT, weights_file=str(path)
    )
    assert torch.equal(MODELS.build(config).fingerprint, expected)
    content = io.BytesIO()
    torch.save(MODELS.build(config), content)  # the hooks are picklable
    # (Training initialises a model that it has built.)
    adapted = MODELS.build(config)
    adapted.init_weights()
    assert torch.equal(fingerprint(adapted.frozen), expected)


def test_errors(make, tmp_path):
    for message, options in {
        "adapter must be 'adaptformer', 'lora' or None, got 'x'": dict(
            adapter='x'
        ),
        'targets must be text, got 3': dict(targets=3),
        r"targets must be a regular expression, got '\(': ": dict(targets='('),
        "no module of VisionT.* targets='mlp': there are patch_embed": dict(
            targets='mlp'
        ),
        r'ln1 of VisionTransformer has no linear layer': dict(targets='ln1'),
        "weights_file='.*0.pth' does not fit .* pos_embed has shape": dict(
            vit={**VIT, 'img_size': 12}, weights_file=str(tmp_path / '0.pth')
        ),
        "the frozen backbone '/no.pth' does not exist: give its file": dict(
            weights_file='/no.pth'
        ),
    }.items():
        make()
        options = {'vit': VIT, **options}
        config = dict(frozen=options.pop('vit'), **options)
        with pytest.raises((TypeError, ValueError, OSError), match=message):
            MODELS.build(dict(type='bcl_mm.AdaptedBackbone', **config))
    for channels in (0, 1.5):
        with pytest.raises((TypeError, ValueError), match='channels must be'):
            MODELS.build(
                dict(
                    type='bcl_mm.AdaptedBackbone',
                    frozen=VIT,
                    channels=channels,
                )
            )
    bare = MODELS.build(dict(type='bcl_mm.AdaptedBackbone', frozen=VIT))
    with pytest.raises(ValueError, match='backbone needs its weights: give'):
        bare.init_weights()
