"""Loading of image files, with errors that name the file."""

from __future__ import annotations

import os
import stat
import struct
import threading
from io import BytesIO
from typing import Any, Tuple

import mmcv
import numpy as np
from mmcv.transforms import LoadImageFromFile as MMCVLoadImageFromFile
from mmengine import fileio
from PIL import Image

from bcl_mm.registry import TRANSFORMS
from bcl_mm.utils.errors import InputValueError, check_number

# Names of image files end with one of these, in any case.
IMAGE_ENDINGS = ('.bmp', '.jpeg', '.jpg', '.pgm', '.png', '.ppm')
IMAGE_ENDINGS += ('.tif', '.tiff', '.webp')
NOT_REGULAR = 'is not a regular file'
_NO_IMAGE = 'is not an image, or is too damaged'
_REMEDY = "shrink it, or raise LoadImageFromFile's max_pixels"
# PIL's own limit is global; ours holds for one loader.
_PIL_LIMIT = threading.Lock()
_JPEG, _PNG = b'\xff\xd8', b'\x89PNG\r\n\x1a\n'


def is_image_name(name: str) -> bool:
    """Whether a file is an image, judged by the ending of its name."""
    return name.lower().endswith(IMAGE_ENDINGS)


class CorruptImageError(InputValueError):
    """An image cannot be loaded; the message gives its path and the cause.

    (The message is its only argument: the main process rebuilds a data
    worker's error from its text.)
    """


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


def _size_by_pil(content: bytes) -> Tuple[int, int]:
    """Width and height of an image of any size, from its header."""
    with _PIL_LIMIT:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            with Image.open(BytesIO(content)) as image:
                return image.size
        finally:
            Image.MAX_IMAGE_PIXELS = limit


@TRANSFORMS.register_module()
class LoadImageFromFile(MMCVLoadImageFromFile):
    """mmcv's transform, with an error that names what cannot be loaded.

    It refuses files that are unreadable, empty, not regular (a FIFO never
    ends), cut short (see :func:`is_cut_short`), too large or not
    images. (Depending on OpenCV's version, mmcv's transform accepts a grey
    remainder.) Whatever the file holds (grey, palette, 16 bits, CMYK, alpha),
    the image is (H, W, 3) uint8, BGR. Alpha is dropped, and pixels keep the
    colour stored beneath it, as with PIL's ``convert('RGB')``.

    It has mmcv's name because mmpretrain's inferencer removes the step of
    this name from a pipeline. In a config:
    ``dict(type='LoadImageFromFile', _scope_='bcl_mm')``.

    Args:
        max_pixels: Width times height of an image, at most (a file of a few
            kilobytes can decode to gigabytes). A file may have 16 bytes for
            each pixel, and 16 MiB of metadata. Defaults to 178,956,970, as
            in PIL.
        **kwargs: Arguments of mmcv's transform, except ``ignore_empty``.

    Raises:
        InputTypeError: ``max_pixels`` is not a whole number.
        InputValueError: ``max_pixels < 1``, or ``ignore_empty`` is given: it
            replaces images silently.
    """

    def __init__(self, max_pixels: int = 178_956_970, **kwargs: Any) -> None:
        check_number('max_pixels', max_pixels, at_least=1, whole=True)
        self.max_pixels = max_pixels
        if kwargs.get('ignore_empty'):
            raise InputValueError(
                'ignore_empty must be False, got True: it replaces images '
                'silently. CorruptImageHook(on_corrupt="skip") leaves them '
                'out and lists them'
            )
        super().__init__(**kwargs)

    def read(self, path: str) -> bytes:
        """Bytes of an image file.

        Raises:
            CorruptImageError: The file is unreadable, empty, not regular,
                cut short, or larger than allowed.
        """
        problem = ''
        try:
            # Not through FileClient, mmcv's older way.
            backend = fileio.get_file_backend(
                path, backend_args=self.backend_args, enable_singleton=True
            )
            if isinstance(backend, fileio.LocalBackend):
                problem = self._problem_of_file(os.stat(path))
            content = b'' if problem else bytes(backend.get(path))
        except (OSError, ValueError) as error:  # ValueError: a null byte
            cause = getattr(error, 'strerror', None) or error
            raise _corrupt(path, f'cannot be read: {cause}') from error
        if problem:
            raise _corrupt(path, problem)
        if not content:
            raise _corrupt(path, 'is empty')
        if is_cut_short(content):
            end = f'it ends after {len(content)} bytes'
            raise _corrupt(path, f'is cut short: {end}')
        if self.imdecode_backend != 'tifffile':  # which reads more than PIL
            self._check_pixels(path, content)
        return content

    def _problem_of_file(self, status: os.stat_result) -> str:
        """Say why a local file must not be opened; empty if it may."""
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            return NOT_REGULAR
        most = 16 * self.max_pixels + 2**24
        if status.st_size <= most:
            return ''
        return f'has {status.st_size:,} bytes, more than {most:,}: {_REMEDY}'

    def _check_pixels(self, path: str, content: bytes) -> None:
        """Refuse an image that is too large, or that PIL does not know."""
        try:  # from the header
            if content.startswith(_PNG):  # PIL refuses some, for metadata
                width, height = struct.unpack('>II', content[16:24])
            else:
                width, height = _size_by_pil(content)
        except Exception as error:  # each decoder has its own
            raise _corrupt(path, _NO_IMAGE) from error
        if width * height > self.max_pixels:
            raise _corrupt(
                path,
                f'has {width} x {height} pixels, more than max_pixels='
                f'{self.max_pixels:,}: {_REMEDY}',
            )

    def decode(self, path: str, content: bytes) -> np.ndarray:
        """Pixels of an image: (H, W, 3) uint8 BGR, by default.

        Args:
            path: Name of the image in an error.
            content: Bytes of its file.

        Raises:
            CorruptImageError: They cannot be decoded.
        """
        flag, backend = self.color_type, self.imdecode_backend
        try:
            img = mmcv.imfrombytes(content, flag=flag, backend=backend)
        except Exception as error:  # each decoder has its own
            raise _corrupt(path, f'cannot be decoded: {error}') from error
        if img is None:
            raise _corrupt(path, _NO_IMAGE)
        return img.astype(np.float32) if self.to_float32 else img

    def transform(self, results: dict) -> dict:
        """Load ``results['img_path']``.

        Raises:
            CorruptImageError: The image cannot be loaded.
        """
        path = results['img_path']
        results['img'] = self.decode(path, self.read(path))
        results['img_shape'] = results['ori_shape'] = results['img'].shape[:2]
        return results


def _corrupt(path: str, cause: str) -> CorruptImageError:
    # repr: a name that is not UTF-8 could not be printed.
    return CorruptImageError(f'image {path!r} {cause}')
