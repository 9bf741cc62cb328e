"""The one way to load an image file."""

from __future__ import annotations

from typing import Any

import mmcv
import numpy as np
from mmcv.transforms import LoadImageFromFile as MMCVLoadImageFromFile
from mmengine import fileio

from bcl_mm.registry import TRANSFORMS
from bcl_mm.utils.errors import InputValueError

_JPEG, _PNG = b'\xff\xd8', b'\x89PNG\r\n\x1a\n'


class CorruptImageError(InputValueError):
    """An image that cannot be loaded; the message gives path and cause.

    (It has that one argument: a data worker's error is built anew, from its
    text, in the main process.)
    """


def _start_of_scan(content: bytes) -> int:
    """Where a JPEG's first scan starts; -1 if it has none."""
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
    """Whether a JPEG or PNG lacks its end; other formats are not known.

    Decoders fill what is missing with grey, and some say nothing. It costs
    microseconds: only markers are looked for. A thumbnail's end, before the
    first scan, is not the image's, and bytes after the end are no fault.

    Args:
        content: Bytes of an image file.
    """
    if content.startswith(_JPEG):
        start = _start_of_scan(content)
        return start < 0 or content.rfind(b'\xff\xd9', start) < 0
    return content.startswith(_PNG) and content.rfind(b'IEND') < 0


@TRANSFORMS.register_module()
class LoadImageFromFile(MMCVLoadImageFromFile):
    """mmcv's transform, with an error that names what cannot be loaded.

    A file that cannot be read, is empty, cut short (as :func:`is_cut_short`
    sees) or no image raises; mmcv's transform takes a grey remainder for an
    image, depending on OpenCV's version. Whatever the file holds (grey,
    palette, 16 bits, CMYK, alpha), the image is (H, W, 3) uint8, BGR. Alpha
    is dropped, and pixels keep the colour stored beneath it, as with PIL's
    ``convert('RGB')``.

    It has mmcv's name because mmpretrain's inferencer takes the step of this
    name out of a pipeline. In a config:
    ``dict(type='LoadImageFromFile', _scope_='bcl_mm')``.

    Args:
        **kwargs: Arguments of mmcv's transform, but for ``ignore_empty``.

    Raises:
        ValueError: ``ignore_empty`` is given: it replaces images silently.
    """

    def __init__(self, **kwargs: Any) -> None:
        if kwargs.get('ignore_empty'):
            raise InputValueError(
                'ignore_empty must be False, got True: it replaces images '
                'silently. CorruptImageHook(on_corrupt="skip") leaves them '
                'out and lists them'
            )
        super().__init__(**kwargs)

    def transform(self, results: dict) -> dict:
        """Load ``results['img_path']``.

        Raises:
            CorruptImageError: The image cannot be loaded.
        """
        path = results['img_path']
        try:
            # A FileClient, mmcv's older way, has no part in this.
            content = fileio.get(path, backend_args=self.backend_args)
        except (OSError, ValueError) as error:  # ValueError: a zero in it
            cause = getattr(error, 'strerror', None) or error
            raise self._error(path, f'cannot be read: {cause}') from error
        if not content:
            raise self._error(path, 'is empty')
        if is_cut_short(content):
            raise self._error(
                path, f'is cut short: it ends after {len(content)} bytes'
            )
        try:
            img = mmcv.imfrombytes(
                content, flag=self.color_type, backend=self.imdecode_backend
            )
        except Exception as error:  # each decoder has its own
            raise self._error(path, f'cannot be decoded: {error}') from error
        if img is None:
            raise self._error(
                path, 'is no image, or so damaged that it cannot be decoded'
            )
        if self.to_float32:
            img = img.astype(np.float32)
        results['img'] = img
        results['img_shape'] = results['ori_shape'] = img.shape[:2]
        return results

    @staticmethod
    def _error(path: str, cause: str) -> CorruptImageError:
        # repr: a name that is no UTF-8 could not be printed.
        return CorruptImageError(f'image {path!r} {cause}')
