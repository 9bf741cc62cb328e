"""Adapters beside the layers of a frozen backbone."""

import math
from functools import partial

import pytest
import torch
from mmpretrain.models.peft.lora import LoRALinear
from torch import nn

from bcl_mm.models.lift import AdaptFormer, LoRA
from tests.lift import TIMM, VIT, build, randomise
from tests.models.test_no_waiting import WAITING, Operators


@pytest.fixture
def make(tmp_path):
    return partial(build, tmp_path)


def entry(x, down, bias, j):
    total = bias[j]
    for i in range(len(x)):
        total = total + x[i] * down[j, i]
    return total


@pytest.mark.parametrize('seed', range(3))
def test_adaptformer_is_its_equation(seed):
    torch.manual_seed(seed)
    adapter = AdaptFormer(4, 5, 3).double()
    for parameter in adapter.parameters():
        nn.init.normal_(parameter)
    x = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    weights = dict(adapter.named_parameters())
    rows = []
    for row in x:
        hidden = [
            entry(row, weights['down.weight'], weights['down.bias'], j)
            for j in range(3)
        ]
        hidden = [h if h > 0 else 0 * h for h in hidden]
        out = [
            entry(hidden, weights['up.weight'], weights['up.bias'], j)
            for j in range(5)
        ]
        rows.append(torch.stack(out) * weights['scale'])
    expected = torch.stack(rows)
    found = adapter(x)
    torch.testing.assert_close(found, expected)
    factors = torch.randn(2, 5, dtype=torch.float64)
    inputs = [x, *weights.values()]
    torch.testing.assert_close(
        torch.autograd.grad((found * factors).sum(), inputs),
        torch.autograd.grad((expected * factors).sum(), inputs),
    )
    assert torch.autograd.gradcheck(adapter, (x,))


@pytest.mark.parametrize('seed', range(3))
def test_lora_is_its_equation_and_mmpretrains(seed):
    torch.manual_seed(seed)
    theirs = LoRALinear(nn.Linear(4, 5), rank=3).double()
    ours = LoRA(4, 5, 3).double()
    assert not ours.up.weight.any()
    bound = 1 / math.sqrt(4)  # their kaiming_uniform_(a=sqrt(5))
    for adapter in (ours.down, theirs.lora_down):
        assert bound / 2 < adapter.weight.abs().max() <= bound
    nn.init.normal_(ours.up.weight)
    theirs.lora_down.weight = ours.down.weight
    theirs.lora_up.weight = ours.up.weight
    x = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    a, b = ours.down.weight, ours.up.weight
    expected = torch.stack(
        [sum(b[:, r] * sum(a[r] * row) for r in range(3)) / 3 for row in x]
    )
    added = theirs(x) - theirs.original_layer(x)
    for found in (ours(x), added):
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(
            torch.autograd.grad(found.sin().sum(), [x, a, b]),
            torch.autograd.grad(
                expected.sin().sum(), [x, a, b], retain_graph=True
            ),
        )


def block_of(adapted, kind):
    if kind is TIMM:
        block = adapted.frozen.model.blocks[0]
        return block, block.norm2, block.mlp
    block = adapted.frozen.layers[0]
    return block, block.ln2, block.ffn.layers


@pytest.mark.parametrize('vit', [VIT, TIMM], ids=['mmpretrain', 'timm'])
def test_a_block_adds_the_adapter_to_its_mlp(make, vit):
    adapted = randomise(make(vit))
    block, norm, mlp = block_of(adapted, vit)
    x = torch.randn(2, 5, 8)
    attention = block.norm1 if vit is TIMM else block.ln1
    middle = x + block.attn(attention(x))
    inner = norm(middle)
    expected = middle + adapted.adapters[0](inner)
    # Without the hook, which the timm MLP has itself.
    hooks = mlp._forward_hooks.copy()
    mlp._forward_hooks.clear()
    expected = expected + mlp(inner)
    mlp._forward_hooks.update(hooks)
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize('vit', [VIT, TIMM], ids=['mmpretrain', 'timm'])
@pytest.mark.parametrize('adapter', ['adaptformer', 'lora', None])
def test_it_starts_as_the_frozen_backbone(make, vit, adapter):
    adapted = make(vit, adapter=adapter)
    assert len(adapted.adapters) == (2 if adapter else 0)
    plain = make(vit, adapter=None)
    images = torch.randn(3, 3, 8, 8)
    # In training, too: nothing in it drops out.
    adapted.train()
    (found,) = adapted(images)
    assert torch.equal(found, plain.eval()(images)[0])
    assert found.shape == (3, 8)
    randomise(adapted)
    changed = not torch.equal(adapted(images)[0], found)
    assert changed == bool(adapter)


def test_only_adapters_are_trained(make):
    adapted = randomise(make()).train()
    assert adapted.adapters.training and not adapted.frozen.training
    trained = {n for n, p in adapted.named_parameters() if p.requires_grad}
    assert all(name.startswith('adapters.') for name in trained)
    adapted(torch.randn(2, 3, 8, 8))[0].square().sum().backward()
    found = {n for n, p in adapted.named_parameters() if p.grad is not None}
    assert found == trained


def test_amp_and_half_features(make):
    adapted = randomise(make()).train()
    with torch.autocast('cpu', torch.bfloat16):
        (features,) = adapted(torch.randn(2, 3, 8, 8))
    assert features.isfinite().all()
    features.float().sum().backward()
    gradients = [p.grad for p in adapted.adapters.parameters()]
    assert all(grad.isfinite().all() for grad in gradients)


def test_no_operator_of_a_step_waits(make):
    adapted = randomise(make()).train()
    images = torch.randn(2, 3, 8, 8)
    with Operators() as operators:
        adapted(images)[0].sum().backward()
    assert 'relu' in operators.names
    assert not operators.names & WAITING
