"""Two gloo ranks with different, unbalanced shards against one process."""

import socket

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmpretrain.structures import DataSample
from torch.nn.parallel import DistributedDataParallel

from bcl_mm.distributed import gather, rank
from bcl_mm.heads import BCLHead

# Class 4 is only on rank 1, class 3 on none; rank 0 has one class alone.
SHARDS = [[0, 0, 0, 0], [0, 1, 2, 4]]
COUNTS = [40, 20, 10, 5, 2]
CASES = {
    'bcl': dict(),
    'complement off for a while': dict(complement=False),
    'no complement': dict(
        loss_con=dict(
            type='bcl_mm.BalancedContrastiveLoss', class_complement=False
        )
    ),
    'no contrast': dict(loss_con=None),
    're-weighted margins': dict(
        loss_cls=dict(type='bcl_mm.LDAMLoss', reweight_begin=0.0),
        loss_con=None,
    ),
    'all views classified': dict(loss_con=None, classify_all_views=True),
}


class Step(torch.nn.Module):
    """A linear backbone and the head, with the losses as output."""

    def __init__(self, complement=True, **options):
        super().__init__()
        torch.manual_seed(0)
        self.backbone = torch.nn.Linear(6, 6)
        # No batch statistics: those of a rank are its own.
        self.head = BCLHead(
            5,
            6,
            hidden_channels=8,
            out_channels=4,
            norm_cfg=None,
            class_counts=COUNTS,
            **options,
        )
        self.head.set_class_complement(complement)

    def forward(self, images, labels):
        samples = [DataSample().set_gt_label(label) for label in labels]
        return self.head.loss((self.backbone(images),), samples)


def views(ranks):
    """Three views of the images of some ranks, view-major, and labels."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(
        3, len(SHARDS), 4, 6, generator=generator, dtype=torch.float64
    )
    labels = [label for r in ranks for label in SHARDS[r]]
    return images[:, ranks].reshape(-1, 6), labels


def gradients(model, ranks):
    losses = model(*views(ranks))
    loss = sum(value for key, value in losses.items() if 'loss' in key)
    loss.backward()
    grads = {name: p.grad.clone() for name, p in model.named_parameters()}
    return loss.detach(), grads, losses.get('batch_classes')


def worker(this, port, results):
    dist.init_process_group(
        'gloo',
        init_method=f'tcp://127.0.0.1:{port}',
        rank=this,
        world_size=len(SHARDS),
    )
    assert rank() == this
    for case, options in CASES.items():
        model = DistributedDataParallel(
            Step(**options).double(), find_unused_parameters=False
        )
        results[case, this] = gradients(model, [this])
    dist.destroy_process_group()


@pytest.fixture(scope='module')
def of_two_ranks():
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        port = server.getsockname()[1]
    with mp.get_context('spawn').Manager() as manager:
        results = manager.dict()
        mp.spawn(worker, (port, results), nprocs=len(SHARDS), join=True)
        yield dict(results)


@pytest.mark.parametrize('case', CASES)
def test_two_ranks_equal_one_process(case, of_two_ranks):
    loss_0, grads, present = of_two_ranks[case, 0]
    loss_1, others, _ = of_two_ranks[case, 1]
    model = Step(**CASES[case]).double()
    loss, expected, present_of_all = gradients(model, [0, 1])
    assert torch.allclose((loss_0 + loss_1) / 2, loss, rtol=1e-12)
    assert present == present_of_all
    for name, want in expected.items():
        assert torch.equal(grads[f'module.{name}'], others[f'module.{name}'])
        got = grads[f'module.{name}']
        assert torch.allclose(got, want, rtol=1e-9, atol=1e-15), name
    if case not in ('no contrast', 'all views classified'):
        # Taking each rank's batch for the whole is another loss.
        alone = [gradients(model, [r])[0] for r in (0, 1)]
        assert abs(sum(alone) / 2 - loss) > 1e-3 * loss


def test_gather_in_one_process_changes_nothing():
    tensor = torch.randn(3, 2, requires_grad=True)
    assert gather(tensor) is tensor
    assert rank() == 0
