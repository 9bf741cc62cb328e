"""Digits and the pictures that are drawn of them."""

import numpy as np

from bcl_mm.engine.hooks import view_grid
from bcl_mm.engine.hooks.view_grid import draw_grid
from tests.engine.hooks.common import DIGITS, INFO_HOOKS

JITTER = dict(type='bcl_mm.ColorJitter', brightness=0.4, prob=0.8)
THREE_VIEWS = [
    dict(
        type='mmpretrain.MultiView',
        num_views=[1, 2],
        transforms=[[], [JITTER]],
    ),
    dict(type='mmpretrain.PackInputs'),
]


def hooks(**options):
    return dict(
        logger=dict(type='LoggerHook'),
        **INFO_HOOKS,
        view_grid=dict(type='bcl_mm.ViewGridHook', **options),
    )


def digits(pipeline):
    return dict(DIGITS, dataset=dict(DIGITS['dataset'], pipeline=pipeline))


def record_grids(monkeypatch):
    """Record drawings: (columns of arrays, column names, row names)."""
    drawn = []

    def draw(columns, column_names, row_names):
        arrays = [[np.asarray(image) for image in c] for c in columns]
        drawn.append((arrays, column_names, row_names))
        return draw_grid(columns, column_names, row_names)

    monkeypatch.setattr(view_grid, 'draw_grid', draw)
    return drawn
