"""Gloo ranks with different, unbalanced shards against one process."""

from collections import Counter

import pytest
import torch
import torch.distributed as dist
from mmengine.dist import get_rank
from mmpretrain.structures import DataSample
from torch.nn.parallel import DistributedDataParallel
from torch.profiler import ProfilerActivity, profile

from bcl_mm.models.heads import BCLHead
from bcl_mm.utils.distributed import gather
from bcl_mm.utils.modules import parts_of
from bcl_mm.utils.protocols import TakesClassComplement
from tests import branches  # noqa: F401
from tests.distributed.common import on_ranks

# Rank 0 has one class alone, class 4 is on one rank only, class 3 on none.
SHARDS = [[0, 0, 0, 0], [0, 1, 2, 4], [1, 2, 2, 1]]
COUNTS = [40, 20, 10, 5, 2]
WORLD_SIZES = (2, 3)
SEESAW = dict(type='bcl_mm.SeesawLoss', num_classes=5)
REWEIGHTED = dict(type='bcl_mm.LDAMLoss', reweight_begin=0.0)


def contrast(**options):
    return dict(type='bcl_mm.BalancedContrastiveLoss', **options)


CASES = {
    'bcl': dict(),
    'complement off for a while': dict(complement=False),
    'sampled classes': dict(num_sampled=1),
    'no complement': dict(loss_con=contrast(class_complement=False)),
    'no averaging': dict(loss_con=contrast(class_averaging=False)),
    'supcon': dict(
        loss_con=contrast(class_averaging=False, class_complement=False)
    ),
    'linear classifier': dict(classifier='linear'),
    'no contrast': dict(loss_con=None),
    'all views classified': dict(loss_con=None, classify_all_views=True),
    're-weighted margins': dict(loss_cls=REWEIGHTED, loss_con=None),
    're-weighted margins and bcl': dict(loss_cls=REWEIGHTED),
    'seesaw': dict(loss_cls=SEESAW, loss_con=None),
    'focal': dict(loss_cls=dict(type='bcl_mm.FocalLoss')),
    'class-balanced': dict(loss_cls=dict(type='bcl_mm.ClassBalancedLoss')),
    'vector scaling': dict(loss_cls=dict(type='bcl_mm.VSLoss')),
    'balanced BCE': dict(loss_cls=dict(type='bcl_mm.BalancedBCELoss')),
    'smoothing': dict(loss_cls=dict(type='bcl_mm.LabelAwareSmoothingLoss')),
    'DBM': dict(loss_cls=dict(type='bcl_mm.DBMLoss')),
    'a queue': dict(
        loss_con=None, branches=dict(queue=dict(type='bcl_mm.QueueBranch'))
    ),
    'class statistics': dict(
        loss_con=None, branches=dict(mean=dict(type='bcl_mm.StatisticsBranch'))
    ),
}
SMALL = dict(hidden_channels=8, out_channels=4, norm_cfg=None)
CASES['proco'] = dict(
    loss_con=None, branches=dict(proco=dict(type='bcl_mm.ProCo', **SMALL))
)
CASES['gpaco'] = dict(
    loss_con=None,
    loss_cls=None,
    branches=dict(paco=dict(SMALL, type='bcl_mm.GPaCo', queue_size=10)),
)


# Of features and labels in each branch's step: with the gradients' way back,
# or without.
WITH_GRADIENTS = dict(_allgather_base_=2, _reduce_scatter_base_=1)
WITHOUT = dict(_allgather_base_=2)
COLLECTIVES = dict(
    queue=WITH_GRADIENTS, paco=WITH_GRADIENTS, mean=WITHOUT, proco=WITHOUT
)


class Step(torch.nn.Module):
    """A linear backbone and the head, with the losses as output."""

    def __init__(
        self, complement=True, num_sampled=None, norm_cfg=None, **options
    ):
        super().__init__()
        torch.manual_seed(0)
        self.backbone = torch.nn.Linear(6, 6)
        self.head = BCLHead(
            5,
            6,
            hidden_channels=8,
            out_channels=4,
            norm_cfg=norm_cfg,
            class_counts=COUNTS,
            **options,
        )
        for part in parts_of(self.head, TakesClassComplement):
            part.set_class_complement(complement, num_sampled)

    def forward(self, images, labels):
        samples = [DataSample().set_gt_label(label) for label in labels]
        return self.head.loss((self.backbone(images),), samples)


def views(ranks):
    """Three views of the images of some ranks, view-major, and labels.

    The images of a batch are dealt out to the ranks in turn, as samplers do.
    """
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(
        3, 4, len(SHARDS), 6, generator=generator, dtype=torch.float64
    )
    labels = [SHARDS[r][i] for i in range(4) for r in ranks]
    return images[:, :, ranks].reshape(-1, 6), labels


def total(losses):
    return sum(value for key, value in losses.items() if 'loss' in key)


def gradients(model, ranks):
    losses = model(*views(ranks))
    loss = total(losses)
    loss.backward()
    grads = {name: p.grad.clone() for name, p in model.named_parameters()}
    # The state that the step leaves must be equal on all ranks.
    for name, buffer in model.named_buffers():
        if 'branches' in name and 'projector.' not in name:
            grads[name] = buffer.clone()
            if 'branches.queue.' in name:  # in the order of the ranks
                first = buffer[:, 0] if buffer.ndim == 2 else buffer
                order = first.argsort() if buffer.ndim else ...
                grads[name] = buffer[order]
    return loss.detach(), grads, losses.get('batch_classes')


def collectives(model, ranks):
    """How many collectives of each kind a step starts, without DDP."""
    with profile(activities=[ProfilerActivity.CPU]) as record:
        gradients(model, ranks)
    return Counter(
        event.name.removeprefix('c10d::')
        for event in record.events()
        if event.name.startswith('c10d::')
    )


class NormPerShard(torch.nn.BatchNorm1d):
    """One process's batch norm with the statistics of each rank's rows."""

    def __init__(self, num_ranks, *args, **options):
        super().__init__(*args, **options)
        self.num_ranks = num_ranks

    def forward(self, x):
        rows = x.view(3, -1, self.num_ranks, x.shape[1])  # V, B, W, channels
        shards = rows.movedim(2, 0).reshape(self.num_ranks, -1, x.shape[1])
        shards = torch.stack(
            [super(NormPerShard, self).forward(s) for s in shards]
        )
        return (
            shards.view(self.num_ranks, 3, -1, x.shape[1])
            .movedim(0, 2)
            .reshape(x.shape)
        )


def steps(this, world_size, _):
    assert get_rank() == this
    results = {}
    for case, options in CASES.items():
        counts = collectives(Step(**options).double(), [this])
        wrapped = DistributedDataParallel(
            Step(**options).double(), find_unused_parameters=False
        )
        results[case] = *gradients(wrapped, [this]), counts
    model = Step(norm_cfg=dict(type='BN1d')).double()
    results['batch norm'] = gradients(DistributedDataParallel(model), [this])
    assert dist.get_world_size() == world_size
    return results


@pytest.fixture(scope='module')
def of_ranks(tmp_path_factory):
    return on_ranks(steps, WORLD_SIZES, tmp_path_factory.mktemp('ranks'))


def assert_equal(results, expected):
    """Mean loss and averaged gradients of ranks are those of one process."""
    loss, grads, present = expected
    losses = [result[0] for result in results]
    assert torch.allclose(sum(losses) / len(losses), loss, rtol=1e-12)
    for result in results:
        assert result[2] == present
        for name, want in grads.items():
            got = result[1][f'module.{name}']
            assert torch.equal(got, results[0][1][f'module.{name}'])
            assert torch.allclose(got, want, rtol=1e-9, atol=1e-15), name


@pytest.mark.parametrize('world_size', WORLD_SIZES)
@pytest.mark.parametrize('case', CASES)
def test_ranks_equal_one_process(case, world_size, of_ranks):
    ranks = list(range(world_size))
    options = CASES[case]
    expected = gradients(Step(**options).double(), ranks)
    results = [result[case] for result in of_ranks[world_size]]
    assert_equal([result[:3] for result in results], expected)
    if options.get('loss_con', True) or 'loss_cls' in options:
        # Taking each rank's batch for the whole is another loss.
        alone = [gradients(Step(**options).double(), [r])[0] for r in ranks]
        assert abs(sum(alone) / world_size - expected[0]) > 1e-4


@pytest.mark.parametrize('case', CASES)
def test_collectives_of_a_step(case, of_ranks):
    options = CASES[case]
    expected = Counter()
    if options.get('loss_con', True) is not None:
        expected += Counter(WITH_GRADIENTS)
    if options.get('loss_cls') in (REWEIGHTED, SEESAW):
        expected += Counter(_allgather_base_=1)  # one number a sample
    for name in options.get('branches', {}):
        expected += Counter(COLLECTIVES[name])
    for result in of_ranks[2]:
        assert result[case][3] == expected


@pytest.mark.parametrize('world_size', WORLD_SIZES)
def test_batch_norm_takes_the_statistics_of_a_rank(world_size, of_ranks):
    # One process whose projector normalises each rank's rows by themselves;
    # the class vectors are the same on all ranks, and so are their norms.
    model = Step(norm_cfg=dict(type='BN1d')).double()
    norm = NormPerShard(world_size, 8).double()
    model.head.branches['con'].projector[1] = norm
    expected = gradients(model, list(range(world_size)))
    results = [result['batch norm'] for result in of_ranks[world_size]]
    assert_equal(results, expected)


def test_gather_in_one_process_changes_nothing():
    tensor = torch.randn(3, 2, requires_grad=True)
    assert gather(tensor) is tensor
    assert get_rank() == 0
