import math

import pytest
import torch
import torch.nn.functional as F

from bcl_mm.engine.hooks import ClassComplementHook
from bcl_mm.models import LongTailHead
from bcl_mm.models.contrast import sample_classes, simplex
from bcl_mm.models.losses import balanced_contrastive_loss
from tests import oracles
from tests.engine.hooks.common import make
from tests.models.head import batch
from tests.models.head import make as make_head


def present_classes(num_classes, classes):
    present = torch.zeros(num_classes)
    present[list(classes)] = 1
    return present


@pytest.mark.parametrize('classes', [{3}, {0, 3, 5, 9}])
def test_slots_hold_the_batch_and_a_sample(classes):
    slots, log_weights = sample_classes(present_classes(10, classes), 7, 3)
    num_present = len(classes)
    assert slots.shape == log_weights.shape == (7,)
    assert len(set(slots.tolist())) == 7
    assert set(slots[:num_present].tolist()) == classes
    assert not log_weights[:num_present].any()
    sampled = log_weights[num_present : num_present + 3]
    assert torch.allclose(sampled.exp(), torch.tensor((10 - num_present) / 3))
    assert (log_weights[num_present + 3 :] == -torch.inf).all()


@pytest.mark.parametrize('num_sampled', [6, 10, 1000])
@pytest.mark.parametrize('classes', [{0, 3, 5, 9}, set(range(10))])
def test_all_classes_where_they_are_no_more_than_asked_for(
    classes, num_sampled
):
    present = present_classes(10, classes)
    slots, log_weights = sample_classes(present, 10, num_sampled)
    assert sorted(slots.tolist()) == list(range(10))
    assert not log_weights.any()


@pytest.mark.parametrize('averaging', [True, False])
@pytest.mark.long
def test_the_expected_denominator_is_that_of_all_classes(averaging):
    torch.manual_seed(0)
    labels = torch.tensor([2, 2, 7, 2, 2, 7])
    features = F.normalize(torch.randn(6, 4, dtype=torch.float64), dim=1)
    # All anchors alike, so that the mean of their losses is each one's.
    features = features[[0, 0, 1, 0, 0, 1]]
    prototypes = F.normalize(torch.randn(40, 4, dtype=torch.float64), dim=1)

    def denominator(anchor, **options):
        """exp(loss + attraction) of one anchor, among all six as keys."""
        rows = slice(anchor, anchor + 1)
        loss = balanced_contrastive_loss(
            features[rows],
            labels[rows],
            temperature=0.5,
            class_averaging=averaging,
            keys=features,
            key_labels=labels,
            anchor_start=anchor,
            **options,
        )
        own = [j for j in range(6) if labels[j] == labels[anchor]]
        own.remove(anchor)
        positives = torch.cat([features[own], prototypes[labels[rows]]])
        attraction = (positives @ features[anchor]).mean() / 0.5
        return (loss + attraction).exp().item()

    for anchor in (0, 2):
        full = denominator(anchor, prototypes=prototypes)
        drawn, unweighted = [], []
        for _ in range(2000):
            slots, log_weights = sample_classes(
                present_classes(40, {2, 7}), 8, 4
            )
            for values, weights in (
                (drawn, log_weights),
                (unweighted, log_weights.clamp(max=0)),
            ):
                value = denominator(
                    anchor,
                    prototypes=prototypes[slots],
                    prototype_labels=slots,
                    prototype_log_weights=weights,
                )
                values.append(value)
        drawn = torch.tensor(drawn)
        error = drawn.std() / math.sqrt(len(drawn))
        assert 0 < error < 0.02 * full
        assert abs(drawn.mean() - full) < 4 * error
        assert max(unweighted) < full - 20 * error


def test_a_head_with_enough_samples_has_the_full_loss():
    feats, samples = batch([0, 1, 1, 4])
    head = make_head()
    full = head.loss(feats, samples)['loss_con']
    full_grads = torch.autograd.grad(full, list(head.parameters())[:1])
    head.projection.set_class_complement(True, num_sampled=5, seed=3)
    sampled = head.loss(feats, samples)['loss_con']
    grads = torch.autograd.grad(sampled, list(head.parameters())[:1])
    assert torch.allclose(sampled, full, rtol=1e-12)
    assert torch.allclose(grads[0], full_grads[0], rtol=1e-9, atol=1e-15)


def test_the_seed_alone_decides_what_is_drawn():
    # Both passes of a SAM step draw the same.
    feats, samples = batch([0, 0, 0, 0])
    head = make_head()
    losses = []
    for seed in (0, 1, 2, 3, 0, 0):
        head.projection.set_class_complement(True, num_sampled=2, seed=seed)
        losses.append(head.loss(feats, samples)['loss_con'].item())
    assert losses[0] == losses[4] == losses[5]
    assert len(set(losses)) > 1


@pytest.mark.long
def test_the_hook_asks_for_a_sample_of_each_iteration(tmp_path):
    seen = []

    class Head(torch.nn.Module):
        def set_class_complement(self, enabled, num_sampled, seed):
            seen.append((enabled, num_sampled, seed))

    def train(folder, **options):
        seen.clear()
        runner = make(folder, hook=dict(num_sampled=3), **options)
        runner.model.spy = Head()
        runner.train()
        return list(seen)

    one_epoch = dict(by_epoch=True, max_epochs=1)
    whole = train(tmp_path / 'whole')
    assert {step[:2] for step in whole} == {(True, 3)}
    assert len({seed for *_, seed in whole}) == len(whole) == 8
    first = train(tmp_path / 'parts', train_cfg=one_epoch)
    assert first + train(tmp_path / 'parts', resume=True) == whole
    with pytest.raises(ValueError, match='num_sampled must be >= 1, got 0'):
        ClassComplementHook(num_sampled=0)


def test_draws_are_compiled_whole_and_once_for_all_iterations():
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph

    (features,), samples = batch([0, 0, 1, 1])
    labels = torch.cat([sample.gt_label for sample in samples])
    head = make_head()
    inputs = features.unflatten(0, (-1, 4)), labels, labels, head
    compiled = torch.compile(head.projection, fullgraph=True, backend=backend)
    drawn = set()
    for seed in range(4):
        head.projection.set_class_complement(True, num_sampled=2, seed=seed)
        loss = head.projection(*inputs)['loss']
        assert torch.allclose(compiled(*inputs)['loss'], loss, rtol=1e-12)
        drawn.add(loss.item())
    assert len(graphs) == 1
    assert len(drawn) > 1


def test_the_draw_of_a_seed():
    branch = make_head().projection
    branch.set_class_complement(True, num_sampled=2, seed=7)
    scores = torch.rand(5, generator=torch.Generator().manual_seed(7))
    slots, _ = sample_classes(torch.zeros(5), 5, 2, scores)
    assert slots.tolist() == scores.argsort(descending=True).tolist()
    drawn = branch._sample(torch.zeros(5), 4, 2)
    assert drawn['prototype_labels'].tolist() == slots.tolist()


@pytest.mark.parametrize(
    'num_classes, dim', [(2, 1), (5, 4), (5, 8), (100, 99)]
)
def test_a_simplex_has_equal_angles(num_classes, dim):
    corners = simplex(num_classes, dim).double()
    assert corners.shape == (num_classes, dim)
    expected = torch.full((num_classes,) * 2, -1 / (num_classes - 1)).double()
    expected.fill_diagonal_(1)
    assert torch.allclose(corners @ corners.T, expected, atol=1e-6)


def test_fixed_prototypes_are_a_simplex():
    contrast = dict(
        type='bcl_mm.PrototypeContrast',
        fixed_prototypes=True,
        out_channels=8,
        norm_cfg=None,
    )
    head = LongTailHead(
        5, 6, branches=dict(con=contrast), class_counts=[5, 4, 3, 2, 1]
    ).double()
    feats, samples = batch([0, 1, 1, 4])
    ours = head.loss(feats, samples)['loss_con']
    branch = head.branches['con']
    anchors = branch.project(feats[-1])[4:]
    labels = torch.tensor([0, 1, 1, 4, 0, 1, 1, 4])
    corners = simplex(5, 8).double()
    oracle = oracles.balanced_contrastive(anchors, labels, corners)
    assert torch.allclose(ours, branch.weight * oracle, rtol=1e-6)
    # They are no parameters, and they are kept.
    assert not any('prototype' in name for name, _ in head.named_parameters())
    assert 'branches.con.corners' in head.state_dict()
    branch.set_class_complement(True, num_sampled=2)
    assert torch.isfinite(head.loss(feats, samples)['loss_con'])


def test_a_simplex_needs_dimensions():
    with pytest.raises(ValueError, match='needs out_channels >= 99, got 98'):
        simplex(100, 98)
