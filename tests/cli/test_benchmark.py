import json
import sys

import pytest
import torch
import torch.nn.functional as F

from bcl_mm.models.losses import balanced_contrastive_loss
from tests.conftest import ROOT


@pytest.mark.parametrize(
    'name',
    [
        *('loss', 'views', 'step', 'identical'),
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ('startup', 'classes', 'growth')
        ),
    ],
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


def test_each_line_of_the_gpu_benchmark_has_a_verdict(run, tmp_path):
    done = run(
        sys.executable,
        ROOT / 'tools' / 'benchmark.py',
        *('gpu', '--quick', '--repeats=1', f'--work-dir={tmp_path}'),
    )
    rows = json.loads((tmp_path / 'gpu.json').read_text())['rows']
    verdicts = {row['name']: row['verdict'] for row in rows}
    for name, verdict in verdicts.items():
        assert name in done.stdout
        assert verdict.split(':')[0] in ('ok', 'OVER', 'not measured')
    for name in (
        'error of balanced contrastive loss, TF32 on',
        'its log-mean-exp: numbers that differ between two runs',
        'ProCo: numbers that differ between two runs, deterministic',
        'gather of 2 x 16 x 1024 by gloo: error',
    ):
        assert verdicts[name] == 'ok'
    for part in ('waits', 'pinned', 'ResNeXt-50 (NHWC)', 'one chunk, compile'):
        assert [name for name in verdicts if part in name]


def test_the_gpu_benchmark_finds_faults(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / 'tools')
    from benchmarks import gpu
    from benchmarks.common import Settings

    settings = Settings(1, torch.device('cpu'), quick=True)

    def inexact(features, labels, prototypes, *args, **kwargs):
        if features.dtype == torch.float32:
            features = features.bfloat16().float()
        return exact(features, labels, prototypes, *args, **kwargs)

    def unrepeatable(features, *args, **kwargs):
        noise = 1 + 1e-3 * torch.rand(1, dtype=features.dtype)
        return exact(features * noise, *args, **kwargs)

    def broken(*args, **kwargs):
        raise RuntimeError('out of memory')

    exact = gpu.balanced_contrastive_loss
    for loss, check, end in (
        (inexact, gpu.errors, 'must be <= 1e-05'),
        (unrepeatable, gpu.repeatability, 'must be <= 0'),
        (broken, gpu.errors, 'RuntimeError: out of memory'),
    ):
        monkeypatch.setattr(gpu, 'balanced_contrastive_loss', loss)
        monkeypatch.setattr(gpu, 'CHECKS', [check])
        rows, _ = gpu.run(settings)
        failed = [r['verdict'] for r in rows if 'FAILED' in r['verdict']]
        assert failed and all(v.endswith(end) for v in failed), rows


def test_unknown_benchmarks_are_refused(run):
    done = run(
        sys.executable, ROOT / 'tools' / 'benchmark.py', 'lunch', ok=False
    )
    assert "'lunch'" in done.stdout


def test_the_naive_loss_is_ours(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / 'tools')
    from benchmarks.peers import naive_loss

    torch.manual_seed(0)
    labels = torch.randint(5, (8,)).repeat(2)
    features, prototypes = (
        F.normalize(torch.randn(n, 6, dtype=torch.double), dim=1)
        for n in (16, 5)
    )
    inputs = features, labels, prototypes, 0.07
    torch.testing.assert_close(
        naive_loss(*inputs), balanced_contrastive_loss(*inputs)
    )
