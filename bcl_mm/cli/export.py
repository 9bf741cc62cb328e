"""Export a trained model to ONNX or to torch.export's format.

The exported model takes images (N, C, H, W) as float32 levels from 0 to 255,
RGB or grey, of the size to which the config's test pipeline brings them; it
normalises them itself and gives "logits" and "probabilities" (N, classes).
What only training needs is left out. The file is compared with the PyTorch
model before it is written.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import json
import logging
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Callable, Dict, Iterator, Optional, Sequence, Tuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from sklearn.datasets import load_sample_images
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import GraphModule

from bcl_mm.apis.config import plain_errors
from bcl_mm.apis.inference import (
    Predictor,
    add_model_options,
    class_names,
    load_model,
)
from bcl_mm.datasets.transforms import resize
from bcl_mm.utils.errors import InputValueError
from bcl_mm.utils.files import write_atomically

OUTPUTS = ('logits', 'probabilities')
# Of the largest output.
TOLERANCE = 1e-4
ONLY_FOR_TRAINING = (
    'loss_con',
    'loss_module',
    'projector',
    'prototype_projector',
)


def parse_args() -> argparse.Namespace:
    """Parse and check the options."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_model_options(parser)
    parser.set_defaults(device='cpu')  # which the file would be bound to
    parser.add_argument(
        '-o',
        '--out',
        type=Path,
        required=True,
        metavar='FILE',
        help='.onnx, or .pt2 for torch.export',
    )
    parser.add_argument(
        '--shape',
        type=int,
        nargs=2,
        metavar=('H', 'W'),
        help="size of the images (default: the test pipeline's)",
    )
    parser.add_argument(
        '--opset',
        type=int,
        metavar='N',
        help="ONNX's version of operators (default: torch's choice)",
    )
    args = parser.parse_args()
    if args.out.suffix not in EXPORTERS:
        parser.error(f'--out must end in .onnx or .pt2, got {args.out}')
    if not args.out.parent.is_dir():
        parser.error(f'--out: there is no folder {args.out.parent}')
    if args.shape is not None and min(args.shape) < 1:
        parser.error(f'--shape must be >= 1, got {args.shape}')
    if args.opset is not None and args.out.suffix != '.onnx':
        parser.error('--opset is for .onnx files only')
    if args.out.suffix == '.onnx':
        needed = 'onnx', 'onnxruntime', 'onnxscript'
        missing = [name for name in needed if find_spec(name) is None]
        if missing:
            parser.error(
                f"{', '.join(missing)} missing: pip install 'bcl-mm[export]'"
            )
    return args


class Exported(nn.Module):
    """From levels in RGB to logits and probabilities.

    Args:
        model: The classifier; it is copied.
        takes_bgr: Whether its pipeline gives images in BGR.
    """

    def __init__(self, model: BaseModel, takes_bgr: bool) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).requires_grad_(False)
        head = getattr(self.model, 'head', None)
        for name in ONLY_FOR_TRAINING:
            if hasattr(head, name):
                setattr(head, name, None)
        if takes_bgr:  # RGB comes: it turns what it took as it is
            preprocessor = self.model.data_preprocessor
            preprocessor.to_rgb = not preprocessor.to_rgb

    def forward(self, images: Tensor) -> Tuple[Tensor, Tensor]:
        """Logits and probabilities (N, classes) of images (N, C, H, W)."""
        inputs = self.model.data_preprocessor(dict(inputs=images))['inputs']
        logits = self.model(inputs, mode='tensor')
        return logits, logits.softmax(1)


def examine_pipeline(model: BaseModel) -> Tuple[Tuple[int, int, int], bool]:
    """Shape (C, H, W) of what the test pipeline gives; whether it is BGR."""
    red = np.zeros((256, 256, 3), np.uint8)
    red[..., 2] = 255  # in BGR, as images are loaded
    size = red.shape[:2]
    pipeline = Predictor(model).inferencer.pipeline
    inputs = pipeline(dict(img=red, img_shape=size, ori_shape=size))['inputs']
    means = inputs.float().mean((1, 2))  # (C,)
    return tuple(inputs.shape), len(means) == 3 and bool(means[2] > means[0])


def example_images(shape: Tuple[int, int, int]) -> Tensor:
    """Levels (3, C, H, W) of photographs, RGB or grey."""
    china, flower = load_sample_images().images
    photographs = [
        resize(photograph, shape[1:])
        for photograph in (china, flower, china[:, ::-1])
    ]
    images = torch.from_numpy(np.stack(photographs)).float()  # (3, H, W, 3)
    if shape[0] == 1:
        images = images.mean(3, keepdim=True)
    return images.permute(0, 3, 1, 2).contiguous()


def export_program(module: Exported, images: Tensor) -> ExportedProgram:
    """Module for any number of images of the size of ``images`` (2, ...)."""
    with torch.no_grad():
        program = torch.export.export(
            module,
            (images,),
            dynamic_shapes=dict(images={0: torch.export.Dim('batch')}),
            strict=False,
        )
    for part in program.graph_module.modules():
        if isinstance(part, GraphModule):
            for node in part.graph.nodes:  # where this machine has its files
                node.meta.pop('stack_trace', None)
    return program


def to_onnx(
    program: ExportedProgram, metadata: Dict[str, str], opset: Optional[int]
) -> bytes:
    """Content of an ONNX file, with the metadata as its properties."""
    import onnx

    proto = torch.onnx.export(
        program,
        dynamo=True,
        verbose=False,
        input_names=['images'],
        output_names=list(OUTPUTS),
        dynamic_shapes=dict(images={0: 'batch'}),  # its name
        opset_version=opset,
        external_data=False,
        optimize=True,
    ).model_proto
    onnx.helper.set_model_props(proto, metadata)
    return proto.SerializeToString()


def to_pt2(
    program: ExportedProgram, metadata: Dict[str, str], opset: None
) -> bytes:
    """Content of torch.export's file, with the metadata as extra files."""
    file = io.BytesIO()
    torch.export.save(program, file, extra_files=metadata)
    return file.getvalue()


def run_onnx(content: bytes) -> Callable[[Tensor], Sequence[Tensor]]:
    """The model of an ONNX file, run by onnxruntime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(
        content, providers=['CPUExecutionProvider']
    )
    return lambda images: [
        torch.from_numpy(output)
        for output in session.run(OUTPUTS, dict(images=images.numpy()))
    ]


def run_pt2(content: bytes) -> Callable[[Tensor], Sequence[Tensor]]:
    """The model of torch.export's file."""
    return torch.export.load(io.BytesIO(content)).module()


EXPORTERS = {'.onnx': (to_onnx, run_onnx), '.pt2': (to_pt2, run_pt2)}


def compare(
    run: Callable[[Tensor], Sequence[Tensor]],
    model: BaseModel,
    images: Tensor,
    takes_bgr: bool,
) -> float:
    """Largest difference from what the model itself says of images.

    Args:
        run: The exported model.
        model: The model.
        images: (3, C, H, W) levels, RGB or grey.
        takes_bgr: Whether the model's pipeline gives images in BGR.

    Returns:
        The difference, divided by the largest output.
    """
    worst = 0.0
    for batch in (images[:1], images):
        inputs = batch.flip(1) if takes_bgr else batch
        with torch.no_grad():
            data = model.data_preprocessor(dict(inputs=inputs))
            logits = model(data['inputs'], mode='tensor')
            outputs = run(batch)
        for ours, theirs in zip((logits, logits.softmax(1)), outputs):
            difference = (ours - theirs).abs().max() / ours.abs().max()
            worst = max(worst, difference.item())
    return worst


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without what the exporters tell their own developers."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        logging.disable(logging.NOTSET)


def describe(
    cfg: Config, model: BaseModel, shape: Tuple[int, ...], num_classes: int
) -> Dict[str, str]:
    """What a user of the file wants to know, as JSON or text."""
    colours = 'RGB' if shape[0] == 3 else 'grey'
    return dict(
        classes=json.dumps(class_names(model, num_classes)),
        images=f'(N, {", ".join(map(str, shape))}), float32, {colours}, '
        'levels from 0 to 255',
        pipeline=json.dumps(cfg.test_dataloader.dataset.pipeline, default=str),
        posthoc_tau=str(
            getattr(getattr(model, 'head', None), 'posthoc_tau', 0.0)
        ),
    )


def export(args: argparse.Namespace) -> None:
    """Export, compare, write and report.

    Raises:
        OSError: A file cannot be read or written.
        ValueError: The model cannot be loaded, or the exported one differs.
    """
    cfg, model = load_model(args)
    shape, takes_bgr = examine_pipeline(model)
    shape = shape[:1] + tuple(args.shape or shape[1:])
    images = example_images(shape)
    write, run = EXPORTERS[args.out.suffix]
    with quiet():
        program = export_program(Exported(model, takes_bgr), images[:2])
        num_classes = program.module()(images)[0].shape[1]
        metadata = describe(cfg, model, shape, num_classes)
        content = write(program, metadata, args.opset)
    difference = compare(run(content), model, images, takes_bgr)
    if not difference <= TOLERANCE:  # NaN is no agreement either
        raise InputValueError(
            f'the exported model differs from the PyTorch model by '
            f'{difference:.1e} (relative), more than {TOLERANCE:.0e}, and '
            'nothing was written'
        )
    write_atomically(content, args.out)
    print(f'{args.out}: {len(content) / 2**20:.1f} MiB')
    for name in ('images', 'posthoc_tau'):
        print(f'  {name}: {metadata[name]}')
    print(f'  outputs: {", ".join(OUTPUTS)}, each (N, {num_classes})')
    print(f'  largest difference from PyTorch: {difference:.1e} (relative)')


def main() -> None:
    """Export."""
    args = parse_args()
    with plain_errors():
        export(args)


if __name__ == '__main__':
    main()
