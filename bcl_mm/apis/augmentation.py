"""Presets of augmentation: what may be done to images of a kind."""

from __future__ import annotations

from typing import Any, Dict, Optional, Set

from mmengine.config import Config

from bcl_mm.utils.errors import InputValueError

# What each preset changes of the training pipelines: a transform, and its
# arguments; None removes an operation of RandAugment. The pipelines of the
# configs are those of photos.
PRESETS: Dict[str, Dict[str, Optional[Dict[str, Any]]]] = dict(
    photos={},
    # A mirrored letter is another letter, and half of one is none.
    symbols=dict(
        RandomFlip=dict(prob=0.0),
        RandomResizedCrop=dict(scale=(0.6, 1.0)),
    ),
    # Stain and intensity carry the diagnosis; so may small lesions.
    medical=dict(
        RandomResizedCrop=dict(scale=(0.5, 1.0)),
        ColorJitter=dict(brightness=0.2, contrast=0.2, saturation=0, hue=0),
        RandomGrayscale=dict(prob=0.0),
        **dict.fromkeys(
            ('AutoContrast', 'Equalize', 'Invert', 'Posterize', 'Solarize')
        ),
        **dict.fromkeys(('SolarizeAdd', 'ColorTransform')),
    ),
    # Seen from above, no direction is up.
    satellite=dict(RandomFlip=dict(directions='all')),
)
SUMMARIES = dict(
    photos='flips left to right, crops, colours',
    symbols='no flips, large crops, colours',
    medical='flips left to right, large crops, no change of hue',
    satellite='flips and quarter turns, crops, colours',
)


def apply_augmentation(cfg: Config) -> None:
    """Change the training pipelines to the config's ``augmentation``.

    Args:
        cfg: Config, changed in place. Without ``augmentation``, nothing is.

    Raises:
        InputValueError: There is no such preset, or the pipelines lack what
            it changes most.
    """
    name = cfg.get('augmentation')
    if name is None:
        return
    if name not in PRESETS:
        raise InputValueError(
            f'augmentation must be one of {", ".join(PRESETS)}, got {name!r}'
        )
    applied = cfg.get('applied_augmentation', name)
    if applied != name:
        raise InputValueError(
            f'augmentation={name!r} cannot be applied to {cfg.filename}: its '
            f'pipelines have been changed to {applied!r}; use the config '
            'that was trained, not its copy in the run folder'
        )
    if PRESETS[name]:
        cfg.applied_augmentation = name
    found = _edit(cfg.get('train_dataloader'), PRESETS[name])
    if name == 'satellite' and 'RandomFlip' not in found:
        raise InputValueError(
            "augmentation='satellite' turns images where the training "
            'pipeline has bcl_mm.RandomFlip, and it has none'
        )


def describe_augmentation(name: str) -> str:
    """A line about a preset, and the names of the others."""
    others = ', '.join(preset for preset in PRESETS if preset != name)
    return f'augmentation={name}: {SUMMARIES[name]} (others: {others})'


def _edit(part: Any, changes: Dict[str, Optional[Dict[str, Any]]]) -> Set[str]:
    """Change the transforms in a part of a config; returns their names."""
    found = set()
    if isinstance(part, dict):
        kind = str(part.get('type')).rpartition('.')[2]
        change = changes.get(kind)
        if change is not None:
            part.update(change)
            found.add(kind)
        for value in part.values():
            found |= _edit(value, changes)
    elif isinstance(part, (list, tuple)):
        if isinstance(part, list):
            part[:] = [e for e in part if not _is_removed(e, changes)]
        for entry in part:
            found |= _edit(entry, changes)
    return found


def _is_removed(
    entry: Any, changes: Dict[str, Optional[Dict[str, Any]]]
) -> bool:
    if not isinstance(entry, dict):
        return False
    kind = str(entry.get('type')).rpartition('.')[2]
    return kind in changes and changes[kind] is None
