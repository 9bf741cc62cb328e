"""The tables of docs/results.md: which runs they are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Optional, Sequence, Tuple

ONE_VIEW = (
    *('ce', 'ce_linear', 'focal', 'class_balanced', 'ldam_drw', 'seesaw'),
    *('vs', 'gcl', 'balanced_bce', 'la', 'ce_dbm', 'dbm', 'la_cmo'),
    *('balpoe', 'sade', 'la_sam', 'la_focal_sam'),
)
THREE_VIEWS = (
    *('la_three_views', 'bcl', 'proco', 'gpaco', 'paco', 'supcon'),
    *('bcl_dbm', 'bcl_cmo', 'bcl_sam', 'bcl_log_mean_exp', 'bcl_simplex'),
    *('bcl_no_averaging', 'bcl_no_complement'),
)
SECOND_STAGES = ('crt', 'tau_norm', 'lws', 'los', 'mislas')
METHODS = (*ONE_VIEW, *THREE_VIEWS, *SECOND_STAGES)


@dataclass(frozen=True)
class Row:
    """One row: a method, perhaps with other settings than its config's.

    Attributes:
        method: Name of the config, without its data set.
        variant: What the settings change, for the table. Defaults to ``''``.
        options: ``KEY=VALUE`` settings. Defaults to none.
    """

    method: str
    variant: str = ''
    options: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """Runs of all rows with all seeds and folds.

    Attributes:
        title: What it shows.
        suffix: Rest of the configs' names, after the method.
        rows: Its rows. The first one of ``ce`` is the reference.
        seeds: Defaults to seed 0.
        folds: Names that replace ``{fold}`` in ``options``. Defaults to none.
        part: ``'test'``, or ``'val'`` where settings are chosen. Defaults to
            ``'test'``.
        options: Settings of all rows. Defaults to none.
    """

    title: str
    suffix: str
    rows: Sequence[Row]
    seeds: Sequence[int] = (0,)
    folds: Sequence[Optional[str]] = (None,)
    part: str = 'test'
    options: Tuple[str, ...] = ()


FOLDS = tuple('01234')
OF_FOLD = ('data_root=data/openclipart_lt/fold_{fold}.csv',)


def _settings(**settings: object) -> Tuple[str, Tuple[str, ...]]:
    """Name and options of a shared setting of all methods."""
    keys = dict(
        width='model.backbone.width',
        stem_stride='model.backbone.stem_stride',
        in_channels='model.head.in_channels',
        epochs='train_cfg.max_epochs',
        lr='optim_wrapper.optimizer.lr',
        weight_decay='optim_wrapper.optimizer.weight_decay',
        scale='model.head.scale',
    )
    name = ' '.join(f'{key}={value}' for key, value in settings.items())
    options = tuple(f'{keys[key]}={value}' for key, value in settings.items())
    return name, options


def _search(*choices: Dict[str, object]) -> Tuple[Row, ...]:
    """Cross-entropy and logit adjustment with each of several settings."""
    named = [_settings(**choice) for choice in choices]
    return tuple(
        Row(method, *setting) for setting in named for method in ('ce', 'la')
    )


def _longer(epochs: int, *methods: str) -> Tuple[Row, ...]:
    """The controls with three times the epochs."""
    options = (
        f'train_cfg.max_epochs={3 * epochs}',
        f'train_cfg.val_interval={epochs}',
    )
    return tuple(Row(method, '3 x epochs', options) for method in methods)


TABLES: Dict[str, Table] = dict(
    digits_lt=Table(
        'Digits-LT: the three methods of the quickstart',
        'resnet8_digits_lt',
        [Row(method) for method in ('ce', 'la', 'bcl')],
        seeds=range(5),
    ),
)
