import platform
import subprocess
import sys

import pytest

from tests.conftest import ROOT

# Page faults of one more array of 8 MB, after its like was freed.
CODE = """
import resource
import numpy as np
from bcl_mm.utils.memory import keep_freed_memory

keep_freed_memory()
blocks = [np.ones(2**20, np.int64) for _ in range(3)]
del blocks
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
np.ones(2**20, np.int64)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='needs glibc')
@pytest.mark.parametrize('given', [False, True])
def test_freed_memory_is_used_again(given):
    env = dict(PYTHONPATH=str(ROOT))
    if given:  # is respected: arrays come from the system
        env['MALLOC_MMAP_THRESHOLD_'] = str(2**20)
    faults = int(
        subprocess.check_output([sys.executable, '-c', CODE], env=env)
    )
    assert (faults > 100) == given
