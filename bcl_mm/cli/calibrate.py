"""Calibrate a trained model, so that its scores can be trusted.

Fits a temperature, which makes the scores as sure as the model is right, and
a threshold on the score of the best class, below which predictions are marked
as abstentions. Both are fitted to the validation images and written to
calibration.json in the work dir, which predict and export then apply.
"""

from __future__ import annotations

import argparse

from bcl_mm.cli.arguments import add_device
from bcl_mm.cli.models import load_named_model
from bcl_mm.cli.options import (
    add_cfg_options,
    add_posthoc_tau,
    add_selection,
)
from bcl_mm.utils.errors import visible


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        'config',
        metavar='WORK_DIR',
        help='the work dir of a training, or a checkpoint in one',
    )
    parser.set_defaults(checkpoint=None)  # which is that of the work dir
    add_selection(parser)
    parser.add_argument(
        '--target-accuracy',
        type=float,
        default=0.95,
        metavar='A',
        help='least accuracy of the validation images that are not marked, '
        'in (0, 1) (default: 0.95)',
    )
    add_device(parser)
    add_posthoc_tau(parser)
    add_cfg_options(parser)


def run(args: argparse.Namespace) -> None:
    """Calibrate, and show what was measured."""
    from bcl_mm.apis.calibration import calibrate
    from bcl_mm.evaluation.temperature import TEMPERATURES

    found, cfg, model = load_named_model(args, args.device)
    fitted = calibrate(found, cfg, model, args.target_accuracy)
    assert found.folder is not None  # since no CHECKPOINT is given
    path = fitted.save(found.folder)
    lines = [
        f'temperature {fitted.temperature:.3f} and threshold '
        f'{fitted.threshold:.3f}, fitted to {fitted.num_fitted} validation '
        'images',
        f'negative log-likelihood: {fitted.nll_before:.3f} before, '
        f'{fitted.nll_after:.3f} after',
        f'expected calibration error: {fitted.ece_before:.1f} % before, '
        f'{fitted.ece_after:.1f} % after',
        f'accuracy of all images: {fitted.accuracy:.1f} %',
        f'accepted: {fitted.accepted:.1f} % of the images, with an accuracy '
        + (
            'that is unknown'
            if fitted.accuracy_accepted is None
            else f'of {fitted.accuracy_accepted:.1f} %'
        ),
    ]
    if fitted.measured_on == 'test':
        lines.append(f'measured on {fitted.num_measured} test images')
    else:
        lines.append(
            'measured on the same images that it was fitted to: expect less '
            'of new ones'
        )
    low, high = TEMPERATURES
    if not low * 1.01 < fitted.temperature < high / 1.01:
        lines.append(
            f'the temperature is at its limit ({low:g} to {high:g}): do not '
            'trust the scores'
        )
    print(visible(f'{path}:'))
    for line in lines:
        print(f'  {line}')
