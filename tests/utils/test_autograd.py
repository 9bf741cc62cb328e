import pytest
import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

from bcl_mm.models import bessel  # noqa: F401
from bcl_mm.models.losses import (
    balanced_contrastive_loss,
    focal_cross_entropy,
    ldam_cross_entropy,
    logit_adjusted_cross_entropy,
)
from bcl_mm.utils import distributed
from bcl_mm.utils.autograd import first_order_only

LABELS = torch.tensor([0, 0, 1, 1])


def features():
    torch.manual_seed(0)
    return F.normalize(torch.randn(4, 8), dim=1).requires_grad_()


@pytest.mark.parametrize('of_loss', [True, False])
def test_second_derivatives_are_refused(of_loss):
    rows = features()
    loss = balanced_contrastive_loss(rows, LABELS)
    loss = loss if of_loss else (2 * loss).exp()
    with pytest.raises(ValueError, match='Loss has no second derivatives'):
        torch.autograd.grad(loss, rows, create_graph=True)
    with pytest.raises(ValueError, match='leave out create_graph=True'):
        loss.backward(create_graph=True)


def test_first_derivatives_are_not():
    rows = features()
    loss = balanced_contrastive_loss(rows, LABELS)
    first = torch.autograd.grad(loss, rows, retain_graph=True)
    assert torch.equal(*first, *torch.autograd.grad(loss, rows))


@pytest.mark.parametrize('use_reentrant', [True, False])
def test_activation_checkpointing(use_reentrant):
    rows = features()
    loss = checkpoint(
        balanced_contrastive_loss, rows, LABELS, use_reentrant=use_reentrant
    )
    loss.backward()
    plain = features()
    balanced_contrastive_loss(plain, LABELS).backward()
    assert torch.equal(rows.grad, plain.grad)


def test_the_name_is_that_of_the_function():
    class _Twice(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return 2 * x

        @staticmethod
        @first_order_only
        def backward(ctx, grad):
            return 2 * grad

    x = torch.ones(1, requires_grad=True)
    with pytest.raises(ValueError, match='^Twice has no second'):
        torch.autograd.grad(_Twice.apply(x).sum(), x, create_graph=True)


def test_every_function_of_the_package_refuses_them(monkeypatch):
    functions = [
        function
        for function in torch.autograd.Function.__subclasses__()
        if function.__module__.startswith('bcl_mm.')
        # A product's gradients are products, which have derivatives.
        and function.__name__ != '_Product'
    ]
    names = {function.__name__ for function in functions}
    assert names == {'ChunkedContrastiveLoss', '_Gather', '_LogBesselQuotient'}
    for function in functions:
        checked = first_order_only(function.backward.__wrapped__)
        assert checked.__code__ is function.backward.__code__

    monkeypatch.setattr(distributed, 'get_world_size', lambda: 1)
    monkeypatch.setattr(distributed, '_all_gather', torch.Tensor.copy_)
    rows = features()
    loss = distributed._Gather.apply(rows).pow(2).sum()
    with pytest.raises(ValueError, match='^Gather has no second derivatives'):
        torch.autograd.grad(loss, rows, create_graph=True)


@pytest.mark.parametrize(
    'loss',
    [
        lambda x: logit_adjusted_cross_entropy(x, LABELS, -x.new_ones(3)),
        lambda x: focal_cross_entropy(x, LABELS, 1.5),
        lambda x: ldam_cross_entropy(x, LABELS, x.new_ones(3) / 4, 2.0),
    ],
)
def test_the_other_losses_have_them(loss):
    torch.manual_seed(0)
    logits = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(loss, logits)
