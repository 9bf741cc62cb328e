"""Images as an exported model takes them, with NumPy and Pillow alone.

This file stands alone: copy it to where the exported model runs. (Its errors
are therefore plain ValueErrors.) The loader of training and testing shares
it, so that both see the same pixels.
"""

from __future__ import annotations

import contextlib
import json
import os
import warnings
from io import BytesIO
from typing import Any, Dict, Iterator, List, Mapping, Optional, Union

import numpy as np
from PIL import Image, ImageOps

_JPEG, _PNG = b'\xff\xd8', b'\x89PNG\r\n\x1a\n'
_ORIENTATION = 0x0112  # its tag in EXIF
# What undoes each orientation.
_TRANSPOSE = Image.Transpose
_UPRIGHT = {
    2: _TRANSPOSE.FLIP_LEFT_RIGHT,
    3: _TRANSPOSE.ROTATE_180,
    4: _TRANSPOSE.FLIP_TOP_BOTTOM,
    5: _TRANSPOSE.TRANSPOSE,
    6: _TRANSPOSE.ROTATE_270,
    7: _TRANSPOSE.TRANSVERSE,
    8: _TRANSPOSE.ROTATE_90,
}
EXCHANGES_AXES = {_UPRIGHT[i] for i in (5, 6, 7, 8)}
# Weights of red, green and blue in grey (ITU-R 601), times 2^15, as OpenCV's.
_LUMA = np.array([9798, 19235, 3735])


def _start_of_scan(content: bytes) -> int:
    """Offset of a JPEG's first scan; -1 if it has none."""
    at = 2
    while content[at : at + 1] == b'\xff':
        marker = content[at + 1 : at + 2]
        if marker == b'\xda':
            return at
        if marker == b'\xff':  # a fill byte
            at += 1
        else:
            at += 2 + int.from_bytes(content[at + 2 : at + 4], 'big')
    return -1


def is_cut_short(content: bytes) -> bool:
    """Whether a JPEG or PNG lacks its end; False for other formats.

    Decoders fill what is missing with grey, some of them silently. The
    check takes microseconds, as it only looks for markers. The end of a
    thumbnail, before the first scan, does not count; bytes after the end do
    no harm.

    Args:
        content: Bytes of an image file.
    """
    if content.startswith(_JPEG):
        start = _start_of_scan(content)
        return start < 0 or content.rfind(b'\xff\xd9', start) < 0
    return content.startswith(_PNG) and content.rfind(b'IEND') < 0


def upright_turn(data: bytes) -> Optional[Image.Transpose]:
    """What turns an image upright; None if nothing does.

    Args:
        data: EXIF data, which may be empty.
    """
    exif = Image.Exif()
    with contextlib.suppress(Exception):  # damaged: upright, as with OpenCV
        exif.load(data)
        return _UPRIGHT.get(exif.get(_ORIENTATION, 1))
    return None


def _turn_upright(image: Image.Image) -> Image.Image:
    """Turn an image as its EXIF data say.

    (Pillow's exif_transpose also obeys XMP data, which OpenCV does not.)
    """
    if image.format == 'TIFF':  # whose tags are the EXIF data
        return ImageOps.exif_transpose(image)
    turn = upright_turn(image.info.get('exif', b''))
    return image if turn is None else image.transpose(turn)


def to_rgb(image: Image.Image) -> np.ndarray:
    """Pixels of an image of any kind, upright.

    Of 16 bits the upper 8 are kept. Transparency is dropped, and pixels keep
    the colour stored beneath it.

    Args:
        image: An image that was opened.

    Returns:
        (H, W, 3) uint8, RGB.

    Raises:
        ValueError: It has samples of 32 bits, which have no known range.
        OSError: It is damaged.
    """
    image.load()
    kind = image.format
    image = _turn_upright(image)
    is_deep = image.mode.startswith('I')
    if image.mode == 'F' or (image.mode == 'I' and kind not in ('PNG', 'PPM')):
        raise ValueError(
            'it has samples of 32 bits: convert it to 8 or 16 bits'
        )
    if is_deep:
        levels = np.asarray(image).astype(np.int64) >> 8
        return np.repeat(levels.astype(np.uint8)[..., None], 3, axis=2)
    image.info.pop('transparency', None)  # of which Pillow would warn
    return np.asarray(image.convert('RGB'))


@contextlib.contextmanager
def _naming(image: Any) -> Iterator[None]:
    """Say which image an error is about."""
    name = 'the image' if isinstance(image, bytes) else f'image {image!r}'
    try:
        yield
    except Exception as error:  # each of Pillow's decoders has its own
        raise ValueError(f'{name} cannot be used: {error}') from error


def load_rgb(image: Union[str, os.PathLike, bytes]) -> np.ndarray:
    """Load an image file.

    Args:
        image: Path, or content, of the file.

    Returns:
        (H, W, 3) uint8, RGB.

    Raises:
        ValueError: It is not an image, is damaged or cut short, or has more
            than 178,956,970 pixels.
    """
    with _naming(image), warnings.catch_warnings():
        # Of half as many pixels.
        warnings.simplefilter('ignore', Image.DecompressionBombWarning)
        if not isinstance(image, bytes):
            if not os.path.isfile(image):
                raise ValueError('it is not a file')
            with open(image, 'rb') as file:
                image = file.read()
        if is_cut_short(image):
            raise ValueError('it is cut short')
        with Image.open(BytesIO(image)) as opened:
            return to_rgb(opened)


def _resized(pixels: np.ndarray, size: List[int], kind: str) -> np.ndarray:
    """Resize (H, W) or (H, W, 3) to (height, width), antialiased."""
    height, width = size
    resampling = Image.Resampling[kind.upper()]
    return np.asarray(
        Image.fromarray(pixels).resize((width, height), resampling)
    )


def resize(pixels: np.ndarray, step: Dict[str, Any]) -> np.ndarray:
    """Resize to ``size`` (height, width)."""
    return _resized(pixels, step['size'], step['filter'])


def resize_edge(pixels: np.ndarray, step: Dict[str, Any]) -> np.ndarray:
    """Resize one edge to ``length``, and the other in proportion."""
    height, width = pixels.shape[:2]
    edge, length = step['edge'], step['length']
    is_width = edge == 'width' or (edge == 'short' and width < height)
    if is_width or (edge == 'long' and width > height):
        size = [int(length * height / width), length]
    else:
        size = [length, int(length * width / height)]
    return _resized(pixels, size, step['filter'])


def center_crop(pixels: np.ndarray, step: Dict[str, Any]) -> np.ndarray:
    """Cut out the centre, of ``size`` (height, width) at most."""
    slices = []
    for length, wanted in zip(pixels.shape, step['size']):
        kept = min(length, wanted)
        start = int(round((length - kept) / 2))
        slices.append(slice(start, start + kept))
    return pixels[tuple(slices)]


def to_grey(pixels: np.ndarray, step: Dict[str, Any]) -> np.ndarray:
    """Weight the colours by luma, to (H, W)."""
    levels = pixels.astype(np.int64) @ _LUMA + 2**14
    return (levels >> 15).astype(np.uint8)


_STEPS = dict(
    resize=resize,
    resize_edge=resize_edge,
    center_crop=center_crop,
    to_grey=to_grey,
)


def preprocess(
    image: Union[str, os.PathLike, bytes], metadata: Mapping[str, str]
) -> np.ndarray:
    """Prepare an image for an exported model.

    Args:
        image: Path, or content, of the file.
        metadata: Those of the exported file; of ONNX,
            ``session.get_modelmeta().custom_metadata_map``.

    Returns:
        (C, H, W) float32 levels from 0 to 255, RGB or grey.

    Raises:
        ValueError: The image cannot be loaded, or the model's preprocessing
            cannot be done by this function; the message says why.
    """
    if 'preprocessing' not in metadata:
        raise ValueError(
            'metadata must have "preprocessing", got only '
            f'{", ".join(sorted(metadata))}: export the model again'
        )
    described = json.loads(metadata['preprocessing'])
    if 'problem' in described:
        raise ValueError(
            f'this model needs other preprocessing: {described["problem"]}'
        )
    pixels = load_rgb(image)
    for step in described['steps']:
        pixels = _STEPS[step['step']](pixels, step)
    if pixels.ndim == 3:
        pixels = pixels.transpose(2, 0, 1)
    return pixels.reshape(-1, *pixels.shape[-2:]).astype(np.float32)
