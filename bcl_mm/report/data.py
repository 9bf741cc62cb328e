"""What a report says of the data and the trainings."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any, List, Sequence

from bcl_mm.apis.runs import TrainedRun, tests_on_validation
from bcl_mm.report.summary import Method

# Readers of anyone's images: the folder says more than the reader's name.
_GENERAL = ('CustomImages', 'CustomDataset', 'ImageList', 'ImageFolder')


def data_name(cfg: Any) -> str:
    """Name of the training data of a config, without folders of the machine.

    That of the reader (``'FashionMNIST'``), with ``-LT`` for a long-tailed
    part of it; of a reader of any images the name of their folder.
    """
    loader = cfg.get('train_dataloader') or cfg.get('test_dataloader') or {}
    dataset, ending = loader.get('dataset') or {}, ''
    while isinstance(dataset, dict):
        kind = str(dataset.get('type', '')).rpartition('.')[2]
        parts = dataset.get('datasets')
        inner = parts[0] if parts else dataset.get('dataset')
        if inner is None:
            break
        ending = '-LT' if kind == 'LongTailDataset' else ending
        dataset = inner
    else:
        kind = ''
    root = dataset.get('data_root') if isinstance(dataset, dict) else None
    if kind in _GENERAL and root:
        kind = PurePath(str(root)).name or kind
    return f'{kind or "unknown data"}{ending}'


def data_notes(runs: Sequence[TrainedRun]) -> List[str]:
    """What to keep in mind about the test images."""
    if all(
        run.cfg.get('test_dataloader') and tests_on_validation(run.cfg)
        for run in runs
    ):
        return [
            'Validation and test set are the same: whatever was chosen by '
            'the accuracy in validation (settings, the best epoch) was chosen '
            'on these images, which flatters it.'
        ]
    return []


def length_notes(methods: Sequence[Method]) -> List[str]:
    """A warning if the methods were not trained equally long.

    Those that continue a first stage are not compared.
    """
    lengths = {
        method.name: ' or '.join(
            sorted({run.length for run in method.runs} - {''})
        )
        for method in methods
        if not method.runs[0].cfg.get('first_stage')
    }
    lengths = {name: length for name, length in lengths.items() if length}
    if len(set(lengths.values())) < 2:
        return []
    listed = ', '.join(f'{name} {value}' for name, value in lengths.items())
    return [
        f'The methods were not trained equally long: {listed}. What a method '
        'brings and what more training brings cannot be told apart.'
    ]


def place_of_run(run: TrainedRun) -> str:
    """The checkpoint of a run, without the folders of the machine."""
    folder, checkpoint = run.folder.resolve(), run.checkpoint.resolve()
    inside = checkpoint.is_relative_to(folder)
    parts = folder.parts[-2:] if inside else checkpoint.parent.parts[-2:]
    return '/'.join([*(p for p in parts if p != '/'), checkpoint.name])
