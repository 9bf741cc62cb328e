"""GPaCo against its definition, and the traps of its reference."""

import math

import pytest
import torch

from bcl_mm.models import GPaCo, LongTailHead
from tests.models.losses.test_reweighting import assert_same

COUNTS = [9, 900, 1, 90]
PACO = dict(
    type='bcl_mm.GPaCo', queue_size=5, hidden_channels=6, out_channels=3
)


def make(**options):
    torch.manual_seed(0)
    return LongTailHead(
        4,
        5,
        classifier='linear',
        loss_cls=None,
        branches=dict(paco=dict(PACO, **options)),
        class_counts=COUNTS,
    ).double()


def features(views=2, images=3):
    rows = torch.randn(views, images, 5, dtype=torch.float64)
    return rows.requires_grad_()


def definition(head, rows, labels, targets, queue, options, keys=None):
    """Anchor by anchor, class by class, key by key."""
    branch = head.branches['paco']
    rows, views = rows.flatten(0, 1), len(rows)
    z = branch.projector(rows)
    z = z / z.norm(dim=1, keepdim=True)
    keys = z if keys is None else keys
    keys = [(keys[i], labels[i % len(labels)]) for i in range(len(z))] + queue
    weight, bias = head.classifier.weight, head.classifier.bias
    losses = []
    for i in range(len(z)):
        label = labels[i % len(labels)]
        a = [
            weight[c] @ rows[i] + bias[c] + math.log(n / sum(COUNTS))
            for c, n in enumerate(COUNTS)
        ]
        s = [
            (z[i] @ key / options['temperature'], own)
            for k, (key, own) in enumerate(keys)
            if k != i
        ]
        total = sum(v.exp() for v in a)
        total = total + options['gamma'] * sum(v.exp() for v, _ in s)
        target = [float(c == label) for c in range(4)]
        if targets is not None and i < len(labels):
            target = targets[i]
        smooth = options['smoothing']
        target = [(1 - smooth) * t + smooth / 4 for t in target]
        close = [v for v, own in s if own == label]
        loss = options['beta'] * sum(
            t * (v - total.log()) for t, v in zip(target, a)
        )
        loss = loss + options['alpha'] * sum(v - total.log() for v in close)
        losses.append(
            -loss / (options['beta'] + options['alpha'] * len(close))
        )
    assert len(losses) == views * len(labels)
    return sum(losses) / len(losses)


OPTIONS = [
    dict(alpha=0.05, beta=1.0, gamma=1.0, temperature=0.2, smoothing=0.0),
    dict(alpha=0.5, beta=2.0, gamma=0.3, temperature=1.0, smoothing=0.1),
]


@pytest.mark.parametrize('options', OPTIONS, ids=str)
@pytest.mark.parametrize('soft', [False, True])
def test_equals_the_definition(options, soft):
    head = make(**options)
    branch = head.branches['paco']
    labels = torch.tensor([0, 1, 1])
    targets = torch.rand(3, 4).double().softmax(1) if soft else labels
    queue = []
    for step in range(3):  # the queue fills, and wraps around
        rows = features()
        expected = definition(
            head,
            rows,
            labels.tolist(),
            targets.tolist() if soft else None,
            queue,
            options,
        )
        ours = branch(rows, labels, targets, head)['loss']
        with torch.no_grad():
            keys = branch.project(rows.flatten(0, 1))
        queue += [(k, y) for k, y in zip(keys, [0, 1, 1, 0, 1, 1])]
        queue = queue[-5:]
        assert_same(ours, expected, rows)
        assert branch.position == 5 * (step + 1) % 5


def test_keys_of_a_momentum_encoder():
    options = OPTIONS[1]
    head = make(**options)
    branch = head.branches['paco']
    labels, rows = torch.tensor([0, 1, 1]), features()
    keys = torch.nn.functional.normalize(torch.randn(6, 3).double(), dim=1)
    args = head, rows, labels.tolist(), None, [], options, keys
    expected = definition(*args)
    ours = branch(rows, labels, labels, head, keys=keys)['loss']
    assert_same(ours, expected, rows)
    assert torch.allclose(branch.queue, keys[-5:], atol=1e-6)


def test_the_queue_holds_unit_vectors_or_nothing():
    # The reference's first keys are random, not unit, and have labels.
    head = make(queue_size=8)
    branch = head.branches['paco']
    assert (branch.queue_labels == -1).all()
    labels = torch.tensor([0, 1, 1])
    plain = make(queue_size=0)
    rows = features()
    ours = head.branches['paco'](rows, labels, labels, head)['loss']
    theirs = plain.branches['paco'](rows, labels, labels, plain)['loss']
    assert torch.allclose(ours, theirs)
    norms = branch.queue.norm(dim=1)
    assert torch.allclose(norms[:6], torch.ones(6).double(), atol=1e-6)
    assert (branch.queue_labels[:6] >= 0).all() and branch.position == 6
    assert not norms[6:].any()


def test_a_batch_larger_than_the_queue_keeps_its_last_keys():
    head = make(queue_size=4)
    branch = head.branches['paco']
    rows, labels = features(), torch.tensor([0, 1, 2])
    branch(rows, labels, labels, head)
    keys = branch.project(rows.flatten(0, 1))[-4:]
    assert torch.allclose(branch.queue, keys, atol=1e-6)
    assert branch.queue_labels.tolist() == [2, 0, 1, 2]


def test_evaluation_leaves_the_queue():
    head = make().eval()
    branch = head.branches['paco']
    labels = torch.tensor([0, 1, 1])
    branch(features(), labels, labels, head)
    assert branch.position == 0 and not branch.queue.any()


def test_it_needs_views_and_counts():
    head = make()
    labels = torch.tensor([0, 1, 1])
    with pytest.raises(ValueError, match='GPaCo needs at least 2 views'):
        head.branches['paco'](features(views=1), labels, labels, head)
    alone = GPaCo(4, 5).double()
    with pytest.raises(ValueError, match='needs class_counts'):
        alone(features(), labels, labels, head)
    with pytest.raises(ValueError, match='temperature must be > 0, got 0'):
        GPaCo(4, 5, temperature=0)
    with pytest.raises(ValueError, match='queue_size must be >= 0, got -1'):
        GPaCo(4, 5, queue_size=-1)
