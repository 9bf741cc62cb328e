"""Seeds made of several numbers."""

from __future__ import annotations

import numpy as np


def mix(*numbers: int) -> int:
    """One 32-bit seed from several numbers >= 0."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
