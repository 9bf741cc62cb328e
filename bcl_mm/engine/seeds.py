"""Seeds made of several numbers, and what they seed."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


def mix(*numbers: int) -> int:
    """One 32-bit seed from several numbers >= 0."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def seed_all(seed: int, generator: Any = torch) -> None:
    """Seed Python's, NumPy's and torch's generators.

    Args:
        seed: The seed.
        generator: Of torch. Defaults to those of all devices.
    """
    random.seed(seed)
    np.random.seed(seed)
    generator.manual_seed(seed)
