import json
import sys

import pytest

from tests.conftest import ROOT


@pytest.mark.parametrize(
    'name', ['loss', 'views', 'startup', 'step', 'identical', 'classes']
)
def test_each_benchmark_writes_ratios_and_curves(name, run, tmp_path):
    done = run(
        sys.executable,
        ROOT / 'tools' / 'benchmark.py',
        name,
        '--quick',
        '--repeats=1',
        f'--work-dir={tmp_path}',
    )
    report = json.loads((tmp_path / f'{name}.json').read_text())
    assert report['quick']
    assert report['rows']
    for row in report['rows']:
        assert row['median'] > 0
        assert row['name'] in done.stdout
        if 'ratio' in row:
            low, high = row['ratio_quartiles']
            assert 0 < low <= row['ratio'] <= high
    for curve in report['curves']:
        for values in curve['lines'].values():
            assert len(values) == len(curve['x'])
        png = tmp_path / f'{name}_{curve["name"]}.png'
        assert png.read_bytes().startswith(b'\x89PNG')


def test_unknown_benchmarks_are_refused(run):
    done = run(
        sys.executable, ROOT / 'tools' / 'benchmark.py', 'lunch', ok=False
    )
    assert "'lunch'" in done.stdout
