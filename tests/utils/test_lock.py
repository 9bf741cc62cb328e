"""One training at a time in a folder."""

import os
import subprocess
import sys

import pytest

from bcl_mm.utils.lock import LockedFolderError, lock_folder, locked_for

TRY = """
import sys
from bcl_mm.utils.lock import lock_folder
with lock_folder(sys.argv[1]):
    print('locked')
"""


def attempt(folder, **env):
    return subprocess.run(
        [sys.executable, '-c', TRY, str(folder)],
        capture_output=True,
        text=True,
        env={**os.environ, **env},
    )


def test_a_folder_is_locked_once(tmp_path):
    with lock_folder(tmp_path):
        assert 'another training writes into' in attempt(tmp_path).stderr
        # Processes that it starts work there.
        assert attempt(tmp_path, **locked_for(tmp_path)).stdout == 'locked\n'
        with pytest.raises(LockedFolderError), lock_folder(tmp_path):
            pass
    assert attempt(tmp_path).stdout == 'locked\n'


def test_children_do_not_keep_the_lock(tmp_path):
    """Data workers live on for seconds after SIGKILL of a training."""
    with lock_folder(tmp_path) as descriptor:
        child = os.fork()
        if child == 0:
            try:
                os.fstat(descriptor)
            except OSError:
                os._exit(0)
            os._exit(1)
        assert os.waitpid(child, 0)[1] == 0


def test_an_error_leaves_no_new_folder(tmp_path):
    folder = tmp_path / 'new'
    for is_new, remains in ((True, False), (False, True)):
        folder.mkdir()
        with pytest.raises(KeyError), lock_folder(folder, is_new=is_new):
            raise KeyError
        assert folder.exists() == remains
