"""Batches for the contrastive losses."""

import torch
import torch.nn.functional as F

WRONG = [
    'own class not reduced',
    'anchor in the denominator',
    'prototypes only as negatives',
]


def unit(*shape: int) -> torch.Tensor:
    rows = torch.randn(*shape, dtype=torch.float64)
    return F.normalize(rows, dim=-1).requires_grad_()


def batch(labels, num_classes=7, dim=5):
    """Two views of images with ``labels``, and prototypes."""
    labels = torch.tensor(labels).repeat(2)
    return unit(len(labels), dim), labels, unit(num_classes, dim)


def gradients(loss, *tensors):
    return torch.autograd.grad(loss, tensors, allow_unused=True)


def assert_same(ours, oracle, *tensors):
    assert torch.allclose(ours, oracle, rtol=1e-9, atol=1e-12)
    for got, want in zip(
        gradients(ours, *tensors), gradients(oracle, *tensors)
    ):
        assert torch.allclose(got, want, rtol=1e-6, atol=1e-12)


BATCHES = {
    'skewed': [0, 0, 0, 0, 0, 0, 1, 1, 2, 5],
    'one class': [3, 3, 3],
    'one image': [3],
    'all different': [6, 5, 4, 3, 2, 1, 0],
}
