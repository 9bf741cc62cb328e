"""The model card of a run: what was trained, on what, and how good it is."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Any, Dict, List, Sequence

from bcl_mm import __version__
from bcl_mm.apis.calibration import CALIBRATION_JSON, read_calibration
from bcl_mm.apis.cost import KINDS, duration
from bcl_mm.apis.runs import TrainedRun
from bcl_mm.classes import shot_groups
from bcl_mm.evaluation import CalibrationError, ShotAccuracy
from bcl_mm.report.data import data_name, data_notes
from bcl_mm.report.evaluation import Evaluation
from bcl_mm.utils.errors import InputError, counted, visible

CARD = 'model_card.md'
_FIGURES = dict(
    top1='top-1 accuracy',
    balanced='balanced accuracy (mean of the classes)',
    many='many-shot classes (more than 100 training images)',
    medium='medium-shot classes (20 to 100)',
    few='few-shot classes (fewer than 20)',
    worst='worst class',
    ece='expected calibration error',
)
_ALL_CLASSES = 200  # more are told by the rarest and the most frequent
_SOME_CLASSES = 20
_LITTLE_TESTED = 10  # images of a class


def escaped(text: object) -> str:
    """Text that Markdown shows as it is, in one line.

    Of an absolute path only the last part is left: a card is passed on.
    """
    text = ' '.join(visible(str(text)).split())
    if PurePath(text).is_absolute():
        text = PurePath(text).name
    text = text.replace('&', '&amp;').replace('<', '&lt;')
    return re.sub(r'([\\`*_{}\[\]()#+\-.!|~>$:])', r'\\\1', text)


def _table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [heads, ['---', *['---:'] * (len(heads) - 1)], *rows]
    return '\n'.join(f'| {" | ".join(map(str, line))} |' for line in lines)


def recipe_of(cfg: Any) -> Dict[str, object]:
    """The settings of a training that a reader asks for first."""

    def find(path: str) -> Any:
        first, *others = path.split('.')
        value = cfg.get(first)
        for key in others:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    optimizer = find('optim_wrapper.optimizer')
    settings = dict(optimizer) if isinstance(optimizer, dict) else {}
    kind = settings.pop('type', None)
    values = {
        'config': PurePath(str(cfg.filename)).stem if cfg.filename else None,
        'backbone': find('model.backbone.type'),
        'depth': find('model.backbone.depth'),
        'head': find('model.head.type'),
        'loss': find('model.head.loss_cls.type'),
        'branches': ', '.join(find('model.head.branches') or {}) or None,
        'starts from': find('model.pretrained')
        or find('model.backbone.init_cfg.checkpoint')
        or cfg.get('load_from'),
        'optimizer': kind,
        **{f'optimizer, {key}': value for key, value in settings.items()},
        'epochs': find('train_cfg.max_epochs'),
        'iterations': find('train_cfg.max_iters'),
        'batch size': find('train_dataloader.batch_size'),
        'augmentation': cfg.get('augmentation'),
        'seed': find('randomness.seed'),
    }
    return {k: v for k, v in values.items() if v is not None and v != {}}


def model_card(run: TrainedRun, e: Evaluation) -> str:
    """The model card of a run, as Markdown.

    Args:
        run: The run.
        e: Its test.
    """
    name = data_name(run.cfg)
    parts = [
        f'# {escaped(run.method)} on {escaped(name)}',
        f'A classifier of {len(e.class_counts):,} classes, trained with '
        f'bcl\\_mm {__version__}. Checkpoint: `{_code(run.checkpoint.name)}`.'
        + (f' **Unfinished: {run.progress}.**' if run.progress else ''),
        '## Data',
        _data(e),
        '## Training',
        _table(
            ['setting', 'value'],
            [(k, escaped(v)) for k, v in recipe_of(run.cfg).items()],
        ),
        *_cost(run),
        '## Figures',
        f"On {len(e.labels):,} test images, in percent. A group's accuracy "
        "is the mean of its classes' accuracies.",
        _figures(e),
        *_calibration(run),
        '## Limits',
        '\n'.join(f'- {line}' for line in _limits(run, e)),
        '## Classes',
        *_classes(e),
    ]
    return '\n\n'.join(parts) + '\n'


def _code(text: str) -> str:
    return visible(text).replace('`', "'")


def _data(e: Evaluation) -> str:
    counts, groups = e.class_counts, shot_groups(e.class_counts)
    sizes = ', '.join(
        f'{members.sum():,} {name}-shot'
        for name, members in groups.items()
        if members.any()
    )
    return (
        f'{counts.sum():,} training images, {counts.max():,} to '
        f'{counts.min():,} per class (imbalance factor '
        f'{counts.max() / counts.min():.4g}); {sizes}.'
    )


def _cost(run: TrainedRun) -> List[str]:
    if run.cost is None:
        return []
    kind = KINDS[run.cost.kind]
    return [f'{kind} of the training: {duration(run.cost.seconds)}.']


def _figures(e: Evaluation) -> str:
    found = {
        **ShotAccuracy.calculate(e.predictions, e.labels, e.class_counts),
        **CalibrationError.calculate(
            e.predictions, e.labels, e.confidences, e.class_counts
        ),
    }
    return _table(
        ['figure', '%'],
        [
            (text, f'{found[k]:.1f}')
            for k, text in _FIGURES.items()
            if k in found
        ],
    )


def _calibration(run: TrainedRun) -> List[str]:
    """What ``bcl-mm calibrate`` has fitted, if it has."""
    try:
        found = read_calibration(run.folder)
    except InputError:
        return ['The calibration beside this card is damaged.']
    if found is None or found.checkpoint != run.checkpoint.name:
        return []
    text = (
        'The confidences above are those before calibration. '
        f'`{CALIBRATION_JSON}` divides the logits by {found.temperature:.3g} '
        'and abstains below a confidence of '
        f'{100 * found.threshold:.1f} %; both were fitted to the validation '
        'images'
    )
    if found.measured_on == 'validation':
        text += ', and its own figures were measured on these same images'
    return [f'{text}.']


def _limits(run: TrainedRun, e: Evaluation) -> List[str]:
    found = [
        'One run with one seed: another seed gives other figures. A report '
        'over several seeds says how much they vary.'
    ]
    if run.progress:
        found.insert(0, f'The training is unfinished ({run.progress}).')
    found += data_notes([run])
    untested = int((e.totals == 0).sum())
    if untested:
        found.append(f'{counted(untested, "class")} without a test image.')
    little = int(((e.totals > 0) & (e.totals < _LITTLE_TESTED)).sum())
    if little:
        found.append(
            f'{counted(little, "class")} with fewer than {_LITTLE_TESTED} '
            'test images: the accuracy of each of them is a rough estimate.'
        )
    counts = e.class_counts
    if counts.max() > counts.min():
        found.append(
            'The figures hold for images like the test images, with their '
            'class frequencies; top-1 changes with these frequencies.'
        )
    found.append(
        'Every image gets one of these classes, also one of something else.'
    )
    return found


def _classes(e: Evaluation) -> List[str]:
    order = (-e.class_counts).argsort(kind='stable')
    hits = [0] * len(order)
    for label in e.labels[e.correct].tolist():
        hits[label] += 1

    def rows(classes: Sequence[int]) -> str:
        lines = []
        for c in classes:
            total = int(e.totals[c])
            share = f'{100 * hits[c] / total:.1f}' if total else ''
            count = f'{e.class_counts[c]:,}'
            lines.append((escaped(e.classes[c]), count, f'{total:,}', share))
        heads = 'class', 'training images', 'test images', 'accuracy (%)'
        return _table(heads, lines)

    if len(order) <= _ALL_CLASSES:
        return [rows(order.tolist())]
    return [
        f'The {_SOME_CLASSES} most frequent:',
        rows(order[:_SOME_CLASSES].tolist()),
        f'The {_SOME_CLASSES} rarest:',
        rows(order[-_SOME_CLASSES:].tolist()),
    ]
