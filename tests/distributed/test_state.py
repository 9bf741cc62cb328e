"""The state of branches and losses is the same on all ranks."""

import torch

from bcl_mm.utils.distributed import require_equal
from tests.distributed.common import on_ranks
from tests.engine.hooks.common import make


def outcomes(rank, world_size, folder):
    """The message of each case, None without an error."""
    cases = dict(
        equal=torch.arange(4),
        rounded=torch.tensor([1.0, 1e3 + 1e-4 * rank]),
        empty=torch.zeros(0),
        nan=torch.tensor(torch.nan),
        flag=torch.tensor(True),
        counts=torch.tensor([5, 7 + rank]),
        means=torch.ones(2, 3).bfloat16() * (1 + rank / 10),
        other_flag=torch.tensor(rank == 1),
        lost=torch.tensor(1.0 if rank else torch.nan),
    )
    messages = {}
    for name, tensor in cases.items():
        try:
            require_equal(dict(first=torch.ones(1), name=tensor))
            messages[name] = None
        except ValueError as error:
            messages[name] = str(error)
    return messages


def test_a_difference_is_an_error_on_all_ranks(tmp_path):
    every = on_ranks(outcomes, [2], tmp_path)[2]
    assert every[0] == every[1]
    wrong = {name for name, message in every[0].items() if message}
    assert wrong == {'counts', 'means', 'other_flag', 'lost'}
    assert 'the state name differs between processes' in every[0]['counts']


def test_a_single_process_is_not_asked():
    require_equal(dict(broken=None))


def test_training_asks(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(
        'bcl_mm.engine.hooks.progress.require_equal',
        lambda tensors: asked.append((runner.iter, set(tensors))),
    )
    seesaw = dict(type='bcl_mm.SeesawLoss', num_classes=10)
    runner = make(tmp_path, head=dict(loss_cls=seesaw))
    runner.train()
    names = {'head.loss_module.cum_samples'}
    assert asked == [(0, names), (4, names), (8, names)]
