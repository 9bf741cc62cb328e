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
