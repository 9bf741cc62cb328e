"""What a check keeps of an image: hashes and a few figures."""

from __future__ import annotations

import hashlib
import os.path as osp
import warnings
from io import BytesIO
from typing import Tuple

import cv2
import imagehash
import numpy as np
from PIL import Image, UnidentifiedImageError

from bcl_mm.datasets.transforms import loading

_LOADER = loading.LoadImageFromFile()  # as the configs load images
_TOP_LEFT, _ORIENTATION, _BITS_PER_SAMPLE = 1, 274, 258  # of EXIF and TIFF
_MODE_BITS = {'1': 1, 'I': 32, 'F': 32}  # others have 8, or say so
_MIN_SIDE = 8  # pixels; the thumbnail has as many
_MIN_SPREAD = 2.0  # grey levels, standard deviation

# One row for each image, about 250 bytes.
FINGERPRINT = np.dtype(
    [
        # Whether the image was decoded. If not, all is 0.
        ('known', '?'),
        # SHA-256 of shape and pixels, the first half.
        ('digest', 'u8', 2),
        # Whether the fields below can tell images from each other: this one
        # is neither tiny nor nearly of one colour.
        ('comparable', '?'),
        ('is_flat', '?'),
        # Perceptual hashes of the image and of its mirror image.
        ('hash', 'u8'),
        ('mirrored', 'u8'),
        ('thumbnail', 'u1', (8, 8, 3)),
        # Of the file; width and height as stored, before EXIF turns them.
        ('width', 'i4'),
        ('height', 'i4'),
        ('format', 'S6'),
        ('mode', 'S6'),
        ('bits', 'u1'),
        ('is_turned', '?'),
    ]
)


def _perceptual_hash(grey: np.ndarray) -> np.ndarray:
    """The pHash, imagehash's, of a (32, 32) image: () uint64."""
    bits = imagehash.phash(Image.fromarray(grey)).hash
    return np.packbits(bits).view('>u8')[0]


def _is_flat(pixels: np.ndarray) -> bool:
    """Whether all pixels have one colour."""
    some = pixels[::16, ::16]  # which is enough for most images
    return bool(
        (some == pixels[0, 0]).all() and (pixels == pixels[0, 0]).all()
    )


def fingerprint(pixels: np.ndarray, fast: bool = False) -> np.ndarray:
    """Fingerprint of an image, without the fields of its file.

    Args:
        pixels: (H, W, 3) uint8, BGR, or (H, W) or (H, W, 1) grey.
        fast: Whether to leave out all but the digest. Defaults to False.

    Returns:
        () ``FINGERPRINT``.
    """
    row = np.zeros((), FINGERPRINT)
    # Two images of other shapes may have the same bytes.
    digest = hashlib.sha256(str((pixels.shape, pixels.dtype)).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    row['known'] = True
    row['digest'] = np.frombuffer(digest.digest()[:16], np.uint64)
    row['height'], row['width'] = pixels.shape[:2]
    row['is_flat'] = _is_flat(pixels)
    if fast or pixels.dtype != np.uint8 or min(pixels.shape[:2]) < _MIN_SIDE:
        return row
    small = cv2.resize(pixels, (32, 32), interpolation=cv2.INTER_AREA)
    grey = small
    if small.ndim == 3:
        grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
    row['thumbnail'] = small.reshape(8, 4, 8, 4, -1).mean(axis=(1, 3)).round()
    row['comparable'] = grey.std() >= _MIN_SPREAD
    row['hash'] = _perceptual_hash(grey)
    row['mirrored'] = _perceptual_hash(np.ascontiguousarray(grey[:, ::-1]))
    return row


def _describe_file(row: np.ndarray, content: bytes) -> None:
    """Fill in the fields of a file, from its header."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # about metadata
        try:
            with Image.open(BytesIO(content)) as image:
                row['width'], row['height'] = image.size
                row['format'], row['mode'] = image.format, image.mode
                bits = _MODE_BITS.get(image.mode, 8)
                if image.mode.startswith('I;16'):
                    bits = 16
                # PIL reads others with 16 bits as if they had 8.
                if image.format == 'PNG':
                    bits = content[24]
                elif image.format == 'TIFF':
                    bits = max(image.tag_v2.get(_BITS_PER_SAMPLE, (bits,)))
                row['bits'] = bits
                # Only a PNG's pixels would be read for it.
                if image.format != 'PNG' or 'exif' in image.info:
                    turned = image.getexif().get(_ORIENTATION, _TOP_LEFT)
                    row['is_turned'] = turned != _TOP_LEFT
        except Exception:  # decoded all the same: PIL reads no such metadata
            row['format'] = row['format'] or b'other'


def _why_not_decoded(content: bytes) -> str:
    """Say why training cannot decode an image, as PIL sees it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # about metadata
            with Image.open(BytesIO(content)) as image:
                image.load()
    except UnidentifiedImageError:
        return 'is not an image'
    except Exception as error:  # each decoder has its own
        return f'cannot be decoded: {error}'
    kind = f'{image.format} of mode {image.mode}'
    return f'is {kind}, which training cannot decode: convert it'


def check_image(path: str, fast: bool = False) -> Tuple[str, np.ndarray]:
    """Read and decode an image once, as training does.

    Args:
        path: Its path.
        fast: Only check that the file exists and is not empty.

    Returns:
        What is wrong with it (``'is missing'``), or an empty text; and its
        () ``FINGERPRINT``, which is all 0 if the image was not decoded.
    """
    unknown = np.zeros((), FINGERPRINT)
    if not osp.isfile(path):
        problem = loading.NOT_REGULAR if osp.exists(path) else 'is missing'
        return 'is a folder' if osp.isdir(path) else problem, unknown
    if fast:
        return '' if osp.getsize(path) else 'is empty', unknown
    try:
        content = _LOADER.read(path)
    except loading.CorruptImageError as error:
        if isinstance(error.__cause__, UnidentifiedImageError):
            return 'is not an image', unknown
        return str(error).removeprefix(f'image {path!r} '), unknown
    try:
        row = fingerprint(_LOADER.decode(path, content))
    except loading.CorruptImageError:
        return _why_not_decoded(content), unknown
    _describe_file(row, content)
    return '', row
