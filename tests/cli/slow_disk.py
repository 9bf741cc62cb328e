"""Imported by a config: checkpoints are written slowly, and dropout is used.

The kills of test_interruption.py must meet half-written files, and random
draws of the training step.
"""

import builtins
import os
import time

import torch
from torch import nn

from bcl_mm.registry import MODELS
from bcl_mm.utils import files

SECONDS = float(os.environ.get('SLOW_DISK_SECONDS', '0.2'))


class _SlowFile:
    def __init__(self, file):
        self.file = file

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()

    def __getattr__(self, name):
        return getattr(self.file, name)

    def write(self, content):
        size = len(content) // 10 + 1
        for start in range(0, len(content), size):
            self.file.write(content[start : start + size])
            self.file.flush()
            time.sleep(SECONDS / 10)


def _open(*arguments, **options):
    return _SlowFile(builtins.open(*arguments, **options))  # noqa: SIM115


files.open = _open


@MODELS.register_module()
class PoolAndDrop(nn.Module):
    """A neck: the mean over the image, then dropout."""

    def forward(self, feats):
        pooled = feats[-1].mean(dim=(2, 3))
        return (torch.dropout(pooled, 0.2, self.training),)
