"""Recognition of a training set."""

from __future__ import annotations

import hashlib
from pathlib import PurePath
from typing import Any, Optional

import numpy as np

_NUM_SAMPLES = 256


def data_digest(dataset: Any) -> Optional[str]:
    """SHA-256 of which images a dataset has, in which order.

    Of 256 samples that are spaced evenly: the label, and the file's name and
    folder (data may be moved) or the image itself, where it is in memory.

    Args:
        dataset: A dataset or a wrapper of datasets.

    Returns:
        Hexadecimal digits; None for a dataset without ``get_data_info()``.
    """
    if not hasattr(dataset, 'get_data_info'):
        return None
    length = len(dataset)
    digest = hashlib.sha256(f'{length}'.encode())
    spaced = np.linspace(0, length - 1, min(length, _NUM_SAMPLES))
    for index in spaced.astype(int).tolist():
        info = dataset.get_data_info(index)
        parts = PurePath(str(info.get('img_path', ''))).parts[-2:]
        label = np.asarray(info.get('gt_label', -1)).tolist()
        digest.update(f'{label} {"/".join(parts)}\n'.encode(errors='replace'))
        if not parts and 'img' in info:
            image = np.ascontiguousarray(info['img'])
            digest.update(image.tobytes())
    return digest.hexdigest()
