"""Warnings of the libraries that a user can do nothing about."""

from __future__ import annotations

import logging
import re
import warnings

# Beginnings of warnings, and what shows them.
_NOISE = (
    # Fashion-MNIST: mmpretrain turns read-only arrays into tensors.
    'The given NumPy array is not writable',
    # Every training: mmengine uses its own deprecated classes.
    '"(FileClient|HardDiskBackend)"',
    # launch: mmengine passes a deprecated argument to DDP.
    '`broadcast_buffers` is deprecated',
    # train --amp: mmengine uses torch's deprecated class.
    '`torch.cuda.amp.GradScaler',
    # slurm_train.sh: mmengine sets them for each process.
    'Setting (OMP|MKL)_NUM_THREADS',
    # --resume after early stopping: mmengine removed what the key names.
    'resumed key: loop_stage is not defined',
    # pretrained=torchvision://...: the backbone does not load its classifier.
    r'The model and loaded state dict do not match exactly\s+unexpected key '
    r'in source state_dict: fc\.weight, fc\.bias\s*$',
)


def hide_warnings() -> None:
    """Hide the warnings in this process."""
    for message in _NOISE:
        warnings.filterwarnings('ignore', message=message)


def hide_lines(logger: logging.Logger) -> None:
    """Hide the lines of a log that begin like the warnings."""
    noise = re.compile('|'.join(_NOISE))
    logger.addFilter(lambda record: not noise.match(record.getMessage()))
