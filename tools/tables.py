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
        chosen: The variant that a search has chosen. Defaults to ``''``.
    """

    title: str
    suffix: str
    rows: Sequence[Row]
    seeds: Sequence[int] = (0,)
    folds: Sequence[Optional[str]] = (None,)
    part: str = 'test'
    options: Tuple[str, ...] = ()
    chosen: str = ''

    @property
    def methods(self) -> Tuple[str, ...]:
        """Methods of its rows, each once."""
        return tuple(dict.fromkeys(row.method for row in self.rows))

    @property
    def is_search(self) -> bool:
        """Whether it chooses settings that all methods share."""
        return all(
            row.method in ('ce', 'la') and row.variant for row in self.rows
        )


FOLDS = tuple('01234')
OF_FOLD = ('data_root=data/openclipart_lt/fold_{fold}.csv',)


_ALL_VIEWS = 'model.head.classify_all_views=True'
# Shared settings, for the searches.
_KEYS = dict(
    width='model.backbone.width',
    stem_stride='model.backbone.stem_stride',
    channels='model.head.in_channels',
    epochs='train_cfg.max_epochs',
    lr='optim_wrapper.optimizer.lr',
    weight_decay='optim_wrapper.optimizer.weight_decay',
    scale='model.head.scale',
)


def _search(names: str, *choices: str) -> Tuple[Row, ...]:
    """Cross-entropy and logit adjustment with several settings.

    Args:
        names: Names of the settings, separated by spaces.
        choices: Their values, in the same way.
    """
    rows = []
    for choice in choices:
        values = dict(zip(names.split(), choice.split()))
        options = tuple(f'{_KEYS[name]}={x}' for name, x in values.items())
        shown = {k: v for k, v in values.items() if k != 'channels'}
        variant = ', '.join(f'{name} {x}' for name, x in shown.items())
        rows += [Row(method, variant, options) for method in ('ce', 'la')]
    return tuple(rows)


def _longer(epochs: int, *methods: str) -> Tuple[Row, ...]:
    """The controls with three times the epochs."""
    options = (
        f'train_cfg.max_epochs={3 * epochs}',
        f'train_cfg.val_interval={epochs}',
    )
    return tuple(Row(method, '3 x epochs', options) for method in methods)


def _views(of_classification: int, of_contrast: int) -> str:
    """The setting of how many views of each kind a sample has."""
    counts = f'[{of_classification},{of_contrast}]'
    return f'train_dataloader.dataset.pipeline.1.num_views={counts}'


TABLES: Dict[str, Table] = dict(
    digits_lt=Table(
        'Digits-LT: the three methods of the quickstart',
        'resnet8_digits_lt',
        [Row(method) for method in ('ce', 'la', 'bcl')],
        seeds=range(5),
    ),
    openclipart_lt=Table(
        'OpenClipart-LT: all methods, five folds',
        'resnet8_openclipart_lt',
        [
            *(Row(method) for method in METHODS),
            # dbm and la_cmo: the two best of one view and one pass on the
            # validation images (mean of the folds: 15.94 and 15.08 %).
            *_longer(30, 'ce', 'la', 'dbm', 'la_cmo'),
        ],
        folds=FOLDS,
        options=OF_FOLD,
    ),
    fashion_mnist_lt=Table(
        'Fashion-MNIST-LT: all methods, five seeds',
        'resnet8_fashion_mnist_lt',
        [*(Row(method) for method in METHODS), *_longer(80, 'ce', 'la')],
        seeds=range(5),
    ),
    why_openclipart_lt=Table(
        'OpenClipart-LT: what three views give, on validation images',
        'resnet8_openclipart_lt',
        [
            Row('la'),
            Row(
                'la_three_views', 'reduced to one contrastive', (_views(0, 1),)
            ),
            Row('la_three_views', 'all three ordinary', (_views(3, 0),)),
            Row('la_three_views'),
            Row('bcl'),
            Row('bcl', 'contrast x 3', ('model.head.con_weight=1.05',)),
            Row('bcl', 'classifying all views', (_ALL_VIEWS,)),
            Row(
                'bcl',
                'classifying all views, contrast x 0.3',
                (_ALL_VIEWS, 'model.head.con_weight=0.105'),
            ),
        ],
        folds=FOLDS[:3],
        part='val',
        options=OF_FOLD,
    ),
    search_digits_lt=Table(
        'Digits-LT: settings, on validation images',
        'resnet8_digits_lt',
        _search(
            'lr weight_decay scale',
            '0.1 5e-4 8',
            '0.1 5e-3 8',
            '0.2 5e-4 8',
            '0.1 5e-4 16',
        ),
        seeds=range(3),
        part='val',
        chosen='lr 0.1, weight_decay 5e-4, scale 8',
    ),
    search_fashion_mnist_lt=Table(
        'Fashion-MNIST-LT: settings, on validation images',
        'resnet8_fashion_mnist_lt',
        _search(
            'epochs lr weight_decay scale',
            '80 0.1 1e-3 16',
            '40 0.1 1e-3 16',
            '40 0.1 5e-3 16',
            '40 0.2 5e-3 16',
            '40 0.1 5e-3 8',
        ),
        part='val',
        chosen='epochs 80, lr 0.1, weight_decay 1e-3, scale 16',
    ),
    search_openclipart_lt=Table(
        'OpenClipart-LT: settings, on validation images',
        'resnet8_openclipart_lt',
        _search(
            'width stem_stride channels epochs lr weight_decay scale',
            '2 4 128 60 0.1 1e-3 16',
            '1 2 64 50 0.1 1e-3 16',
            '2 4 128 40 0.1 1e-3 16',
            '2 4 128 40 0.1 2e-3 16',
            '2 4 128 40 0.1 5e-3 16',
            '2 4 128 40 0.2 5e-3 16',
            '2 4 128 40 0.1 5e-3 8',
            '1 2 64 40 0.1 5e-3 16',
            '1 2 64 30 0.1 5e-3 16',
            '1 2 64 30 0.2 5e-3 16',
            '1 2 64 30 0.1 1e-2 16',
        ),
        folds=FOLDS[:2],
        part='val',
        options=OF_FOLD,
        chosen='width 1, stem_stride 2, epochs 30, lr 0.1, '
        'weight_decay 5e-3, scale 16',
    ),
)
