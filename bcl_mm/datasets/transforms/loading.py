"""Loading of image files, with errors that name the file."""

from __future__ import annotations

import contextlib
import os
import stat
import struct
import threading
from functools import partial
from io import BytesIO
from typing import Any, Iterator, NamedTuple, Optional

import cv2
import mmcv
import numpy as np
from mmcv.transforms import LoadImageFromFile as MMCVLoadImageFromFile
from mmengine import fileio
from PIL import Image

from bcl_mm.datasets.transforms.encoded import EncodedImage
from bcl_mm.registry import TRANSFORMS
from bcl_mm.utils.errors import InputValueError, check_number
from bcl_mm.utils.memory import keep_freed_memory
from bcl_mm.utils.preprocessing import (
    EXCHANGES_AXES,
    is_cut_short,
    to_rgb,
    upright_turn,
)

# Names of image files end with one of these, in any case.
IMAGE_ENDINGS = (
    *('.bmp', '.jfif', '.jpe', '.jpeg', '.jpg', '.pgm'),
    *('.png', '.ppm', '.tif', '.tiff', '.webp'),
)
# These are images, too, but not read: the names of what data sets have.
OTHER_IMAGE_ENDINGS = (
    *('.avif', '.gif', '.heic', '.heif'),
    *('.jp2', '.jxl', '.svg'),
)
NOT_REGULAR = 'is not a regular file'
_NO_IMAGE = 'is not an image, or is too damaged'
_REMEDY = "shrink it, or raise LoadImageFromFile's max_pixels"
# PIL's own limit is global; ours holds for one loader.
_PIL_LIMIT = threading.Lock()
_JPEG, _PNG = b'\xff\xd8', b'\x89PNG\r\n\x1a\n'
_TIFF = b'II*\0', b'MM\0*', b'II+\0', b'MM\0+'
# OpenCV 4.11, the last one for numpy 1, reads no GIF and turns no WebP.
_IS_OLD_OPENCV = int(cv2.__version__.split('.')[0]) < 5


def is_image_name(name: str) -> bool:
    """Whether a file is an image, judged by the ending of its name."""
    return name.lower().endswith(IMAGE_ENDINGS)


class CorruptImageError(InputValueError):
    """An image cannot be loaded; the message gives its path and the cause.

    (The message is its only argument: the main process rebuilds a data
    worker's error from its text.)
    """


class _Frame(NamedTuple):
    """What a JPEG's header says."""

    height: int
    width: int
    components: int  # of a colour
    exif: bytes  # empty if it has none


def _frame(content: bytes) -> Optional[_Frame]:
    """Header of a JPEG; None if it does not tell."""
    at, exif = 2, b''
    while content[at : at + 1] == b'\xff' and at + 9 < len(content):
        marker = content[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker & 0xF0 == 0xC0 and marker not in (0xC4, 0xC8, 0xCC):
            height, width, components = struct.unpack_from(
                '>HHB', content, at + 5
            )
            return _Frame(height, width, components, exif)
        end = at + 2 + int.from_bytes(content[at + 2 : at + 4], 'big')
        if marker == 0xE1 and content.startswith(b'Exif', at + 4):
            exif = exif or content[at + 4 : end]
        at = end
    return None


def _is_for_pillow(content: bytes) -> bool:
    """Whether Pillow decodes an image, and not OpenCV, which is faster.

    OpenCV multiplies the colours of a TIFF by its transparency, ignores a
    PGM's largest level, and rounds CMYK in its own way. Of all other kinds
    both give the same pixels.
    """
    is_netpbm = content[:1] == b'P' and content[1:2].isdigit()
    if is_netpbm or content[:4] in _TIFF:
        return True
    if content[:4] == b'GIF8' or content[8:12] == b'WEBP':
        return _IS_OLD_OPENCV
    frame = _frame(content) if content.startswith(_JPEG) else None
    return frame is not None and frame.components == 4


def _decode_small(content: bytes, factor: int) -> Optional[np.ndarray]:
    """(H / factor, W / factor, 3) of a JPEG, BGR, upright; None if damaged."""
    frame = _frame(content)
    if frame is None:
        return None
    flag = getattr(cv2, f'IMREAD_REDUCED_COLOR_{factor}')
    flag |= cv2.IMREAD_IGNORE_ORIENTATION
    img = cv2.imdecode(np.frombuffer(content, np.uint8), flag)
    turn = upright_turn(frame.exif)
    if img is None or turn is None:
        return img
    return np.asarray(Image.fromarray(img).transpose(turn))


@contextlib.contextmanager
def _opened_by_pil(content: bytes) -> Iterator[Image.Image]:
    """An image of any size, of which the header has been read."""
    with _PIL_LIMIT:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(BytesIO(content))
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    with image:
        yield image


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
        decode_for_crops: Whether a JPEG is decoded by the first
            :class:`RandomResizedCrop`, or by :class:`MultiView`, which must
            come next: at a half, a quarter or an eighth of its size if its
            crops have more than that many pixels to spare. (Of other files,
            and smaller ones, nothing changes.) Decoder and resize then share
            the antialiasing, so that pixels differ a little. Defaults to
            False.
        **kwargs: Arguments of mmcv's transform, except ``ignore_empty``.

    Raises:
        InputTypeError: ``max_pixels`` is not a whole number.
        InputValueError: ``max_pixels < 1``, or ``ignore_empty`` is given: it
            replaces images silently.

    Example:
        >>> cv2.imwrite('grey.png', np.zeros((4, 6), np.uint8))
        True
        >>> LoadImageFromFile()(dict(img_path='grey.png'))['img'].shape
        (4, 6, 3)
    """

    def __init__(
        self,
        max_pixels: int = 178_956_970,
        decode_for_crops: bool = False,
        **kwargs: Any,
    ) -> None:
        check_number('max_pixels', max_pixels, at_least=1, whole=True)
        self.max_pixels = max_pixels
        self.decode_for_crops = decode_for_crops
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
        self.check(path, content)
        return content

    def check(self, path: str, content: bytes) -> None:
        """Refuse bytes that must not be decoded.

        Args:
            path: Name of the image in an error.
            content: Bytes of its file, or of its member of an archive.

        Raises:
            CorruptImageError: They are empty, cut short, or more than
                allowed.
        """
        problem = self._problem_of_size(len(content))
        if problem:
            raise _corrupt(path, problem)
        if not content:
            raise _corrupt(path, 'is empty')
        if is_cut_short(content):
            end = f'it ends after {len(content)} bytes'
            raise _corrupt(path, f'is cut short: {end}')
        if self.imdecode_backend != 'tifffile':  # which reads more than PIL
            self._check_pixels(path, content)

    def _problem_of_file(self, status: os.stat_result) -> str:
        """Say why a local file must not be opened; empty if it may."""
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            return NOT_REGULAR
        return self._problem_of_size(status.st_size)

    def _problem_of_size(self, size: int) -> str:
        most = 16 * self.max_pixels + 2**24
        if size <= most:
            return ''
        return f'has {size:,} bytes, more than {most:,}: {_REMEDY}'

    def _check_pixels(self, path: str, content: bytes) -> None:
        """Refuse an image that is too large, or that PIL does not know."""
        try:  # from the header
            frame = _frame(content) if content.startswith(_JPEG) else None
            if frame and frame.height and frame.width:
                height, width = frame[:2]  # in a tenth of PIL's time
            elif content.startswith(_PNG):  # PIL refuses some, for metadata
                width, height = struct.unpack('>II', content[16:24])
            else:
                with _opened_by_pil(content) as image:
                    width, height = image.size
        except Exception as error:  # each decoder has its own
            raise _corrupt(path, _NO_IMAGE) from error
        if width * height > self.max_pixels:
            raise _corrupt(
                path,
                f'has {width} x {height} pixels, more than max_pixels='
                f'{self.max_pixels:,}: {_REMEDY}',
            )

    def decode(self, path: str, content: bytes, factor: int = 1) -> np.ndarray:
        """Pixels of an image: (H, W, 3) uint8 BGR, by default.

        Args:
            path: Name of the image in an error.
            content: Bytes of its file.
            factor: Shrinks a JPEG by 2, 4 or 8. Defaults to 1.

        Raises:
            CorruptImageError: They cannot be decoded.
        """
        flag, backend = self.color_type, self.imdecode_backend
        by_pillow = (flag, backend) == ('color', 'cv2')
        try:
            if factor > 1:
                img = _decode_small(content, factor)
            elif by_pillow and _is_for_pillow(content):
                with _opened_by_pil(content) as image:
                    img = to_rgb(image)[..., ::-1]
            else:
                img = mmcv.imfrombytes(content, flag=flag, backend=backend)
        except Exception as error:  # each decoder has its own
            raise _corrupt(path, f'cannot be decoded: {error}') from error
        if img is None:
            raise _corrupt(path, _NO_IMAGE)
        return self._finish(img)

    def _finish(self, img: np.ndarray) -> np.ndarray:
        """Convert pixels as ``to_float32`` asks."""
        kind = np.float32 if self.to_float32 else img.dtype
        return np.ascontiguousarray(img, kind)

    def transform(self, results: dict) -> dict:
        """Load ``results['img_path']``, or what ``img_bytes`` has of it.

        Raises:
            CorruptImageError: The image cannot be loaded.
        """
        keep_freed_memory()
        path = results['img_path']
        content = results.pop('img_bytes', None)
        if content is None:
            content = self.read(path)
        else:
            self.check(path, content)
        img = self._encoded(path, content) if self.decode_for_crops else None
        results['img'] = self.decode(path, content) if img is None else img
        results['img_shape'] = results['ori_shape'] = results['img'].shape[:2]
        return results

    def _encoded(self, path: str, content: bytes) -> Optional[EncodedImage]:
        """A JPEG to be decoded later; None if OpenCV cannot shrink it."""
        frame = _frame(content) if content.startswith(_JPEG) else None
        options = self.color_type, self.imdecode_backend, self.to_float32
        if frame is None or 0 in frame[:2] or _is_for_pillow(content):
            return None
        if options != ('color', 'cv2', False):
            return None
        height, width = frame[:2]
        if upright_turn(frame.exif) in EXCHANGES_AXES:
            height, width = width, height
        decode = partial(self.decode, path, content)
        return EncodedImage((height, width), decode)


def _corrupt(path: str, cause: str) -> CorruptImageError:
    # repr: a name that is not UTF-8 could not be printed.
    return CorruptImageError(f'image {path!r} {cause}')
