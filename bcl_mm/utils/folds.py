"""Checks of mmpretrain's KFoldDataset, which has none."""

from __future__ import annotations

from typing import Any

import numpy as np

from bcl_mm.utils.errors import InputValueError, check_flag, check_number


def check_fold_numbers(
    fold: Any = 0,
    num_splits: Any = 5,
    test_mode: Any = False,
    seed: Any = None,
    prefix: str = '',
) -> None:
    """Check the arguments of a KFoldDataset.

    Without a check, a fold that does not exist trains on all images.

    Args:
        fold: Number of the fold that is for testing, from 0. Defaults to 0.
        num_splits: Number of folds. Defaults to 5.
        test_mode: Whether that fold is read, or all others. Defaults to
            False.
        seed: Seed of the shuffle. Defaults to None: no shuffle.
        prefix: What precedes their names in messages. Defaults to ``''``.

    Raises:
        InputTypeError: A number is not whole, or ``test_mode`` not a bool.
        InputValueError: A number is out of range.
    """
    name = f'{prefix}num_splits'
    check_number(name, num_splits, at_least=2, whole=True)
    name = f'{prefix}fold'
    check_number(name, fold, at_least=0, below=num_splits, whole=True)
    check_flag(f'{prefix}test_mode', test_mode)
    if seed is not None:
        check_number(f'{prefix}seed', seed, at_least=0, whole=True)


def check_folds(dataset: Any, labels: np.ndarray) -> None:
    """Check a KFoldDataset that is built; other data sets pass.

    Args:
        dataset: Any data set.
        labels: (N,) its labels.

    Raises:
        InputTypeError: An argument has the wrong type.
        InputValueError: The fold does not exist; or the images come class by
            class and were not shuffled, so that a fold has few classes.
    """
    names = 'fold', 'num_splits', 'test_mode', 'seed'
    if not all(hasattr(dataset, name) for name in names):
        return
    check_fold_numbers(
        **{name: getattr(dataset, name) for name in names},
        prefix='KFoldDataset: ',
    )
    num_runs = 1 + np.count_nonzero(np.diff(labels))
    num_found = len(np.unique(labels))
    if dataset.seed is None and num_runs == num_found > 1:
        raise InputValueError(
            'KFoldDataset: seed must be a number where the images come class '
            'by class, got None, which does not shuffle them: each fold would '
            'have the images of a few classes; give all folds seed=0'
        )
