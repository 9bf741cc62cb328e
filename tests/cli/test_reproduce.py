"""reproduce.py, and the tables of the pages that it writes."""

import re
import sys
from dataclasses import replace

import pytest

from bcl_mm.apis.comparison import RunError, plan_runs
from bcl_mm.apis.records import Record, read_records, write_records
from tests.conftest import ROOT

sys.path.insert(0, str(ROOT / 'tools'))
import reproduce  # noqa: E402
import tables  # noqa: E402

TINY = tables.Table(
    'one iteration',
    'resnet8_digits_lt',
    [
        tables.Row('ce'),
        tables.Row('ce', 'fast', ('optim_wrapper.optimizer.lr=0.2',)),
        tables.Row('tau_norm'),
    ],
    options=('train_cfg.max_epochs=1', 'train_cfg.val_interval=1'),
)


@pytest.fixture
def tool(tmp_path, monkeypatch, capfd):
    """Call the tool on a tiny table, with files and pages of its own."""
    monkeypatch.setattr(tables, 'TABLES', dict(tiny=TINY))
    monkeypatch.setattr(reproduce, 'ROOT', tmp_path)
    monkeypatch.setattr(reproduce, 'RESULTS', tmp_path / 'results')
    monkeypatch.setattr(reproduce, 'PAGES', ['page.md'])

    def call(*words):
        work_dir = str(tmp_path / 'runs')
        words = ['reproduce.py', *words, '--work-dir', work_dir]
        monkeypatch.setattr(sys, 'argv', words)
        with pytest.raises(SystemExit) as end:
            reproduce.main()
        output, errors = capfd.readouterr()
        return end.value.code, output + errors

    return call


def records_of(method, values, **fields):
    start = Record(
        method,
        f'{method}_resnet8_digits_lt',
        0,
        {},
        options=TINY.options,
        **fields,
    )
    return [
        replace(start, seed=i, figures=dict(top1=50.0, balanced=value))
        for i, value in enumerate(values)
    ]


def test_from_nothing_to_the_page(tool, tmp_path, monkeypatch):
    page = tmp_path / 'page.md'
    start = '# Title\n<!-- table tiny -->\n'
    page.write_text(f'{start}old\n<!-- end of table -->\nend\n')
    monkeypatch.setattr('bcl_mm.apis.launcher.read_commit', lambda: 'abc')
    status, output = tool('tiny', '--methods', 'ce', '--record')
    assert status == 0
    assert 'There are no recorded runs to compare with.' in output
    path = tmp_path / 'results' / 'tiny.csv'
    one, fast = read_records(path)
    assert (one.method, fast.method) == (
        'cross-entropy',
        'cross-entropy, fast',
    )
    assert fast.options[-1] == 'optim_wrapper.optimizer.lr=0.2'
    assert one.commits == ('abc',) and one.seconds_per_epoch > 0
    assert one.figures != fast.figures
    text = page.read_text()
    assert text.startswith(start) and text.endswith('table -->\nend\n')
    assert 'old' not in text
    assert f'| {one.figures["top1"]:.1f} ' in text
    assert '| cross-entropy, fast |' in text
    # Finished runs are kept, and compared with what is recorded.
    shifted = [
        replace(one, seed=seed, figures=dict(top1=value, balanced=value))
        for seed, value in ((1, 98.0), (2, 99.0))
    ]
    write_records([fast, *shifted, replace(one, seed=3)], path)
    status, output = tool('tiny', '--methods', 'ce')
    assert status == 0 and output.count('finished before') == 2
    assert '2 of 2 figures (top1, balanced) lie within' in output
    write_records([fast, *shifted], path)
    status, output = tool('tiny', '--methods', 'ce')
    assert '0 of 2 figures (top1, balanced) lie within' in output
    assert 'ce_resnet8_digits_lt, fold None, seed 0: top1 ' in output


def test_pages_from_the_files(tool, tmp_path):
    records = [
        *records_of('tau_norm', (60, 61, 62)),
        *records_of('ce', (50, 51, 53)),
    ]
    (tmp_path / 'results').mkdir()
    write_records(records, tmp_path / 'results' / 'tiny.csv')
    page = tmp_path / 'page.md'
    page.write_text(
        '<!-- table tiny tau_norm -->\n<!-- end of table -->\n'
        'between\n<!-- table tiny -->\n<!-- end of table -->\n'
    )
    assert tool('--pages')[0] == 0
    some, everything = page.read_text().split('between')
    # A part of the rows, but the differences of the whole table.
    assert some.count('_resnet8_digits_lt') == 1 and '+9.7 [' in some
    # In the order of the rows.
    assert re.findall(r'(\w+)_resnet8', everything) == ['ce', 'tau_norm']
    text = page.read_text()
    assert tool('--pages')[0] == 0
    assert page.read_text() == text


def test_a_table_without_runs(tool, tmp_path):
    page = tmp_path / 'page.md'
    page.write_text('<!-- table tiny -->\n<!-- end of table -->\n')
    assert tool('--pages')[0] == 0
    assert 'No runs are recorded yet.' in page.read_text()
    assert tool('tiny', '--recorded') == (0, 'No runs are recorded yet.\n')


def test_a_page_with_a_row_that_no_table_has(tool, tmp_path):
    page = tmp_path / 'page.md'
    page.write_text('<!-- table tiny ce bcl -->\n<!-- end of table -->\n')
    status, _ = tool('--pages')
    what = "page.md: <!-- table tiny must be of ce, tau_norm, got 'bcl'"
    assert status == f'Error: {what}'


def test_a_failure_is_shown_once(tool, monkeypatch):
    def fail(launcher, run):
        raise RunError(f'{run.name} failed')

    monkeypatch.setattr(reproduce.Launcher, 'finish', fail)
    status, output = tool('tiny', '--methods', 'ce')
    assert status == '2 of 2 runs failed'
    assert output.count('ce_resnet8_digits_lt, seed 0 failed') == 2  # one each


def test_a_search():
    rows = [tables.Row(x, y) for y in ('lr 1', 'lr 2') for x in ('ce', 'la')]
    search = replace(TINY, rows=rows, chosen='lr 2')
    assert search.is_search and not TINY.is_search
    records = [
        replace(one, method=f'{row.method}, {row.variant}', options=(f'{i}',))
        for i, row in enumerate(rows)
        for one in records_of(row.method, (10 * i, 10 * i + 2))
    ]
    assert reproduce.render(search, records).splitlines() == [
        '| setting | ce | la | mean |',
        '| --- | ---: | ---: | ---: |',
        '| lr 1 | 1.0 | 11.0 | 6.0 |',
        '| **lr 2** | **21.0** | **31.0** | **26.0** |',
    ]


def test_what_is_not_recorded(tool, tmp_path):
    changed = records_of('ce', (50,), commits=('abc+',))
    with pytest.raises(SystemExit, match='trained with changes: commit them'):
        reproduce.record('tiny', changed)
    assert not (tmp_path / 'results').exists()


@pytest.mark.parametrize(
    'words, message',
    [
        ([], 'give a TABLE or --pages'),
        (['tiny', '--pages'], 'give a TABLE or --pages'),
        (['none'], "invalid choice: 'none'"),
        (
            ['tiny', '--methods', 'ce', 'x'],
            "--methods must be of ce, tau_norm, got 'x'",
        ),
    ],
)
def test_usage_errors(tool, words, message):
    assert message in ''.join(map(str, tool(*words)))


def test_the_pages_have_the_recorded_figures():
    for path, text in reproduce.written_pages().items():
        assert text == path.read_text(encoding='utf-8'), (
            'python tools/reproduce.py --pages'
        )


def test_every_table_can_be_planned(tmp_path):
    for name, table in tables.TABLES.items():
        for row in table.rows:
            runs = plan_runs(
                [f'{row.method}_{table.suffix}'],
                table.seeds,
                (*table.options, *row.options),
                tmp_path,
                table.folds,
                table.part,
            )
            assert len(runs) >= len(table.seeds) * len(table.folds), name


def test_every_recorded_run_is_of_its_table():
    files = sorted(reproduce.RESULTS.glob('*.csv'))
    assert files
    for path in files:
        table = tables.TABLES[path.stem]
        rows = {
            (f'{row.method}_{table.suffix}', (*table.options, *row.options))
            for row in table.rows
        }
        for record in reproduce.recorded(path.stem):
            assert (record.config, record.options) in rows
            assert record.seed in table.seeds
            assert record.fold in table.folds
            assert record.part == table.part
            assert record.commits
