"""What holds for every input, tried on inputs that hypothesis makes up."""

import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given
from hypothesis import strategies as st

from bcl_mm.classes import (
    bincount_labels,
    check_class_counts,
    name_classes,
    shot_groups,
)
from bcl_mm.datasets.long_tail import LongTailDataset, long_tail_counts
from bcl_mm.evaluation import ShotAccuracy
from bcl_mm.models.losses import (
    balanced_contrastive_loss,
    class_balanced_weights,
    focal_cross_entropy,
    ldam_cross_entropy,
    ldam_margins,
    logit_adjusted_cross_entropy,
)
from tests.strategies import anything, class_counts, fixed, labels


@fixed
@given(
    st.integers(2, 300),
    st.integers(1, 10**6),
    st.floats(1, 1e6),
    st.sampled_from(['exp', 'step']),
)
def test_profiles(num_classes, largest, factor, profile):
    counts = long_tail_counts(num_classes, largest, factor, profile)
    assert counts.shape == (num_classes,)
    assert counts.dtype == np.int64
    assert counts[0] == largest
    assert (np.diff(counts) <= 0).all()
    assert abs(counts[-1] - largest / factor) <= 1
    same = long_tail_counts(num_classes, largest, 1.0, profile)
    assert (same == largest).all()


@fixed
@given(labels, st.floats(1, 5), st.integers(0, 3))
def test_long_tailed_subsets(values, factor, seed):
    class Data:
        targets = values

        def __len__(self):
            return len(values)

    # Every class has an image, and the largest enough for the smallest.
    values = [*values, *list(range(max(values) + 1)) * 5]
    if max(values) == 0:
        return
    Data.targets = values
    data = LongTailDataset(Data(), factor, seed=seed)
    assert len(set(data.indices.tolist())) == len(data) <= len(values)
    kept = np.asarray(values)[data.indices]
    assert (np.bincount(kept) == data.class_counts).all()
    assert (data.get_gt_labels() == kept).all()
    again = LongTailDataset(Data(), factor, seed=seed)
    assert (again.indices == data.indices).all()


@fixed
@given(
    anything | st.lists(st.floats(allow_nan=True) | st.integers(), min_size=1)
)
@example([1e300, 1.0])
@example([2**70])
@example([float('nan')])
@example([1j])
@example([[1], [1, 2]])
@example(None)
@pytest.mark.long
def test_class_counts_are_numbers_or_an_error(value):
    try:
        counts = check_class_counts(value)
    except ValueError as error:
        assert 'class' in str(error)
    else:
        assert counts.dtype == np.int64
        assert (counts >= 1).all()
        assert (counts == np.asarray(value)).all()


@fixed
@given(class_counts)
def test_class_counts_that_are_right_pass(counts):
    assert check_class_counts(counts).tolist() == counts
    floats = np.asarray(counts, dtype=float)
    assert check_class_counts(floats).tolist() == counts


@fixed
@given(labels, st.integers(1, 12))
def test_counting(values, num_classes):
    values = np.array(values)
    if values.max() >= num_classes:
        with pytest.raises(ValueError, match='labels must be in'):
            bincount_labels(values, num_classes)
        return
    counts = bincount_labels(values, num_classes)
    assert counts.sum() == len(values)
    assert len(counts) == num_classes
    assert (counts == [(values == c).sum() for c in range(num_classes)]).all()


@fixed
@given(
    st.lists(st.integers(0, 10**6), max_size=30),
    st.none() | st.lists(st.text(max_size=3), max_size=30),
)
def test_naming_classes(indices, names):
    text = name_classes(indices, names)
    for index in indices[:8]:
        assert str(index) in text
    assert ('more' in re.sub(r'\(.*?\)', '', text)) == (len(indices) > 8)


@fixed
@given(class_counts, st.integers(0, 1000), st.integers(0, 1000))
def test_each_class_is_in_one_group(counts, many, few):
    if few > many + 1:
        with pytest.raises(ValueError, match='few must be <= many'):
            shot_groups(counts, many, few)
        return
    groups = shot_groups(counts, many, few)
    assert (sum(map(np.asarray, groups.values())) == 1).all()


@fixed
@given(labels, st.data())
def test_metric(values, data):
    values = np.array(values)
    predictions = np.array(
        data.draw(
            st.lists(
                st.integers(0, 9),
                min_size=len(values),
                max_size=len(values),
            )
        )
    )
    counts = np.array(
        data.draw(st.lists(st.integers(1, 200), min_size=10, max_size=10))
    )
    found = ShotAccuracy.calculate(predictions, values, counts, per_class=True)
    assert all(0 <= value <= 100 for value in found.values())
    assert found['top1'] == pytest.approx(100 * (predictions == values).mean())
    # Groups are means of classes; the classes' weighted mean is top-1.
    tested = np.unique(values)
    weights = [(values == c).mean() for c in tested]
    of_classes = [found[f'class_{c}'] for c in tested]
    assert np.dot(weights, of_classes) == pytest.approx(found['top1'])
    assert found['worst'] == min(of_classes)
    assert found['balanced'] == pytest.approx(np.mean(of_classes))
    assert found['worst'] <= found['harmonic'] + 1e-9
    assert found['harmonic'] <= found['geometric'] + 1e-9
    # (Its floor of 0.1 % may lift it.)
    assert found['geometric'] <= found['balanced'] + 0.1 + 1e-9
    for name, members in shot_groups(counts).items():
        inside = [found[f'class_{c}'] for c in tested if members[c]]
        assert (name in found) == bool(inside)
        if inside:
            assert found[name] == pytest.approx(np.mean(inside))
    # The order of the images, and the names of the classes, are nothing.
    order = np.random.RandomState(0).permutation(len(values))
    renamed = np.random.RandomState(1).permutation(10)
    moved = np.empty(10, dtype=int)
    moved[renamed] = counts
    other = ShotAccuracy.calculate(
        renamed[predictions[order]], renamed[values[order]], moved
    )
    for name, value in other.items():
        assert value == pytest.approx(found[name])


@st.composite
def batches(draw):
    """Logits (M, C), labels and class counts."""
    num_classes = draw(st.integers(2, 12))
    size = draw(st.integers(1, 12))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    scale = draw(st.sampled_from([0.0, 1e-3, 1.0, 30.0, 1e3]))
    logits = scale * torch.randn(
        size, num_classes, generator=generator, dtype=torch.float64
    )
    values = torch.randint(num_classes, (size,), generator=generator)
    counts = draw(
        st.lists(
            st.integers(1, 10**7), min_size=num_classes, max_size=num_classes
        )
    )
    return logits, values, torch.tensor(counts)


def classification_losses(logits, values, counts):
    log_prior = counts.double().log() - counts.sum().log()
    margins = ldam_margins(counts)
    weights = class_balanced_weights(counts)[values]
    return torch.stack(
        [
            logit_adjusted_cross_entropy(logits, values, log_prior),
            ldam_cross_entropy(logits, values, margins),
            focal_cross_entropy(logits, values, 2.0),
            focal_cross_entropy(logits, values, 0.5),
            (
                weights * focal_cross_entropy(logits, values, 0.0, 'none')
            ).mean(),
        ]
    )


@fixed
@given(batches(), st.integers(0, 10**6))
def test_classification_losses(batch, seed):
    logits, values, counts = batch
    logits.requires_grad_()
    losses = classification_losses(logits, values, counts)
    (gradient,) = torch.autograd.grad(losses.sum(), logits)
    assert losses.isfinite().all()
    assert (losses >= 0).all()
    assert gradient.isfinite().all()
    # The order of samples is nothing, and neither are the classes' labels.
    random = np.random.RandomState(seed)
    order = torch.from_numpy(random.permutation(len(values)))
    renamed = torch.from_numpy(random.permutation(len(counts)))
    moved = torch.empty_like(logits)
    moved[:, renamed] = logits[order]
    moved_counts = torch.empty_like(counts)
    moved_counts[renamed] = counts
    others = classification_losses(moved, renamed[values[order]], moved_counts)
    assert torch.allclose(losses, others)


@st.composite
def contrastive_batches(draw):
    """Features (M, D), labels and prototypes (C, D)."""
    num_classes = draw(st.integers(2, 12))
    size = draw(st.integers(1, 12))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    rows = torch.randn(
        size + num_classes, 4, generator=generator, dtype=torch.float64
    )
    if draw(st.booleans()):  # few directions, many equal rows
        rows = rows.sign()
    rows = F.normalize(rows, dim=1)
    values = torch.randint(num_classes, (size,), generator=generator)
    return rows[:size], values, rows[size:]


@fixed
@given(
    contrastive_batches(),
    st.floats(0.01, 1),
    st.booleans(),
    st.booleans(),
    st.integers(0, 10**6),
)
def test_contrastive_loss(batch, temperature, averaging, complement, seed):
    features, values, prototypes = batch
    options = dict(
        temperature=temperature,
        class_averaging=averaging,
        class_complement=complement,
    )
    features.requires_grad_()
    loss = balanced_contrastive_loss(features, values, prototypes, **options)
    (gradient,) = torch.autograd.grad(loss, features)
    assert loss.isfinite()
    assert gradient.isfinite().all()
    random = np.random.RandomState(seed)
    order = torch.from_numpy(random.permutation(len(values)))
    renamed = torch.from_numpy(random.permutation(len(prototypes)))
    moved = torch.empty_like(prototypes)
    moved[renamed] = prototypes
    other = balanced_contrastive_loss(
        features[order], renamed[values[order]], moved, **options
    )
    assert torch.allclose(loss, other)
    # Nor is a rotation of the sphere anything.
    rotation, _ = np.linalg.qr(random.randn(4, 4))
    rotation = torch.from_numpy(rotation)
    other = balanced_contrastive_loss(
        features @ rotation, values, prototypes @ rotation, **options
    )
    assert torch.allclose(loss, other)
