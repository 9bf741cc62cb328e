"""Files of recorded runs."""

from dataclasses import replace

import pytest

from bcl_mm.apis.records import Record, read_records, write_records

RUN = Record(
    'BCL, 3 x epochs',
    'bcl_resnet8',
    3,
    dict(top1=81.25, balanced=79.123456, many=90.0, few=0.0),
    options=('+a.b=[1, 2]', "c=it's"),
    part='val',
    fold='1',
    commits=('abc', 'def+'),
    validation_balanced=77.5,
    passes=180.0,
    seconds_per_epoch=1.5,
    kind_of_time='cpu',
)
BARE = Record('CE', 'ce_resnet8', 0, dict(top1=50.0))


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / 'runs.csv'
    write_records([RUN, BARE], path)
    figures = {**RUN.figures, 'balanced': 79.1235}  # six digits
    assert read_records(path) == [replace(RUN, figures=figures), BARE]
    assert len(path.read_text().splitlines()) == 3


def test_runs_of_a_row():
    again = replace(RUN, seed=4, fold='2', options=RUN.options[::-1])
    assert again.row == RUN.row
    assert again.key != RUN.key
    for other in (
        replace(RUN, config='ce_resnet8'),
        replace(RUN, part='test'),
        replace(RUN, options=()),
    ):
        assert other.row != RUN.row
    # A file has the names of configs, a comparison their paths.
    assert replace(RUN, config='configs/bcl_resnet8.py').key == RUN.key


@pytest.mark.parametrize(
    'old, new, message',
    [
        ('top1', 'top-1', 'must have the columns method, config, '),
        ('81.25', 'x', "line 2: top1 must be a number, got 'x'"),
        ('81.25', 'nan', 'line 2: top1 must be finite, got nan'),
        (',val,', ',train,', "line 2: part must be one of test, val, got 'tr"),
        (',cpu', '', r'line 2 must have \d+ cells'),
        (',3,abc', ',,abc', "line 2: seed must be a whole number, got ''"),
    ],
)
def test_damaged_files(tmp_path, old, new, message):
    path = tmp_path / 'runs.csv'
    write_records([RUN, BARE], path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ValueError, match=message):
        read_records(path)


def test_a_run_twice(tmp_path):
    path = tmp_path / 'runs.csv'
    write_records([RUN, BARE, RUN], path)
    with pytest.raises(ValueError, match='line 4: this run is in line 2 alr'):
        read_records(path)


def test_no_file(tmp_path):
    with pytest.raises(ValueError, match='cannot read .*none.csv'):
        read_records(tmp_path / 'none.csv')
