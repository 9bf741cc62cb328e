import pytest
import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

from bcl_mm.models.losses import balanced_contrastive_loss
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
