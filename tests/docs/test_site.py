"""The site: it builds without a warning, and fits a phone."""

import shutil
import subprocess
import sys

import pytest

from tests.conftest import ROOT

CHROMIUM = shutil.which('chromium') or shutil.which('google-chrome')


@pytest.mark.slow
def test_the_site_builds_and_fits_a_phone(tmp_path):
    build = sys.executable, '-m', 'sphinx', '-W', '--keep-going', '-q'
    done = subprocess.run(  # trains for minutes, for the report
        [*build, '-b', 'html', 'docs', tmp_path],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1200,
    )
    assert done.returncode == 0, done.stdout
    api = (tmp_path / 'api' / 'losses.html').read_text()
    assert 'id="bcl_mm.models.losses.LogitAdjustedLoss"' in api
    pages = 'getting_started', 'results', 'method', 'examples', 'api/losses'
    for page in pages:
        assert (tmp_path / f'{page}.html').is_file()
    link = 'href="example_report.html"'
    assert link in (tmp_path / 'reports.html').read_text()
    assert '<math' in (tmp_path / 'method.html').read_text()
    notebook = (tmp_path / 'examples.html').read_text()
    assert 'one seed: not conclusive' in notebook  # an output
    report = (tmp_path / 'example_report.html').read_text()
    assert '<h1>Digits-LT: 3 methods compared' in report
    if CHROMIUM is None:
        pytest.skip('Chromium is not installed')
    sync_api = pytest.importorskip('playwright.sync_api')
    requests = []
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=['--no-sandbox']
        )
        for width in (390, 1280):
            page = chromium.new_page(viewport=dict(width=width, height=800))
            page.route('http*://**', lambda route: route.abort())
            page.on('request', lambda request: requests.append(request.url))
            for name in pages:
                page.goto((tmp_path / f'{name}.html').as_uri())
                wide = page.evaluate('document.documentElement.scrollWidth')
                assert wide <= width, name
                images = page.evaluate(
                    '[...document.images].map(i => i.offsetWidth)'
                )
                assert all(image <= width for image in images), name
        chromium.close()
    assert [r for r in requests if not r.startswith('file:')] == []
