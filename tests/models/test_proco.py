"""ProCo against its definition, and the traps of its reference."""

import math

import mpmath
import numpy as np
import pytest
import torch

from bcl_mm.models import LongTailHead, ProCo
from bcl_mm.models.bessel import log_bessel_quotient
from bcl_mm.models.proco import concentrations, vmf_logits

COUNTS = [40, 20, 10, 5]


@pytest.mark.parametrize('dim', [2, 3, 8, 31, 32, 64, 128, 511, 1024])
def test_log_bessel_is_mpmaths(dim):
    order = dim / 2 - 1
    squares = torch.logspace(-6, 10, 25, dtype=torch.float64)
    squares.requires_grad_()
    quotients = log_bessel_quotient(order, squares)
    quotients.sum().backward()
    with mpmath.workdps(40):
        for square, quotient, slope in zip(
            squares.tolist(), quotients.tolist(), squares.grad.tolist()
        ):
            x = mpmath.sqrt(square)
            here = mpmath.besseli(order, x)
            log_power = order * mpmath.log(x)
            assert abs(quotient + log_power - mpmath.log(here)) < 1e-8
            ratio = mpmath.besseli(order + 1, x) / here
            assert slope == pytest.approx(float(ratio / (2 * x)), rel=1e-8)


def test_log_bessel_is_finite_at_zero():
    squares = torch.zeros(2, requires_grad=True)
    for order in (0, 3, 31, 511):
        log_bessel_quotient(order, squares).sum().backward()
    # A(0) = 1 / (2^nu Gamma(nu + 1))
    value = log_bessel_quotient(3, squares)[0].item()
    assert value == pytest.approx(-math.log(2**3 * math.gamma(4)))
    assert torch.isfinite(squares.grad).all()


def power_series(order, x):
    """A(x) = I(x) / x^order, term by term."""
    total = 0
    for k in range(60):
        divisor = math.factorial(k) * math.gamma(k + order + 1)
        total = total + (x**2 / 4) ** k / (divisor * 2**order)
    return total


def loop(rows, labels, means, temperature):
    """Mean over anchors of the logit-adjusted loss of vMF logits."""
    dim = rows.shape[1]
    losses = []
    for z, label in zip(rows, labels):
        logits = []
        for c, mean in enumerate(means):
            length = math.sqrt(sum(float(m) ** 2 for m in mean))
            kappa = dim * length / (1 - length**2)
            shifted = kappa * mean / length + z / temperature
            shifted = sum(v**2 for v in shifted).sqrt()
            order = dim / 2 - 1
            logits.append(
                power_series(order, shifted).log()
                - math.log(power_series(order, kappa))
                + math.log(COUNTS[c] / sum(COUNTS))
            )
        total = sum(logit.exp() for logit in logits)
        losses.append(total.log() - logits[label])
    return sum(losses) / len(losses)


@pytest.mark.parametrize('dim', [3, 4, 6])
def test_value_and_gradient_are_the_definitions(dim):
    branch = ProCo(4, 5, weight=0.7, temperature=0.5, out_channels=dim)
    branch = branch.double().eval()
    branch.loss.set_class_info(
        LongTailHead(4, 5, class_counts=COUNTS).given_info
    )
    lengths = torch.tensor([0.1, 0.5, 0.9, 0.3]).double()[:, None]
    generator = torch.Generator().manual_seed(1)
    draw = torch.randn(4, dim, generator=generator, dtype=torch.float64)
    branch.means[0] = lengths * draw / draw.norm(dim=1, keepdim=True)
    features = torch.randn(3, 2, 5, generator=generator, dtype=torch.float64)
    features.requires_grad_()
    labels = torch.tensor([1, 3])
    ours = branch(features, labels, labels, None)['loss']
    rows = branch.project(features.flatten(0, 1))[2:]
    theirs = 0.7 * loop(rows, [1, 3, 1, 3], branch.means[0], 0.5)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-9)
    (got,) = torch.autograd.grad(ours, features)
    (want,) = torch.autograd.grad(theirs, features)
    assert torch.allclose(got, want, rtol=1e-6, atol=1e-12)


def test_it_is_the_mean_over_infinitely_many_keys():
    # Keys of a vMF distribution in three dimensions, by inversion.
    rng = np.random.default_rng(0)
    kappa, temperature = 4.0, 0.5
    length = 1 / math.tanh(kappa) - 1 / kappa
    uniform = rng.random(400_000)
    cosine = 1 + np.log(uniform + (1 - uniform) * math.exp(-2 * kappa)) / kappa
    angle = 2 * math.pi * rng.random(400_000)
    sine = np.sqrt(1 - cosine**2)
    keys = np.stack([cosine, sine * np.cos(angle), sine * np.sin(angle)], 1)
    anchor = np.array([0.6, 0.8, 0.0])
    mean = torch.tensor([[length, 0, 0]], dtype=torch.float64)
    # The estimate of kappa is approximate: take the length that gives it.
    root = -3 + math.sqrt(9 + 4 * kappa**2)
    mean[0, 0] = root / (2 * kappa)
    assert concentrations(mean).item() == pytest.approx(kappa)
    ours = vmf_logits(torch.tensor([anchor]), mean, temperature).item()
    sampled = math.log(np.exp(keys @ anchor / temperature).mean())
    assert ours == pytest.approx(sampled, abs=0.01)


def reference_means(epochs, dim, initial):
    """Two running means by class, plain Python: older and younger."""
    older = {c: (0, initial[c]) for c in range(len(initial))}
    for batches in epochs:
        younger = {}
        for rows, labels in batches:
            for estimate in (older, younger):
                for c in set(labels):
                    own = [r for r, y in zip(rows, labels) if y == c]
                    n, mean = estimate.get(c, (0, np.zeros(dim)))
                    total = n * mean + np.sum(own, 0)
                    estimate[c] = n + len(own), total / (n + len(own))
        yield older
        older = {**older, **younger}


def test_two_estimates_take_turns():
    branch = ProCo(4, 5, out_channels=3, norm_cfg=None).double()
    rng = np.random.default_rng(0)
    epochs = [
        [(rng.normal(size=(6, 3)), labels) for labels in batches]
        for batches in (
            ([0, 0, 1, 1, 2, 0], [3, 0, 0, 2, 2, 2]),
            ([0, 0, 1, 1, 2, 0], [0, 0, 0, 2, 2, 1]),  # no class 3
            ([3, 0, 1, 1, 2, 0], [0, 1, 0, 2, 2, 1]),
        )
    ]
    states = reference_means(epochs, 3, branch.means[0].numpy().copy())
    for number, (batches, state) in enumerate(zip(epochs, states)):
        branch.start_epoch(number)
        for rows, labels in batches:
            branch.update(torch.tensor(rows), torch.tensor(labels))
        for c, (count, mean) in state.items():
            assert branch.counts[0, c] == count
            np.testing.assert_allclose(branch.means[0, c], mean, rtol=1e-12)


def test_both_views_enter_before_either_is_scored():
    branch = ProCo(4, 5, out_channels=6, norm_cfg=None).double()
    counts = LongTailHead(4, 5, class_counts=COUNTS).given_info
    branch.loss.set_class_info(counts)
    features = torch.randn(3, 2, 5, dtype=torch.float64)
    labels = torch.tensor([3, 1])
    rows = branch.project(features.flatten(0, 1)).detach()[2:]
    means = branch.means[0].clone()
    loss = branch(features, labels, labels, None)['loss']
    for row, label in enumerate(labels):  # an anchor is in its own class
        means[label] = (rows[row] + rows[row + 2]) / 2
    assert torch.allclose(branch.means[0], means, rtol=1e-12)
    logits = vmf_logits(rows, means)
    assert torch.allclose(loss, branch.loss(logits, labels.repeat(2)))


def test_the_first_sample_of_a_class_is_finite():
    # It replaces the mean wholly: a length of 1, the largest concentration.
    branch = ProCo(4, 5, out_channels=16)
    branch.loss.set_class_info(
        LongTailHead(4, 5, class_counts=COUNTS).given_info
    )
    features = torch.randn(3, 2, 5, requires_grad=True)
    labels = torch.tensor([0, 1])
    with torch.no_grad():
        features[2] = features[1]  # both views: one direction
    loss = branch(features, labels, labels, None)['loss']
    loss.backward()
    assert concentrations(branch.means[0])[:2].max() == 1e5
    assert torch.isfinite(loss) and torch.isfinite(features.grad).all()


def test_no_gradient_is_wrong_at_large_arguments():
    # A backward recurrence from a fixed start errs there: a ratio above 1.
    squares = torch.tensor([2e3, 5e3, 1e5], dtype=torch.float64) ** 2
    squares.requires_grad_()
    log_bessel_quotient(63, squares).sum().backward()
    ratios = squares.grad * 2 * squares.detach().sqrt()
    assert ratios.tolist() == pytest.approx([0.9687, 0.9874, 0.99936], 1e-4)


def test_half_precision_changes_nothing_but_rounding():
    torch.manual_seed(0)
    means = 0.9999 * torch.nn.functional.normalize(torch.randn(4, 64))
    rows = torch.nn.functional.normalize(torch.randn(8, 64))
    with torch.autocast('cpu', torch.bfloat16):
        logits = vmf_logits(rows, means)
    assert torch.equal(logits, vmf_logits(rows, means))
    exact = vmf_logits(rows.double(), means.double())
    assert torch.allclose(logits, exact, atol=1e-4)


def test_no_tensor_has_anchors_times_classes_times_dimensions():
    branch = ProCo(1000, 8, out_channels=256)
    counts = LongTailHead(1000, 8, class_counts=[3] * 1000).given_info
    branch.loss.set_class_info(counts)
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal largest
            out = func(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor):
                largest = max(largest, out.numel())
            return out

    labels = torch.arange(50)
    with Watch():
        branch(torch.randn(3, 50, 8), labels, labels, None)['loss'].backward()
    assert largest <= 2 * 1000 * 256


def test_the_weights_of_the_model_do_not_depend_on_the_means():
    torch.manual_seed(0)
    ProCo(4, 5)
    after = torch.rand(1)
    torch.manual_seed(0)
    ProCo(7, 5)
    assert torch.equal(after, torch.rand(1))


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(temperature=0), 'temperature must be > 0, got 0'),
        (dict(out_channels=1), 'out_channels must be >= 2, got 1'),
        (dict(weight=-1), 'weight must be >= 0, got -1'),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        ProCo(4, 5, **options)


def test_two_views_are_an_error():
    labels = torch.tensor([0, 1])
    with pytest.raises(ValueError, match='needs at least 2 contrastive views'):
        ProCo(4, 5)(torch.randn(2, 2, 5), labels, labels, None)
