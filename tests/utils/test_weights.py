"""The parts of a checkpoint, and whether its weights fit a model."""

import numpy as np
import pytest
import torch

from bcl_mm.utils.checkpoint import load_checkpoint
from bcl_mm.utils.errors import InputValueError
from bcl_mm.utils.weights import check_content, misfits, weights_of


def weights(**other):
    return dict(state_dict={'fc.weight': torch.ones(2, 3)}, **other)


NESTED = [1]
for _ in range(60):
    NESTED = [NESTED, NESTED]  # printing it would take for ever


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ([1], 'it must be a dict of weights, got list'),
        (dict(state_dict=[1]), 'state_dict must be a dict of weights'),
        (dict(state_dict={1: torch.ones(1)}), 'a name in state_dict. must be'),
        ({1: torch.ones(1)}, 'a name in it must be text, got int'),
        (dict(state_dict=dict(a='x')), 'state_dict.a must be a tensor'),
        (
            dict(state_dict=dict(a=torch.tensor([1, torch.nan]))),
            'state_dict.a must be finite, but 1 of its 2 numbers are not',
        ),
        (dict(a=torch.tensor(torch.inf)), 'a must be finite'),
        (
            weights(ema_state_dict=dict(a=torch.tensor(torch.nan))),
            'ema_state_dict.a must be finite',
        ),
        (weights(meta=[1]), 'meta must be a dict, got list'),
        (weights(meta=dict(seed='1')), 'meta.seed must be a whole number'),
        (weights(meta=dict(epoch=NESTED)), 'meta.epoch must be a whole numb'),
        (weights(meta=dict(iter=-1)), 'meta.iter must be >= 0'),
        (weights(meta=dict(class_counts='12')), 'must be a list of numbers'),
        (weights(meta=dict(class_counts=NESTED)), 'count in meta must be a n'),
        (
            weights(meta=dict(frozen_backbone='a')),
            'meta.frozen_backbone must be a dict',
        ),
        (
            weights(meta=dict(frozen_backbone=dict(file=[]))),
            'meta.frozen_backbone.file must be text, got list',
        ),
        (weights(meta=dict(dataset_meta=[])), 'dataset_meta must be a dict'),
        (
            weights(meta=dict(dataset_meta=dict(classes='ab'))),
            'the class names in meta must be a list, got str',
        ),
        (
            weights(meta=dict(dataset_meta=dict(classes=[1]))),
            'a class name in meta must be text, got int',
        ),
    ],
)
def test_malformed_parts_are_named(content, message):
    with pytest.raises(InputValueError, match=message):
        check_content(content)


def test_harmless_parts_are_read(tmp_path):
    extra = dict(_extra_state=3)
    content = dict(
        state_dict=dict(extra, a=torch.ones(1, dtype=torch.int8)),
        meta=dict(epoch=np.int64(1), seed=None, dataset_meta=None),
        # A figure may be NaN: it was logged.
        message_hub=dict(figure=torch.tensor(torch.nan)),
    )
    check_content(content)
    path = tmp_path / 'a.pth'
    torch.save(dict(weights(), meta=None), path)
    content = load_checkpoint(str(path))
    assert 'meta' not in content
    assert list(weights_of(content)) == ['fc.weight']


def test_a_message_names_the_file(tmp_path):
    path = tmp_path / 'a.pth'
    torch.save(dict(state_dict=dict(a=torch.tensor(torch.nan))), path)
    with pytest.raises(InputValueError, match=r'a\.pth. cannot be used: st'):
        load_checkpoint(str(path))


def test_what_does_not_fit():
    model = torch.nn.ModuleDict(
        dict(
            backbone=torch.nn.Sequential(torch.nn.Linear(2, 2)),
            head=torch.nn.Sequential(torch.nn.Linear(2, 1, bias=False)),
        )
    )
    fitting = {k: v.half() for k, v in model.state_dict().items()}
    assert misfits(model, fitting) == {}
    wrong = dict(fitting)
    wrong['backbone.0.weight'] = torch.ones(2, 2, dtype=torch.int8)
    wrong['backbone.0.bias'] = torch.ones(2, dtype=torch.complex64)
    wrong['head.0.bias'] = torch.ones(1)
    wrong['backbone.fc.weight'] = torch.ones(1)  # of no layer of the model
    assert misfits(model, wrong) == {
        'backbone.0.weight': 'has whole numbers, not real',
        'backbone.0.bias': 'has complex numbers, not real',
        'head.0.bias': 'belongs to a different net',
    }
