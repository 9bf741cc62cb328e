import pytest
import torch

from bcl_mm.engine.hooks import ClassComplementHook
from tests.engine.hooks.common import make


def test_complement_begins_with_its_epoch(tmp_path):
    seen = []

    class Head(torch.nn.Module):
        def set_class_complement(self, enabled, num_sampled, seed):
            seen.append(enabled)

    runner = make(tmp_path, hook=dict(begin_epoch=1))
    runner.model.spy = Head()
    runner.train()
    assert seen == [False] * 4 + [True] * 4
    with pytest.raises(ValueError, match='begin_epoch must be >= 0, got -1'):
        ClassComplementHook(begin_epoch=-1)
