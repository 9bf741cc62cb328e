"""Export a trained model to ONNX or to torch.export's format.

The exported model takes images (N, C, H, W) as float32 levels from 0 to 255,
RGB or grey, of the size to which the config's test pipeline brings them; it
normalises them itself and gives "logits" and "probabilities" (N, classes).
What only training needs is left out. The file is compared with the PyTorch
model before it is written.
"""

from __future__ import annotations

import argparse
import sys

from bcl_mm.cli.arguments import output_file
from bcl_mm.cli.models import load_named_model
from bcl_mm.cli.options import (
    add_model_options,
    add_no_calibration,
    whole_number,
)
from bcl_mm.utils.errors import visible


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_model_options(parser)
    parser.add_argument(
        '-o',
        '--out',
        type=output_file('.onnx', '.pt2'),
        required=True,
        metavar='FILE',
        help='.onnx, or .pt2 for torch.export',
    )
    parser.add_argument(
        '--shape',
        type=whole_number(1),
        nargs=2,
        metavar=('H', 'W'),
        help="size of the images (default: the test pipeline's)",
    )
    add_no_calibration(parser)
    what = "version of ONNX's operators (default: torch's choice)"
    parser.add_argument('--opset', type=int, metavar='N', help=what)


def run(args: argparse.Namespace) -> None:
    """Export, and show what was written."""
    if args.opset is not None and args.out.suffix != '.onnx':
        args.error('--opset is for .onnx files only')

    from bcl_mm.apis.calibration import find_calibration
    from bcl_mm.apis.export import OUTPUTS, check_packages, export_model

    check_packages(args.out)
    # On the CPU, since the file would be bound to a GPU.
    found, cfg, model = load_named_model(args, device='cpu')
    calibration = None
    if not args.no_calibration:
        calibration = find_calibration(found, cfg, model)
    file = export_model(
        model,
        args.out,
        shape=args.shape,
        opset=args.opset,
        calibration=calibration,
    )
    print(f'{args.out}: {file["num_bytes"] / 2**20:.1f} MiB')
    for name in ('images', 'posthoc_tau'):
        print(f'  {name}: {file[name]}')
    for name in ('temperature', 'threshold'):
        print(f'  {name}: {float(file[name]):.4g}')
    print(f'  outputs: {", ".join(OUTPUTS)}, each (N, {file["num_classes"]})')
    difference = file['difference']
    print(f'  largest difference from PyTorch: {difference:.1e} (relative)')
    if file['problem'] is not None:
        note = f'images need preprocessing of your own: {file["problem"]}'
        print(visible(f'Note: {note}'), file=sys.stderr)
