"""Turn a checkpoint of the reference implementation into one of bcl_mm.

The reference is github.com/FlamieZhu/Balanced-Contrastive-Learning. The result
is for tools/test.py, or for load_from in a config.
"""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import Any, Dict, List, Tuple

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor

from bcl_mm.utils.checkpoint import load_weights_only
from bcl_mm.utils.errors import InputValueError, MissingFileError

# Their keys, and the prefix of ours. An encoder.fc is never used there.
PARTS = {
    r'encoder\.((?:conv1|bn1|layer[1-4])\..+)': 'backbone.',
    r'head\.([013]\..+)': 'head.projector.',
    r'head_fc\.([013]\..+)': 'head.prototype_projector.',
    r'fc\.(weight|bias)': 'head.classifier.',
}
REQUIRED = (
    'encoder.conv1.weight',
    'encoder.bn1.weight',
    *(f'encoder.layer{stage}.0.conv1.weight' for stage in range(1, 5)),
    'encoder.layer4.0.downsample.0.weight',
    'fc.weight',
)
PROJECTORS = dict(head='projector', head_fc='prototype_projector')
PROJECTOR_KEYS = (
    *('0.weight', '0.bias', '3.weight', '3.bias'),
    *('1.weight', '1.bias', '1.running_mean', '1.running_var'),
)


def parse_args() -> argparse.Namespace:
    """Parse the options."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('checkpoint', metavar='IN', help='their checkpoint')
    parser.add_argument('out', metavar='OUT', help='file for ours')
    parser.add_argument(
        '--config',
        help='check that this config fits, key by key, before writing OUT',
    )
    return parser.parse_args()


def check_out(path: str, out: str) -> None:
    """Raise a ValueError if ``out`` cannot be written, or is ``path``."""
    if Path(out).is_dir():
        raise InputValueError(f'OUT must be a file, got the folder {out!r}')
    if not Path(out).absolute().parent.is_dir():
        raise InputValueError(f'the folder of OUT, {out!r}, does not exist')
    if Path(out).exists() and os.path.samefile(path, out):
        raise InputValueError(f'OUT must be another file than IN, got {out!r}')


def load(path: str) -> Tuple[Dict[str, Any], List[str]]:
    """Load a checkpoint without running anything of it.

    Returns:
        Its state dict, and the names of the entries beside it.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: It is damaged, holds more than weights and numbers, or is
            no state dict.
    """
    checkpoint = load_weights_only(path)
    state, beside = checkpoint, []
    if isinstance(checkpoint, dict) and 'state_dict' in checkpoint:
        state = checkpoint['state_dict']
        beside = [str(name) for name in checkpoint if name != 'state_dict']
    if not isinstance(state, dict):
        raise InputValueError(
            f'the checkpoint {path!r} must be a dict with state_dict, or a '
            f'state dict, got {type(state).__name__}'
        )
    return {str(key): value for key, value in state.items()}, beside


def rename(state: Dict[str, Any]) -> Tuple[Dict[str, Tensor], List[str]]:
    """Give weights our names.

    Returns:
        The renamed weights, and the keys that were not used.

    Raises:
        ValueError: The state dict is not the reference's, or a weight is NaN
            or infinite.
    """
    # DataParallel's prefix.
    theirs = {key.removeprefix('module.'): key for key in state}
    if len(theirs) < len(state):
        raise InputValueError(
            "its keys are there twice, with and without a leading 'module.'"
        )
    missing = [key for key in REQUIRED if key not in theirs]
    if missing:
        raise InputValueError(
            'the reference has keys encoder.*, head.*, head_fc.* and fc.*, '
            "with or without a leading 'module.'; here there is no "
            f'{", ".join(missing)}, and the first keys are '
            f'{", ".join(list(state)[:5]) or "none"}'
        )
    renamed, unused = {}, []
    for key, full_key in theirs.items():
        for pattern, name in PARTS.items():
            match = re.fullmatch(pattern, key)
            if match:
                if not isinstance(state[full_key], Tensor):
                    raise InputValueError(
                        f'{full_key} must be a tensor, got '
                        f'{type(state[full_key]).__name__}'
                    )
                wrong = (~state[full_key].isfinite()).sum().item()
                if wrong:
                    raise InputValueError(
                        f'{full_key} must be finite, but {wrong} of its '
                        f'{state[full_key].numel()} numbers are not'
                    )
                renamed[name + match[1]] = state[full_key]
                break
        else:
            unused.append(full_key)
    return renamed, unused


def orient_classifier(weights: Dict[str, Tensor]) -> Dict[str, Any]:
    """Bring the classifier's weight to (num_classes, in_channels), in place.

    Returns:
        The settings of ``BCLHead`` that it needs.

    Raises:
        ValueError: Its shape is not the one that the reference stores.
    """
    # Not by its shape: there may be as many classes as channels.
    classifier = 'linear' if 'head.classifier.bias' in weights else 'cosine'
    weight = weights['head.classifier.weight']
    stored = tuple(weight.shape)
    if classifier == 'cosine':
        weight = weight.t().contiguous() if weight.ndim == 2 else weight
    width = len(weights['backbone.layer4.0.downsample.0.weight'])
    if weight.ndim != 2 or weight.shape[1] != width:
        rule = (
            f'without fc.bias must be (in_channels, num_classes) = ({width}, '
            'num_classes)'
            if classifier == 'cosine'
            else 'with fc.bias must be (num_classes, in_channels) = '
            f'(num_classes, {width})'
        )
        raise InputValueError(f'fc.weight {rule}, got shape {stored}')
    weights['head.classifier.weight'] = weight
    return dict(
        num_classes=len(weight), in_channels=width, classifier=classifier
    )


def measure_projectors(
    weights: Dict[str, Tensor], in_channels: int
) -> Dict[str, int]:
    """Settings of ``BCLHead`` that the projectors need, of those there are.

    Raises:
        ValueError: A projector is incomplete, or the widths are not those of
            two projectors of one head.
    """
    settings = {}
    for theirs, ours in PROJECTORS.items():
        missing = [
            key
            for key in PROJECTOR_KEYS
            if f'head.{ours}.{key}' not in weights
        ]
        if len(missing) == len(PROJECTOR_KEYS):
            continue
        if missing:
            raise InputValueError(
                f'{theirs} must be whole or absent, but there is no '
                + ', '.join(f'{theirs}.{key}' for key in missing)
            )
        first, last = (weights[f'head.{ours}.{i}.weight'] for i in (0, 3))
        found = dict(hidden_channels=len(first), out_channels=len(last))
        if first.shape[1:] != (in_channels,):
            raise InputValueError(
                f'{theirs}.0.weight must have {in_channels} columns, the '
                f"backbone's channels, got shape {tuple(first.shape)}"
            )
        if settings and found != settings:
            raise InputValueError(
                f'head and head_fc must have the same widths, got {settings} '
                f'and {found}'
            )
        settings = found
    return settings


def check_fit(weights: Dict[str, Tensor], config: str) -> None:
    """Check weights against the model of a config, key by key.

    Raises:
        FileNotFoundError: The config does not exist.
        ValueError: A key is missing, unknown or of another shape.
    """
    if not Path(config).is_file():
        raise MissingFileError(f'there is no config {config!r}')
    try:
        cfg = Config.fromfile(config)
        init_default_scope(cfg.get('default_scope', 'mmpretrain'))
        ours = MODELS.build(cfg.model).state_dict()
    except Exception as error:  # a config is Python: anything may go wrong
        raise InputValueError(
            f'no model can be built from {config}: {error}'
        ) from error
    ours.pop('head.class_counts', None)  # tools/test.py counts them
    misfits = [f'{key} is missing' for key in ours if key not in weights]
    for key, value in weights.items():
        if key not in ours:
            misfits.append(f'{key} is unknown to the config')
        elif value.shape != ours[key].shape:
            misfits.append(
                f'{key} has shape {tuple(value.shape)}, in the config '
                f'{tuple(ours[key].shape)}'
            )
    if misfits:
        raise InputValueError(
            f'{len(misfits)} keys do not fit the model of {config}, and '
            'nothing was written:\n  ' + '\n  '.join(misfits)
        )


def write(content: Dict[str, Any], out: str) -> None:
    """Write a checkpoint: whole, or not at all."""
    partial = Path(f'{out}.{os.getpid()}.partial')
    try:
        torch.save(content, partial)
        os.replace(partial, out)
    finally:
        partial.unlink(missing_ok=True)


def convert(args: argparse.Namespace) -> None:
    """Load, convert, check, write and report.

    Raises:
        OSError: A file cannot be read or written.
        ValueError: The checkpoint cannot be converted.
    """
    state, beside = load(args.checkpoint)
    check_out(args.checkpoint, args.out)
    try:
        weights, unused = rename(state)
        settings = orient_classifier(weights)
        settings.update(measure_projectors(weights, settings['in_channels']))
    except ValueError as error:
        raise InputValueError(f'{args.checkpoint}: {error}') from error
    if args.config is not None:
        check_fit(weights, args.config)
    meta = dict(converted_from=Path(args.checkpoint).name)
    write(dict(state_dict=weights, meta=meta), args.out)

    print(f'{args.out}: {len(weights)} of {len(state)} keys converted')
    print(f'Keys that were not used: {len(unused)}')
    for key in unused:
        print(f'  {key}')
    print(f'Entries that were dropped: {", ".join(beside) or "none"}')
    for theirs, ours in PROJECTORS.items():
        if f'head.{ours}.0.weight' not in weights:
            print(
                f'Note: there is no {theirs}, and so no head.{ours}; only '
                'training uses it'
            )
    print('The config needs, in model.head:')
    for name, value in settings.items():
        print(f'  {name}={value!r}')
    if args.config is not None:
        print(f'It fits the model of {args.config}')


def main() -> None:
    """Convert."""
    try:
        convert(parse_args())
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        raise SystemExit(str(error)) from error


if __name__ == '__main__':
    main()
