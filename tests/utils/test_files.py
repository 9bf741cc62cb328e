"""Writing files: cells of CSV files, odd characters, full disks."""

import csv
import errno
import fcntl
import io
import logging
import os
import stat
import subprocess
import sys

import pytest

from bcl_mm.apis.locations import make_folder
from bcl_mm.utils.errors import InputFileError, as_input_error, visible
from bcl_mm.utils.files import (
    CsvWriter,
    end_at_full_disk,
    open_atomically,
    remove_leftovers,
    telling_failed_writes,
    write_atomically,
)

FULL = OSError(errno.ENOSPC, 'No space left on device')


def test_no_text_of_a_csv_file_is_a_formula():
    file = io.StringIO(newline='')
    texts = ['=1+1', '+a', '-b.jpg', '@c', '\td', '\re', 'a=b', '', "'=x"]
    CsvWriter(file).writerow([*texts, -1.5, -2, None, True])
    (row,) = csv.reader(io.StringIO(file.getvalue(), newline=''))
    escaped = [f"'{text}" for text in texts[:6]]
    assert row == [*escaped, *texts[6:], '-1.5', '-2', '', 'True']


def test_any_text_can_be_written(tmp_path):
    path = tmp_path / 'a.txt'
    write_atomically('ü \udcff \ud800', path)
    assert path.read_text(encoding='utf-8') == r'ü \udcff \ud800'


def test_control_characters_are_shown_not_obeyed():
    text = 'ü 中 \xa0\u3000\n'
    assert visible(text) == text
    assert visible('a\x1b[31m\r\x07\x9b\u202e\udcff\t') == (
        r'a\x1b[31m\r\x07\x9b\u202e\udcff\t'
    )


@pytest.mark.parametrize('code', ['ENOSPC', 'EDQUOT', 'EROFS', 'EFBIG'])
def test_errors_of_the_disk_name_path_and_cause(code):
    error = OSError(getattr(errno, code), 'why')
    told = as_input_error(error, 'a file in work')
    assert str(told) == 'a file in work cannot be written: why'
    error.filename = 'a.log'
    assert str(as_input_error(error)) == 'a.log cannot be written: why'


def test_other_causes_of_full_disks():
    error = FileNotFoundError(
        errno.ENOENT, "No usable temporary directory found in ['/tmp']"
    )
    assert "in ['/tmp']: free some space, or set TMPDIR" in str(
        as_input_error(error)
    )
    error = RuntimeError(
        'unable to write to file </torch_1_2_0>: No space left on device (28)'
    )
    assert '/dev/shm' in str(as_input_error(error))
    for bug in (OSError(errno.ENOENT, 'x'), RuntimeError('x'), KeyError(1)):
        assert as_input_error(bug) is None


def test_a_folder_on_a_full_disk_is_refused(tmp_path, monkeypatch):
    def fail(**_):
        raise FULL

    make_folder('--out', tmp_path / 'new')
    assert list((tmp_path / 'new').iterdir()) == []
    monkeypatch.setattr('tempfile.TemporaryFile', fail)
    message = f"--out '{tmp_path}' cannot be written to: No space left"
    with pytest.raises(InputFileError, match=message):
        make_folder('--out', tmp_path)


def test_a_log_on_a_full_disk_ends_the_work():
    logger = logging.Logger('tried')
    logger.addHandler(logging.FileHandler('/dev/full'))
    end_at_full_disk(logger)
    message = '^/dev/full cannot be written: No space left on device$'
    with pytest.raises(InputFileError, match=message):
        logger.info('x')
    message = '^a.npz cannot be written: No'
    with (
        pytest.raises(InputFileError, match=message),
        telling_failed_writes('a.npz'),
    ):
        raise FULL


def test_two_writers_of_a_file_do_not_meet(tmp_path):
    path = tmp_path / 'a.txt'
    with open_atomically(path) as first:
        first.write('A' * 20)
        first.flush()
        with open_atomically(path) as second:
            assert first.name != second.name
            second.write('B' * 20)
        assert path.read_text() == 'B' * 20
        first.write('A' * 20)
    assert path.read_text() == 'A' * 40
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_the_file_and_nothing_else(tmp_path):
    path = tmp_path / 'a.txt'
    write_atomically('first', path)
    for cause in (KeyboardInterrupt, FULL, OSError(2, 'own', 'other.jpg')):
        with (  # noqa: PT012
            pytest.raises((KeyboardInterrupt, OSError)) as error,
            open_atomically(path) as file,
        ):
            file.write('second')
            raise cause
        assert isinstance(error.value, InputFileError) == (cause is FULL)
        assert path.read_text() == 'first'
        assert list(tmp_path.iterdir()) == [path]
    message = 'none/a.txt cannot be written: No such file or directory'
    with pytest.raises(InputFileError, match=message):
        write_atomically('x', tmp_path / 'none' / 'a.txt')


def test_permissions_and_links_are_those_of_a_new_file(tmp_path):
    path, target = tmp_path / 'a.txt', tmp_path / 'target'
    target.write_text('old')
    path.symlink_to(target)
    before = os.umask(0o027)
    try:
        write_atomically('x', path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.lstat().st_mode) == 0o640
    assert target.read_text() == 'old'  # a link is replaced, not followed


KILLED = """
import os, sys
from bcl_mm.utils.files import open_atomically
with open_atomically(sys.argv[1]) as file:
    file.write('half')
    file.flush()
    os.kill(os.getpid(), 9)
"""


def test_what_a_kill_left_goes_when_the_file_is_written_again(tmp_path):
    path = tmp_path / 'a[1].txt'
    subprocess.run([sys.executable, '-c', KILLED, path], check=False)
    (left,) = tmp_path.iterdir()
    assert left.read_text() == 'half'
    others = {
        tmp_path / f'a[1].txt{end}'
        for end in ('', '.part', '.b.01234567.part', '.0123456x.part')
    }
    for other in others:
        other.touch()
    with open_atomically(path), open_atomically(path):
        assert not left.exists()
        assert len(list(tmp_path.iterdir())) == len(others) + 2
    assert set(tmp_path.iterdir()) == others


def test_leftovers_without_locks(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSYS, 'no locks')

    monkeypatch.setattr(fcntl, 'flock', fail)
    left = tmp_path / 'a.pth.01234567.part'
    left.touch()
    write_atomically('x', tmp_path / 'a.pth')
    assert left.exists()
    remove_leftovers(tmp_path, '*.pth', is_owner=True)
    assert [path.name for path in tmp_path.iterdir()] == ['a.pth']


def test_a_part_that_is_taken_for_a_leftover_is_made_again(
    tmp_path, monkeypatch
):
    taken = []

    def take(descriptor, flags):
        """As if another writer came between the file and its lock."""
        if len(taken) < 2:
            (part,) = tmp_path.glob('*.part')
            part.unlink()
            taken.append(part)
            if len(taken) == 1:
                raise BlockingIOError
        lock(descriptor, flags)

    lock = fcntl.flock
    monkeypatch.setattr(fcntl, 'flock', take)
    write_atomically('x', tmp_path / 'a.txt')
    assert len(set(taken)) == 2
    assert [path.name for path in tmp_path.iterdir()] == ['a.txt']
