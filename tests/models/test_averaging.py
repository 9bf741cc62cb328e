"""Moving averages leave the state of branches and losses alone."""

import pytest
import torch

from bcl_mm import models
from bcl_mm.models import LongTailHead
from bcl_mm.utils.modules import training_state
from tests import branches  # noqa: F401

NAMES = (
    'ExponentialMovingAverage',
    'MomentumAnnealingEMA',
    'StochasticWeightAverage',
)


@pytest.mark.parametrize('update_buffers', [True, False])
@pytest.mark.parametrize('name', NAMES)
def test_state_is_copied_and_weights_are_averaged(name, update_buffers):
    head = LongTailHead(
        5,
        6,
        loss_cls=dict(type='bcl_mm.EpochLoss'),
        branches=dict(queue=dict(type='bcl_mm.QueueBranch')),
    )
    average = getattr(models, name)(head, update_buffers=update_buffers)
    for step in range(1, 4):
        for value in head.state_dict().values():
            value.fill_(step)
        average.update_parameters(head)
    state = training_state(head)
    assert set(state) == {
        'loss_module.epoch',
        'loss_module.average',
        'branches.queue.queue',
        'branches.queue.queue_labels',
        'branches.queue.position',
    }
    averaged = average.module.state_dict()
    for key, value in state.items():
        assert torch.equal(averaged[key], value)
    assert 1 < averaged['classifier.weight'].mean() < 3
