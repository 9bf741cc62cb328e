"""Writing files: cells of CSV files, odd characters, full disks."""

import csv
import errno
import io
import logging

import pytest

from bcl_mm.apis.locations import make_folder
from bcl_mm.utils.errors import InputFileError, as_input_error, visible
from bcl_mm.utils.files import (
    CsvWriter,
    end_at_full_disk,
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
