"""Small pictures of test images, for the page."""

from __future__ import annotations

import base64
import sys
from io import BytesIO
from typing import Callable, Optional, Sequence

import numpy as np
from mmengine.registry import DATASETS
from PIL import Image

from bcl_mm.apis.inference import load_test_config
from bcl_mm.apis.runs import TrainedRun
from bcl_mm.datasets.transforms.loading import LoadImageFromFile
from bcl_mm.utils.errors import described, visible

SIZE = 64  # pixels, on the page
LARGEST = 256  # pixels, in files
# From the index of a test image to the image, if it can be loaded.
Pictures = Callable[[int], Optional[Image.Image]]


def data_address(content: bytes, kind: str, family: str = 'image') -> str:
    """``data:`` address of a file of this kind, such as ``'png'``."""
    return f'data:{family}/{kind};base64,{base64.b64encode(content).decode()}'


def address_of(image: Image.Image) -> str:
    """``data:`` address of a picture; its longer side has SIZE pixels."""
    scale = SIZE / max(image.size)
    size = [max(1, round(side * scale)) for side in image.size]
    enlarge = Image.Resampling.NEAREST, 'png'
    resample, kind = enlarge if scale > 1 else (Image.Resampling.BOX, 'jpeg')
    stream = BytesIO()
    image.convert('RGB').resize(size, resample).save(stream, kind)
    return data_address(stream.getvalue(), kind)


def pictures_of(
    run: TrainedRun, cfg_options: Optional[Sequence[str]] = None
) -> Pictures:
    """Pictures of a run's test images; none if these no longer exist."""
    try:
        cfg = load_test_config(run.cfg, run.checkpoint, cfg_options)
        config = dict(cfg.test_dataloader.dataset, pipeline=[])
        dataset = DATASETS.build(config)
        # The order of images in memory; files are loaded as BGR.
        is_bgr = bool((cfg.get('data_preprocessor') or {}).get('to_rgb'))
    except Exception as error:  # of a config or data from elsewhere
        reason = str(error) or described(error)
        note = visible(f'No test images are shown: {reason}')
        print(note, file=sys.stderr)
        return lambda index: None
    load = LoadImageFromFile().transform

    def picture(index: int) -> Optional[Image.Image]:
        """The image; None if it cannot be loaded."""
        try:
            info = dataset.get_data_info(index)
            if info.get('img') is None:
                pixels = load(dict(img_path=info['img_path']))['img']
            else:
                pixels = np.squeeze(np.asarray(info['img']))
            if pixels.ndim == 3 and (is_bgr or info.get('img') is None):
                pixels = np.ascontiguousarray(pixels[..., ::-1])
            image = Image.fromarray(pixels)
            image.thumbnail((LARGEST, LARGEST))
            return image
        except Exception:  # perhaps the data have changed
            return None

    return picture
