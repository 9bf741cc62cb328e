import math

import pytest
import torch
from mmengine.registry import PARAM_SCHEDULERS


def test_is_the_references_cosine():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = PARAM_SCHEDULERS.build(
        dict(type='bcl_mm.ShiftedCosineLR', optimizer=optimizer, T_max=90)
    )
    for epoch in range(90):
        expected = 0.1 / 2 * (1 + math.cos(math.pi * (epoch + 1) / 91))
        assert optimizer.param_groups[0]['lr'] == pytest.approx(expected)
        optimizer.step()
        scheduler.step()


def test_combines_with_a_warm_up():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedulers = [
        PARAM_SCHEDULERS.build(dict(optimizer=optimizer, **options))
        for options in (
            dict(type='LinearLR', start_factor=0.1, end=4),
            dict(type='bcl_mm.ShiftedCosineLR', T_max=10),
        )
    ]
    for epoch in range(10):
        warm_up = min(1, 0.1 + 0.3 * epoch)
        cosine = (1 + math.cos(math.pi * (epoch + 1) / 11)) / 2
        rate = optimizer.param_groups[0]['lr']
        assert rate == pytest.approx(warm_up * cosine)
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()


def test_has_no_eta_min():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    with pytest.raises(ValueError, match='ShiftedCosineLR has no eta_min'):
        PARAM_SCHEDULERS.build(
            dict(
                type='bcl_mm.ShiftedCosineLR',
                optimizer=optimizer,
                T_max=10,
                eta_min=0.1,
            )
        )


def warm_up_rates(epochs, length, **options):
    """Rates of a training with base rate 1."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = PARAM_SCHEDULERS.build(
        dict(
            type='bcl_mm.WarmUpLR',
            optimizer=optimizer,
            start_factor=0.2,
            by_epoch=True,
            convert_to_iter_based=True,
            end=epochs,  # set by the Runner
            **options,
        ),
        default_args=dict(epoch_length=length),
    )
    rates = []
    for _ in range(epochs * length):
        rates.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize(
    ('epochs', 'length', 'options', 'steps'),
    [
        (100, 3, {}, 15),
        (10, 4, dict(fraction=0.25), 10),
        (2, 20, {}, 2),
        (1, 3, {}, 2),  # the shortest possible
    ],
)
def test_a_warm_up_is_a_part_of_any_training(epochs, length, options, steps):
    expected = [
        min(1, 0.2 + 0.8 * i / (steps - 1)) for i in range(epochs * length)
    ]
    found = warm_up_rates(epochs, length, **options)
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    ('fraction', 'kind', 'message'),
    [
        (0, ValueError, r'fraction must be in \(0, 1\), got 0'),
        (1.0, ValueError, r'fraction must be in \(0, 1\), got 1.0'),
        ('x', TypeError, 'fraction must be a number'),
    ],
)
def test_the_part_of_a_warm_up(fraction, kind, message):
    with pytest.raises(kind, match=message):
        warm_up_rates(2, 2, fraction=fraction)
