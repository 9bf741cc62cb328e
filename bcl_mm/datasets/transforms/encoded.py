"""Images that are decoded when the crops of them are known."""

from __future__ import annotations

from typing import Callable, List, Sequence, Tuple

import numpy as np

Box = Tuple[int, int, int, int]
# What JPEG's decoder can shrink an image by, at little more than the cost of
# reading its bits.
FACTORS = 8, 4, 2
# Sides of a shrunk crop over those of its result, at least. At 1 nothing
# would remain to be resized, and the image would be sharper than others.
MARGIN = 1.1


class EncodedImage:
    """An image file that has been read and checked, but not decoded.

    Args:
        shape: (height, width) of the image.
        decode: Function of a factor from :data:`FACTORS`, or 1, that returns
            the (height / factor, width / factor, 3) image.
    """

    def __init__(
        self, shape: Tuple[int, int], decode: Callable[[int], np.ndarray]
    ) -> None:
        self.shape = shape
        self.decode = decode

    def decode_for(
        self, boxes: Sequence[Box], sizes: Sequence[Tuple[int, int]]
    ) -> Tuple[np.ndarray, List[Box]]:
        """Decode the image as small as its crops allow.

        Args:
            boxes: (top, left, height, width) of each crop.
            sizes: (height, width) that each crop will be resized to.

        Returns:
            The image, shrunk by the largest factor at which every crop has
            ``MARGIN`` times its size, and the boxes in it.
        """
        least = MARGIN * max(
            max(size[0] / box[2], size[1] / box[3])
            for box, size in zip(boxes, sizes)
        )
        factor = next((f for f in FACTORS if f * least <= 1), 1)
        img = self.decode(factor)
        y, x = np.divide(img.shape[:2], self.shape).tolist()
        return img, [_shrink(box, y, x) for box in boxes]


def _shrink(box: Box, y: float, x: float) -> Box:
    """Scale a box, rounded to whole pixels."""
    top, left, height, width = box
    bottom, right = round((top + height) * y), round((left + width) * x)
    top, left = round(top * y), round(left * x)
    return top, left, bottom - top, right - left
