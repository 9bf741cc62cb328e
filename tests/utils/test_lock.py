"""One training at a time in a folder."""

import os
import subprocess
import sys

import pytest

from bcl_mm.utils.errors import InputFileError
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


@pytest.mark.parametrize('kind', ['link', 'dangling', 'fifo', 'folder'])
def test_a_lock_is_a_regular_file(tmp_path, kind):
    """A work dir may come from elsewhere; nothing is emptied or awaited."""
    work_dir, precious = tmp_path / 'work', tmp_path / 'precious'
    work_dir.mkdir()
    precious.write_text('precious')
    lock = work_dir / 'lock'
    if kind == 'fifo':
        os.mkfifo(lock)
    elif kind == 'folder':
        lock.mkdir()
    else:
        lock.symlink_to(precious if kind == 'link' else tmp_path / 'none')
    message = f"^the lock '{lock}' must be a regular file: remove it, or give"
    with pytest.raises(InputFileError, match=message), lock_folder(work_dir):
        pass
    assert precious.read_text() == 'precious'
    assert not (tmp_path / 'none').exists()


def test_a_lock_is_not_emptied(tmp_path):
    """It may be a hard link."""
    (tmp_path / 'lock').write_text('precious')
    with lock_folder(tmp_path):
        assert (tmp_path / 'lock').read_text() == 'precious'


def test_a_lock_that_cannot_be_opened(tmp_path):
    message = r"lock' cannot be opened \(No such file or directory\): give an"
    folder = tmp_path / 'none'
    with pytest.raises(InputFileError, match=message), lock_folder(folder):
        pass
