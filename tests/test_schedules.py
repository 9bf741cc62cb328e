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
