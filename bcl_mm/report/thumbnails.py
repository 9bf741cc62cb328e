"""Small pictures of test images, for the page."""

from __future__ import annotations

import base64
import sys
from io import BytesIO
from typing import Any, Callable, Optional, Sequence

import numpy as np
from mmengine.config import Config
from mmengine.registry import DATASETS
from PIL import Image

from bcl_mm.apis.inference import load_test_config
from bcl_mm.apis.runs import TrainedRun
from bcl_mm.datasets.transforms.loading import LoadImageFromFile

SIZE = 64  # pixels
_LOADER = LoadImageFromFile()
# From the index of a test image to the address of its picture, if it has one.
Pictures = Callable[[int], Optional[str]]


class Thumbnails:
    """Pictures of a config's test images, as ``data:`` addresses.

    Args:
        cfg: The config.
    """

    def __init__(self, cfg: Config) -> None:
        dataset = dict(cfg.test_dataloader.dataset)
        self._dataset = DATASETS.build(dict(dataset, pipeline=[]))
        # The order of images in memory; files are loaded as BGR.
        self._is_bgr = bool(cfg.get('data_preprocessor', {}).get('to_rgb'))

    def __call__(self, index: int) -> Optional[str]:
        """Address of a picture; None if the image cannot be loaded."""
        info: dict = self._dataset.get_data_info(index)
        try:
            if info.get('img') is not None:
                image = self._from_array(info['img'])
            else:
                loaded = _LOADER.transform(dict(img_path=info['img_path']))
                image = Image.fromarray(loaded['img'][..., ::-1])
        except ValueError:
            return None
        return address_of(image)

    def _from_array(self, pixels: Any) -> Image.Image:
        pixels = np.squeeze(np.asarray(pixels))
        if pixels.ndim == 3 and self._is_bgr:
            pixels = np.ascontiguousarray(pixels[..., ::-1])
        return Image.fromarray(pixels)


def address_of(image: Image.Image) -> str:
    """``data:`` address of a picture of at most SIZE pixels a side."""
    scale = SIZE / max(image.size)
    size = [max(1, round(side * scale)) for side in image.size]
    enlarge = Image.Resampling.NEAREST, 'PNG'
    resample, kind = enlarge if scale > 1 else (Image.Resampling.BOX, 'JPEG')
    stream = BytesIO()
    image.convert('RGB').resize(size, resample).save(stream, kind)
    code = base64.b64encode(stream.getvalue()).decode()
    return f'data:image/{kind.lower()};base64,{code}'


def pictures_of(
    run: TrainedRun, cfg_options: Optional[Sequence[str]] = None
) -> Pictures:
    """Pictures of a run's test images; none if these no longer exist."""
    try:
        cfg = load_test_config(run.config, run.checkpoint, cfg_options)
        return Thumbnails(cfg)
    except OSError as error:
        print(f'No test images are shown: {error}', file=sys.stderr)
        return lambda index: None
