"""Export of trained models to ONNX and to torch.export's format."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import logging
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Optional, Sequence, Tuple

import numpy as np
import torch
from mmengine.model import BaseModel
from mmengine.utils import digit_version
from sklearn.datasets import load_sample_images
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import GraphModule

from bcl_mm.apis.calibration import Calibration
from bcl_mm.apis.inference import Predictor, class_names
from bcl_mm.apis.preprocessing import describe_preprocessing
from bcl_mm.datasets.transforms import resize
from bcl_mm.utils.errors import InputError, InputValueError
from bcl_mm.utils.files import write_atomically
from bcl_mm.utils.precision import standard_operators
from bcl_mm.utils.weights import is_only_for_training

OUTPUTS = ('logits', 'probabilities')
TOLERANCE = 1e-4  # relative to the largest output
_ONNX_PACKAGES = ('onnx', 'onnxruntime', 'onnxscript')
# Logits and probabilities (N, classes) of images (N, C, H, W).
Outputs = Callable[[Tensor], Sequence[Tensor]]


def _outputs(
    model: BaseModel, images: Tensor, temperature: float
) -> Tuple[Tensor, Tensor]:
    """Logits and probabilities (N, classes) of images (N, C, H, W)."""
    inputs = model.data_preprocessor(dict(inputs=images))['inputs']
    logits = model(inputs, mode='tensor')
    return logits, (logits / temperature).softmax(1)


class _Exported(nn.Module):
    """Copy of a model; maps levels in RGB to logits and probabilities."""

    def __init__(
        self, model: BaseModel, takes_bgr: bool, temperature: float
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.model = copy.deepcopy(model).requires_grad_(False)
        head = getattr(self.model, 'head', nn.Module())
        for name, _ in list(head.named_children()):
            if is_only_for_training(name):
                setattr(head, name, None)
        if takes_bgr:  # the exported model gets RGB
            preprocessor = self.model.data_preprocessor
            preprocessor.to_rgb = not preprocessor.to_rgb

    def forward(self, images: Tensor) -> Tuple[Tensor, Tensor]:
        return _outputs(self.model, images, self.temperature)


def _examine_pipeline(
    predictor: Predictor,
) -> Tuple[Tuple[int, int, int], bool]:
    """Shape (C, H, W) of the test pipeline's images; whether they are BGR."""
    red = np.zeros((256, 256, 3), np.uint8)
    red[..., 2] = 255  # in BGR, as images are loaded
    size = red.shape[:2]
    pipeline = predictor.inferencer.pipeline
    inputs = pipeline(dict(img=red, img_shape=size, ori_shape=size))['inputs']
    means = inputs.float().mean((1, 2))  # (C,)
    return tuple(inputs.shape), len(means) == 3 and bool(means[2] > means[0])


def _example_images(shape: Tuple[int, int, int]) -> Tensor:
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


def _export_program(module: _Exported, images: Tensor) -> ExportedProgram:
    """Export for any number of images of the size of ``images`` (2, ...)."""
    shapes = dict(images={0: torch.export.Dim('batch')})
    with torch.no_grad(), standard_operators():
        program = torch.export.export(
            module, (images,), dynamic_shapes=shapes, strict=False
        )
    for part in program.graph_module.modules():
        if isinstance(part, GraphModule):
            for node in part.graph.nodes:  # it holds paths of this machine
                node.meta.pop('stack_trace', None)
    return program


def _to_onnx(
    program: ExportedProgram, metadata: Dict[str, str], opset: Optional[int]
) -> bytes:
    """Content of an ONNX file, with the metadata as its properties."""
    import onnx

    exported = torch.onnx.export(
        program,
        dynamo=True,
        verbose=False,
        input_names=['images'],
        output_names=list(OUTPUTS),
        dynamic_shapes=dict(images={0: 'batch'}),  # its name
        opset_version=opset,
        external_data=False,
        optimize=True,
    )
    assert exported is not None  # as it is without dynamo
    proto = exported.model_proto
    onnx.helper.set_model_props(proto, metadata)
    content: bytes = proto.SerializeToString()
    return content


def _to_pt2(
    program: ExportedProgram, metadata: Dict[str, str], _: Optional[int]
) -> bytes:
    """Content of a .pt2 file, with the metadata as extra files."""
    file = io.BytesIO()
    torch.export.save(program, file, extra_files=metadata)
    return file.getvalue()


def _run_onnx(content: bytes) -> Outputs:
    """The model of an ONNX file, run by onnxruntime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(
        content, providers=['CPUExecutionProvider']
    )
    return lambda images: [
        torch.from_numpy(output)
        for output in session.run(OUTPUTS, dict(images=images.numpy()))
    ]


def _run_pt2(content: bytes) -> Outputs:
    """The model of a .pt2 file."""
    return torch.export.load(io.BytesIO(content)).module()


_Convert = Callable[[ExportedProgram, Dict[str, str], Optional[int]], bytes]
EXPORTERS: Dict[str, Tuple[_Convert, Callable[[bytes], Outputs]]] = {
    '.onnx': (_to_onnx, _run_onnx),
    '.pt2': (_to_pt2, _run_pt2),
}


@torch.no_grad()
def _largest_difference(
    exported: Outputs,
    model: BaseModel,
    images: Tensor,
    takes_bgr: bool,
    temperature: float,
) -> float:
    """Largest difference of the outputs, relative to the largest output."""
    differences = []
    for batch in (images[:1], images):
        own = batch.flip(1) if takes_bgr else batch
        expected = _outputs(model, own, temperature)
        for ours, theirs in zip(expected, exported(batch)):
            largest = ours.abs().max().clamp(min=1e-30)  # all may be 0
            differences.append((ours - theirs).abs().max() / largest)
    return torch.stack(differences).max().item()  # NaN if one is NaN


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide what the exporters log for their developers."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        logging.disable(logging.NOTSET)


def _describe(
    model: BaseModel,
    shape: Tuple[int, int, int],
    num_classes: int,
    preprocessing: str,
) -> Dict[str, str]:
    """Metadata of the file, as JSON or text."""
    size = ', '.join(map(str, shape))
    colours = 'RGB' if shape[0] == 3 else 'grey'
    pipeline = model._config.test_dataloader.dataset.pipeline
    head = getattr(model, 'head', None)
    return dict(
        classes=json.dumps(class_names(model, num_classes)),
        images=f'(N, {size}), float32, {colours}, levels from 0 to 255',
        pipeline=json.dumps(pipeline, default=str),
        preprocessing=preprocessing,
        posthoc_tau=str(getattr(head, 'posthoc_tau', 0.0)),
    )


def check_packages(out: Path) -> None:
    """Raise an InputError if packages that the format needs are missing."""
    if digit_version(torch.__version__) < digit_version('2.7'):
        raise InputError(
            f'exporting needs a torch newer than 2.6, got {torch.__version__}'
        )
    needed = _ONNX_PACKAGES if out.suffix == '.onnx' else ()
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        raise InputError(
            f'{out.suffix} files need {", ".join(missing)}: '
            "pip install 'bcl-mm[export]'"
        )


def export_model(
    model: BaseModel,
    out: Path,
    *,
    shape: Optional[Sequence[int]] = None,
    opset: Optional[int] = None,
    calibration: Optional[Calibration] = None,
) -> Dict[str, Any]:
    """Export a model, and compare it with the original before writing it.

    The exported model takes ``images`` (N, C, H, W), float32 levels from 0
    to 255, RGB or grey, which it normalises itself; it gives ``logits`` and
    ``probabilities`` (N, classes). What only training needs is left out.

    Args:
        model: Of :func:`~bcl_mm.apis.inference.load_model`, on the CPU: the
            file is bound to the device of the model.
        out: The file, ``.onnx`` or ``.pt2`` (torch.export).
        shape: Size (H, W) of the images. Defaults to None: the size that
            the test pipeline gives.
        opset: Version of ONNX's operators. Defaults to None: torch's choice.
        calibration: Its temperature divides the logits before the
            probabilities are computed; the threshold stands in the metadata.
            Defaults to None: 1 and 0.

    Returns:
        ``num_bytes``, ``num_classes``, ``difference`` (the largest, relative
        to the largest output), and ``images``, ``posthoc_tau``,
        ``temperature`` and ``threshold`` of the file;
        ``problem``: why
        :func:`~bcl_mm.utils.preprocessing.preprocess` cannot prepare images
        for it, None if it can.

    Raises:
        InputFileError: The file cannot be written.
        InputValueError: The exported model differs from the original.
        InputError: A package is missing, or torch is too old.

    Example:
        The model of :func:`~bcl_mm.apis.training.train`'s example, which
        ``torch.export.load`` reads:

        >>> from bcl_mm.apis.inference import load_model
        >>> _, model = load_model('digits', device='cpu')
        >>> file = export_model(model, Path('digits.pt2'))
        >>> file['num_classes'], file['images'][:12], file['difference'] < 1e-4
        (10, '(N, 1, 8, 8)', True)
        >>> exported = torch.export.load('digits.pt2').module()
        >>> logits, probabilities = exported(torch.zeros(4, 1, 8, 8))
        >>> logits.shape, probabilities.sum(1).round(decimals=4)
        (torch.Size([4, 10]), tensor([1., 1., 1., 1.]))
    """
    check_packages(out)
    predictor = Predictor(model)
    (channels, *size), takes_bgr = _examine_pipeline(predictor)
    height, width = shape or size
    full_shape = channels, height, width
    images = _example_images(full_shape)
    convert, load = EXPORTERS[out.suffix]
    temperature = calibration.temperature if calibration else 1.0
    threshold = calibration.threshold if calibration else 0.0
    with _quiet():
        exported = _Exported(model, takes_bgr, temperature)
        program = _export_program(exported, images[:2])
        num_classes = program.module()(images)[0].shape[1]
        preprocessing = describe_preprocessing(
            predictor, full_shape, takes_bgr
        )
        metadata = _describe(model, full_shape, num_classes, preprocessing)
        metadata['temperature'] = str(temperature)
        metadata['threshold'] = str(threshold)
        content = convert(program, metadata, opset)
    difference = _largest_difference(
        load(content), model, images, takes_bgr, temperature
    )
    if not difference <= TOLERANCE:  # NaN fails, too
        raise InputValueError(
            f'the exported model differs from the PyTorch model by '
            f'{difference:.1e} (relative), more than {TOLERANCE:.0e}, and '
            'nothing was written'
        )
    write_atomically(content, out)
    return dict(
        num_bytes=len(content),
        num_classes=num_classes,
        difference=difference,
        images=metadata['images'],
        posthoc_tau=metadata['posthoc_tau'],
        temperature=metadata['temperature'],
        threshold=metadata['threshold'],
        problem=json.loads(preprocessing).get('problem'),
    )
