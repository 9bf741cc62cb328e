"""The test pipeline of a model, described for who runs it without torch."""

from __future__ import annotations

import json
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any, Dict, List, Tuple

import mmpretrain.datasets.transforms as mmpretrain_transforms
import numpy as np
from mmcv.transforms import CenterCrop, Resize
from PIL import Image
from sklearn.datasets import load_sample_images

from bcl_mm.apis.inference import Predictor
from bcl_mm.datasets.transforms import FilesToRGB, PackInputs, ToGrey
from bcl_mm.datasets.transforms.loading import LoadImageFromFile
from bcl_mm.utils.errors import InputValueError
from bcl_mm.utils.preprocessing import preprocess

_PACKING = PackInputs, mmpretrain_transforms.PackInputs


def _describe_step(step: Any) -> Dict[str, Any]:
    """A transform as :func:`preprocess` does it; empty if it does nothing.

    Raises:
        InputValueError: It cannot do it.
    """
    kind = type(step)
    name = kind.__name__
    if kind in (*_PACKING, FilesToRGB):  # all is RGB there
        return {}
    if kind is ToGrey:
        return dict(step='to_grey')
    if kind in (Resize, mmpretrain_transforms.ResizeEdge):
        if step.backend != 'pillow':
            raise InputValueError(
                f"{name} has the backend {step.backend!r}, not 'pillow'"
            )
        if kind is not Resize:
            found = dict(edge=step.edge, length=step.scale)
            return dict(step='resize_edge', filter=step.interpolation, **found)
        if step.scale is None or step.keep_ratio:
            raise InputValueError(f'{name} keeps the ratio of the sides')
        size = list(step.scale)[::-1]
        return dict(step='resize', filter=step.interpolation, size=size)
    if kind is CenterCrop and not step.auto_pad:
        return dict(step='center_crop', size=list(step.crop_size)[::-1])
    raise InputValueError(f'{name}, as it is set, is not one of its steps')


def _describe_loading(load: LoadImageFromFile) -> None:
    """Raise an InputValueError if images are loaded in another way."""
    settings = load.color_type, load.imdecode_backend, load.to_float32
    if settings != ('color', 'cv2', False):
        raise InputValueError(
            'LoadImageFromFile has other settings than those by default'
        )


def _photographs() -> List[bytes]:
    """Two photographs as PNG files, wide and high."""
    files = []
    for turns, photograph in enumerate(load_sample_images().images):
        file = BytesIO()
        Image.fromarray(np.rot90(photograph, turns)).save(file, 'PNG')
        files.append(file.getvalue())
    return files


def describe_preprocessing(
    predictor: Predictor, shape: Tuple[int, int, int], is_bgr: bool
) -> str:
    """Describe a test pipeline for :func:`preprocess`.

    The description is tried on two photographs, pixel for pixel.

    Args:
        predictor: Of the model.
        shape: (C, H, W) of the exported model's images.
        is_bgr: Whether the pipeline gives BGR.

    Returns:
        JSON: ``steps``, or the ``problem`` if that function cannot do it.
    """
    pipeline = predictor.inferencer.pipeline
    try:
        _describe_loading(predictor.load)
        steps = [_describe_step(step) for step in pipeline.transforms]
        text = json.dumps(dict(steps=[step for step in steps if step]))
        for content in _photographs():
            ours = preprocess(content, dict(preprocessing=text))
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, 'photograph.png')
                path.write_bytes(content)
                loaded = predictor.load(dict(img_path=str(path)))
            theirs = pipeline(loaded)['inputs'].numpy()
            theirs = theirs[::-1] if is_bgr else theirs
            if not np.array_equal(ours, theirs):
                raise InputValueError('it gives other pixels on photographs')
            if ours.shape != tuple(shape):
                raise InputValueError(
                    f'the test pipeline gives images of shape {ours.shape}, '
                    f'and the model was exported for {tuple(shape)}'
                )
    except InputValueError as error:
        return json.dumps(dict(problem=str(error)))
    return text
